"""What is around a daemon: its home, its language, its terminal, names that nobody resolves, certificates that end."""

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.registry import FaultGroup
from tools.lab.load import patience

group = FaultGroup("surroundings", owner="start")
_OUR_PLACES = ("HOME", "STREAMCLF_STORE_PATH", "STREAMCLF_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def _without(*names: str) -> list[str]:
    return ["env", *(word for name in names for word in ("-u", name))]


def _heard_or_refused(lab: Lab, patient: WatchedDaemon) -> None:
    took = lab.happens(lambda: not patient.alive or bool(patient.rows.of("steady").times_s), 30.0)
    lab.must(took is not None, "neither an end nor rows")
    if patient.alive:
        lab.note("it runs")
    else:
        lab.refused(patient, 1, 78)
    lab.must("Traceback" not in patient.stderr, "a traceback")


@group.fault("home-unset", "a user without a name and a home: heard, or exit 1 or 78 with one sentence", cheap=True)
def homeless(lab: Lab) -> None:
    """A container that runs as some number."""
    lab.need(root=True, tools=["setpriv"])
    for place in (lab.folder, lab.material.folder):
        place.chmod(0o755)
    other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    _heard_or_refused(lab, lab.start(wrap=[*_without(*_OUR_PLACES), *other], ready=False))


@group.fault("home-read-only", "a home that cannot be written: heard without a store and told, or exit 78")
def read_only_home(lab: Lab) -> None:
    """The whole system is read-only."""
    home = lab.tmpfs()
    lab.sh("mount", "-o", "remount,ro", str(home))
    wrap = [*_without(*_OUR_PLACES), f"HOME={home}"]
    _heard_or_refused(lab, lab.start(wrap=wrap, ready=False))


@group.fault("locale-c", "a C locale, and names of streams and files with accents: heard, and the log has them")
def locale(lab: Lab) -> None:
    """As cron and many a service start it."""
    sound = lab.folder / "Küche-鶫.wav"
    sound.write_bytes(lab.material.sound.read_bytes())
    env = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    patient = lab.start(f"file:{sound}#loop=yes&name=Küche", env=env)
    lab.must(lab.happens(lambda: patient.rows.of("Küche").times_s, 10.0) is not None, "Küche is not heard")
    lab.must("Küche" in patient.stderr or "K\\xfcche" in patient.stderr, "its name is not in the log")
    env |= {"STREAMCLF_STORE_PATH": str(patient.log.parent / "store")}
    asked = [sys.executable, "-m", "streamclf", "events"]
    told = subprocess.run(asked, env={**os.environ, **env}, capture_output=True, check=False)
    lab.must(b"loud" in told.stdout, "streamclf events lists none")
    lab.must(not told.returncode, f"streamclf events: exit {told.returncode}, {told.stderr[-160:]!r}")
    lab.must(b"Traceback" not in told.stderr, "streamclf events: a traceback")
    lab.untouched(patient)


def _closed(lab: Lab, wrap: list[str], *, stderr: bool) -> None:
    """A terminal of its own, which is closed: it ends in order, and so does what is open."""
    lab.need(tools=["setsid"])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a campaign by nohup ignores it, and so would its daemons
    ours, its = os.openpty()
    over = threading.Event()
    reader = threading.Thread(target=_drain, args=(ours, over), daemon=True)
    reader.start()
    store = lab.folder / "store"
    patient = lab.start(
        wrap=["setsid", "--ctty", *wrap], stdin=its, stderr=its if stderr else None,
        env={"STREAMCLF_STORE_PATH": str(store), "STREAMCLF_LOG_FORMAT": "text"},
    )  # fmt: skip
    os.close(its)
    lab.until(lambda: patient.get_json("/v1/events")["events"], 20, "an event", patient)
    patient.unwatch()
    begun_s = time.monotonic()
    over.set()
    reader.join()  # a terminal that somebody reads is not closed
    os.close(ours)
    took = lab.happens(lambda: not patient.alive, 12.0)
    if lab.must(took is not None, "it goes on listening without its terminal"):
        lab.note(f"exit {patient.process.returncode} after {time.monotonic() - begun_s:.1f} s")
        lab.must(patient.process.returncode == 0, f"exit {patient.process.returncode}")
    listed = lab.start(env={"STREAMCLF_STORE_PATH": str(store)}, watch=False)
    ends = {one["ended_by"] for one in listed.get_json("/v1/events?limit=1000")["events"] if one["stage"] == "close"}
    lab.must("crash" not in ends, f"events ended by {ends}")


def _drain(terminal: int, over: threading.Event) -> None:
    with suppress(OSError):
        while not over.is_set():
            if select.select([terminal], [], [], 0.1)[0]:
                os.read(terminal, 65536)


@group.fault("terminal-closed", "the terminal in which it runs is closed: it ends in order, nobody listens unseen")
def hung_up(lab: Lab) -> None:
    """SIGHUP, and a standard error that fails with EIO."""
    _closed(lab, [], stderr=True)


@group.fault("terminal-closed-behind-a-pipe", "the same where standard input is a file: it is no wish to read rules")
def hung_up_piped(lab: Lab) -> None:
    """`parec | streamclf run`."""
    _closed(lab, ["sh", "-c", 'exec "$0" "$@" </dev/null'], stderr=False)


def _no_answers(lab: Lab) -> list[str]:
    """What turns itself into a daemon whose name server takes every question and answers none."""
    lab.need(root=True, tools=["unshare", "mount"])
    number = os.getpid() % 200 + 20
    server = lab.held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind((f"127.0.77.{number}", 53))
    resolv = lab.folder / "resolv.conf"
    resolv.write_text(f"nameserver 127.0.77.{number}\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$0" "$@"']


@group.fault(
    "name-of-a-url-never-resolved",
    "a name server that never answers: the others are heard within 10 s, 503 says it, SIGTERM ends it in time",
)
def unresolved(lab: Lab) -> None:
    """Somebody else's router."""
    begun_s = time.monotonic()
    patient = lab.start("url:http://radio.nowhere.example/live#name=radio", wrap=_no_answers(lab))
    lab.note(f"the others were heard after {time.monotonic() - begun_s:.1f} s")
    lab.must(time.monotonic() - begun_s < 10 * patience(), "the others wait for it")
    lab.detect(patient, lambda: None)
    lab.lasting(patient, 12.0)
    lab.untouched(patient)
    patient.unwatch()
    begun_s = time.monotonic()
    code = patient.stop()
    lab.note(f"exit {code} after {time.monotonic() - begun_s:.1f} s")
    lab.must(code == 0, f"exit {code}")


@group.fault(
    "name-of-a-webhook-never-resolved",
    "the same of a webhook: told, another sink and rows go on, SIGTERM ends it in time",
    detect_s=16,
)
def unresolved_hook(lab: Lab) -> None:
    """Alerts wait for it."""
    place = lab.folder / "alerts.ndjson"
    rules = (
        '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["hook", "file"]\n'
        '[sink.hook]\ntype = "webhook"\nurl = "https://hook.nowhere.example/x"\ntimeout_s = 5\n'
        f'[sink.file]\ntype = "ndjson"\npath = "{place}"\n'
    )
    patient = lab.start(wrap=_no_answers(lab), rules=rules)
    lab.detect(patient, lambda: None, by=told, limit_s=25)
    before = len(place.read_text().splitlines())
    lab.must(lab.happens(lambda: len(place.read_text().splitlines()) > before, 10) is not None, "the other sink waits")
    lab.untouched(patient)
    patient.unwatch()
    code = patient.stop()
    lab.must(code == 0, f"exit {code}")


def _pair(lab: Lab, name: str, began: str) -> tuple[Path, Path]:
    lab.need(tools=["openssl", "faketime"])
    certificate, key = lab.folder / "pair.pem", lab.folder / "pair.key"
    lab.sh(
        "faketime", began, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "90", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out",
        str(certificate),
    )  # fmt: skip
    key.chmod(0o600)
    return certificate, key


def _secure(port: int) -> ssl.SSLSocket:
    """A connection to whoever is there."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    return trust.wrap_socket(socket.create_connection(("127.0.0.1", port), 2))


def _shown(port: int) -> bytes:
    """The certificate that a new connection gets."""
    with suppress(OSError), _secure(port) as secure:
        return secure.getpeercert(binary_form=True) or b""
    return b""


def _problems(patient: WatchedDaemon) -> str:
    got = b""
    with suppress(OSError), _secure(patient.port) as secure:
        secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while part := secure.recv(65536):
            got += part
    return got.decode(errors="replace")


@group.fault(
    "certificate-expires",
    "one that has expired is told in health; a new pair in its place is used within 12 s, a broken one is not",
    owner="server",
)
def expired(lab: Lab) -> None:
    """Whoever should have renewed it did not."""
    certificate, key = _pair(lab, "old", "100 days ago")
    config = f'[server]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    patient = lab.start(config=config, watch=False, ready=False)
    lab.until(lambda: "expired" in _problems(patient), 30, "health to say that it has expired", patient)
    lab.note("health says that it has expired")
    before = _shown(patient.port)
    certificate.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    lab.until(lambda: "stays" in patient.stderr, 15, "a word on the broken one", patient)
    lab.must(_shown(patient.port) == before, "another certificate is shown")
    _pair(lab, "new", "now")
    took = lab.happens(lambda: _shown(patient.port) not in (before, b""), 15.0)
    lab.must(took is not None, "the new pair is not used")
    lab.recovered_s = took
    lab.must(lab.happens(lambda: "expired" not in _problems(patient), 5.0) is not None, "health still says expired")
