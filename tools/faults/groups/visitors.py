"""Who comes over the network to tie up, to deceive or to get at what is not theirs; sinks and packs that dawdle."""

import os
import resource
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial

from tools.faults.groups.alerts import rules_with, webhook_to
from tools.faults.groups.packs import others_go_on, rows_of, set_off, sick
from tools.faults.groups.store import SMALL, keeping
from tools.faults.groups.wire import say, status_of, well
from tools.faults.handshake import shake
from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.registry import FaultGroup

group = FaultGroup("visitors", owner="server")
TOKEN = "right-token-0123456789"


def _get(patient: WatchedDaemon, path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    head = "".join(f"{line}\r\n" for line in lines)
    return say(patient, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{head}Connection: close\r\n\r\n".encode(), wait_s=2.0)


@group.fault("slowloris", "400 connections that say a header byte by byte: health answers others, all are gone in 40 s")
def slowloris(lab: Lab) -> None:
    """Each holds a connection for as long as it may."""
    patient = lab.start()
    with ExitStack() as held:
        slow = []
        for _ in range(400):
            with suppress(OSError):
                slow.append(held.enter_context(socket.create_connection(("127.0.0.1", patient.port), 1)))
        begun_s = time.monotonic()
        gone = 0
        while time.monotonic() - begun_s < 40 and gone < len(slow):
            gone = 0
            for one in slow:
                try:
                    one.sendall(b"G")
                except OSError:
                    gone += 1
            time.sleep(1.0)
        lab.note(f"{gone} of {len(slow)} gone after {time.monotonic() - begun_s:.0f} s")
        lab.must(gone == len(slow), f"{len(slow) - gone} are still there")
        unanswered = [look for look in patient.health.since(begun_s) if not look.code]
        lab.must(not unanswered, f"health did not answer {len(unanswered)} times")
    well(lab, patient)


@group.fault("thousands-that-say-nothing", "3,000 connections that say nothing: bounded, others are served, rows go on")
def silent(lab: Lab) -> None:
    """A reserve must stay for those who speak."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    patient = lab.start()
    before_kib = patient.rss_kib()
    with ExitStack() as held:
        count = 0
        for _ in range(3000):
            with suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", patient.port), 0.5))
                count += 1
        lab.note(f"{count} connected, memory grew by {(patient.rss_kib() - before_kib) // 1024} MiB")
        lab.must(patient.rss_kib() - before_kib < 60_000, "memory grew")
        lab.must(
            lab.happens(lambda: status_of(_get(patient, "/livez")) == 200, 15) is not None, "/livez does not answer"
        )
    well(lab, patient)


@group.fault(
    "frames-without-end", "a websocket frame of 1 TB, really sent: closed with 1009 and cut off in 15 s, memory stays"
)
def frames(lab: Lab) -> None:
    """Not only announced."""
    patient = lab.start()
    before_kib, begun_s, sent = patient.rss_kib(), time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", patient.port), 5) as sock:
        sock.sendall(shake(patient.port, "/v1?tier=events"))
        sock.recv(4096)
        with suppress(OSError):
            sock.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 40) + bytes(4))
            while time.monotonic() - begun_s < 30:
                sock.sendall(bytes(1 << 20))
                sent += 1
    took_s = time.monotonic() - begun_s
    lab.note(f"cut off after {sent} MiB in {took_s:.1f} s")
    lab.must(took_s < 15, "it may send for ever")
    lab.must(patient.rss_kib() - before_kib < 20_000, f"memory grew by {(patient.rss_kib() - before_kib) // 1024} MiB")
    well(lab, patient)


@group.fault(
    "requests-by-the-thousand", "20,000 requests on a connection that reads nothing: bounded, others are served"
)
def pipelined(lab: Lab) -> None:
    """The answers wait somewhere."""
    patient = lab.start()
    before_kib = patient.rss_kib()
    begun_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", patient.port), 3) as sock, suppress(OSError):
        for _ in range(200):
            sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
    unanswered = [look for look in patient.health.since(begun_s) if not look.code]
    lab.must(not unanswered, f"health did not answer {len(unanswered)} times")
    lab.must(patient.rss_kib() - before_kib < 30_000, f"memory grew by {(patient.rss_kib() - before_kib) // 1024} MiB")
    well(lab, patient)


@group.fault(
    "clips-by-tricks",
    "ranges without end, climbing ids, links in place of a clip: the clip, or 4xx; nothing else of the disk",
)
def clips(lab: Lab) -> None:
    """Who may hear asks for more."""
    config = SMALL + "[clips]\nenabled = true\npre_ms = 100\npost_ms = 100\nvisit_ms = 0\n"
    patient, _ = keeping(lab, lab.folder, config)

    def kept() -> list[dict[str, object]]:
        found: list[dict[str, object]] = patient.get_json("/v1/events?limit=50")["events"]
        return [one for one in found if one.get("clip")]

    lab.until(kept, 20, "an event with a clip", patient)
    event = kept()[0]
    path = f"/v1/clip?event={event['id']}"
    whole = _get(patient, path).partition(b"\r\n\r\n")[2]
    lab.must(whole[:4] == b"fLaC", "the clip is not given")
    ranges = ["bytes=0-", "bytes=-1", "bytes=9999999999-", "bytes=5-2", "bytes=" + ",".join(["0-"] * 2000), "lines=1-2",
              "bytes=0-18446744073709551616"]  # fmt: skip
    for asked in ranges:
        answer = _get(patient, path, f"Range: {asked}")
        lab.must(status_of(answer) in (200, 206, 400, 416, 431), f"{asked[:20]} got {status_of(answer)}")
        lab.must(len(answer) < len(whole) + 2000, f"{asked[:20]} got {len(answer)} bytes for {len(whole)}")
    for wish in ("../../etc/passwd", "%2e%2e%2fstreamclf.db", "%00", "a" * 1024, "'%20OR%201=1--", "*"):
        answer = _get(patient, f"/v1/clip?event={wish}")
        lab.must(status_of(answer) in (400, 404), f"{wish[:20]} got {status_of(answer)}")
    secret = lab.folder / "secret"
    secret.write_text("root:secret")
    file = next(one for one in (lab.folder / "store" / "clips").rglob("*.flac") if one.name in str(event["clip"]))
    file.unlink()
    file.symlink_to(secret)
    answer = _get(patient, path)
    lab.must(b"root:" not in answer and status_of(answer) == 404, f"a link got {status_of(answer)}")
    well(lab, patient)


@group.fault("forged-logins", "cookies that are made up, changed, of another port, doubled by thousands: 401 each")
def cookies(lab: Lab) -> None:
    """A login is only what this daemon gave."""
    patient = lab.start(token=TOKEN)
    answer = _get(patient, "/v1/login", f"Authorization: Bearer {TOKEN}", "X-Streamclf: page")
    lines = [line for line in answer.decode("latin-1").split("\r\n") if line.lower().startswith("set-cookie:")]
    lab.must(lines, f"a login gave no cookie: {answer[:80]!r}")
    good = lines[0].partition(":")[2].strip().partition(";")[0] if lines else "x=y"
    name, _, value = good.partition("=")
    who, _, rest = value.partition(".")
    expiry, _, mac = rest.partition(".")
    lab.must(status_of(_get(patient, "/v1/status", f"Cookie: {good}")) == 200, "the login itself is not taken")
    forged = [f"{name}=", f"{name}={who}.{expiry}.{'0' * 64}", f"{name}={who}.{int(expiry or 0) + 9}.{mac}",
              f"{name}=admin.99999999999.{mac}", f"{name}-1={value}", f"{name}={value[:-1]}", f"{name}={value}%00",
              f"{name}={who}.{expiry}.{mac.upper()}x", "; ".join([f"{name}=a.1.{'f' * 64}"] * 60)]  # fmt: skip
    for cookie in forged:
        code = status_of(_get(patient, "/v1/status", f"Cookie: {cookie}"))
        lab.must(code in (401, 429, 431, 400), f"{cookie[:60]} got {code}")
    lab.note(f"{len(forged)} forged ones refused")


@group.fault(
    "rebound-names", "Host with a foreign name, two, none, userinfo, a wild port, an IPv6 trick: 400 or 403", cheap=True
)
def hosts(lab: Lab) -> None:
    """DNS rebinding: a page of another site under a name that leads here."""
    patient = lab.start()
    port = patient.port
    bad = ["evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1@evil.example",
           "localhost.evil.example", "[::1].evil.example", "2130706433.evil.example", "127.0.0.1:99999999",
           "127.0.0.1, evil.example",
           "evil.example#127.0.0.1",
           "0x7f000001.evil.example", "localhost\tevil.example"]  # fmt: skip
    for host in bad:
        answer = _get(patient, "/v1/status", host=host)
        lab.must(status_of(answer) in (0, 400, 403, 421), f"Host {host} got {status_of(answer)}")
        lab.must(b"captured_s" not in answer, f"Host {host} was told all")
    for lines in ("", "Host: 127.0.0.1\r\nHost: evil.example\r\n", "Host:\r\n"):
        answer = say(patient, f"GET /v1/status HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode(), wait_s=2.0)
        lab.must(b"captured_s" not in answer, f"{lines!r} was told all")
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST"):
        lab.must(status_of(_get(patient, "/v1/status", host=host)) == 200, f"Host {host} is refused")
    well(lab, patient)


@group.fault("fields-by-the-thousand", "2,000 header lines, 5,000 fields of a query, a name of 60 KB: 4xx or closed")
def fields(lab: Lab) -> None:
    """What a parser multiplies."""
    patient = lab.start()
    before_kib = patient.rss_kib()
    many = "".join(f"X-{number}: a\r\n" for number in range(2000))
    for data in (
        f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n",
        f"GET /v1/events?{'&'.join(f'a{n}=1' for n in range(5000))} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        f"GET /v1/events?label={'a' * 60_000} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        f"GET /v1?streams={','.join(['s'] * 3000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        code = status_of(say(patient, data.encode(), wait_s=2.0))
        lab.must(code == 0 or 400 <= code < 500, f"{data[:30]} got {code}")
    lab.must(patient.rss_kib() - before_kib < 20_000, "memory grew")
    well(lab, patient)


@group.fault("descriptors-gone-while-running", "all descriptors go while it runs: rows go on, all is well afterwards")
def descriptors(lab: Lab) -> None:
    """The limit is lowered to what is open."""
    patient, _ = keeping(lab, lab.folder)
    pid = patient.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = len(os.listdir(f"/proc/{pid}/fd"))
    begun_s = time.monotonic()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened, hard))
    time.sleep(10.0)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    answered = [look for look in patient.health.since(begun_s) if look.code]
    lab.note(
        f"{len(answered)} health answers meanwhile, {patient.log.with_suffix('.err').stat().st_size // 1024} KiB of log"
    )
    well(lab, patient)


@group.fault(
    "webhook-dribbles",
    "a receiver that answers a byte a second: given up after its time, others go on, all come later",
    owner="alerts", limit_s=150,
)  # fmt: skip
def dribbles(lab: Lab) -> None:
    """Each byte is a sign of life."""
    server = socket.create_server(("127.0.0.1", 0))
    lab.held.callback(server.close)
    port = server.getsockname()[1]
    open_now: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            open_now.append(one)
            threading.Thread(target=_dribble, args=(one, open_now), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    place = lab.folder / "alerts.ndjson"
    rules = rules_with(("hook", webhook_to(port)), ("file", f'type = "ndjson"\npath = "{place}"'))
    patient = lab.start(rules=rules)
    lab.detect(patient, lambda: None, by=told, limit_s=25)
    time.sleep(15.0)
    lab.note(f"{len(open_now)} of its connections open at the end")
    lab.must(len(open_now) < 6, f"{len(open_now)} connections were left open")
    before = len(place.read_text().splitlines())
    lab.must(
        lab.happens(lambda: len(place.read_text().splitlines()) > before, 6) is not None, "the other sink gets nothing"
    )
    lab.untouched(patient)


def _dribble(one: socket.socket, open_now: list[socket.socket]) -> None:
    try:
        one.recv(65536)
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 600:
            one.sendall(bytes([byte]))
            time.sleep(1.0)
    except OSError:
        pass
    open_now.remove(one)
    one.close()


@group.fault(
    "slow-now-and-then",
    "a pack that takes seconds in one run of many: another pack's rows go on, and its own come again",
    owner="watchdog",
)  # fmt: skip
def slow(lab: Lab) -> None:
    """A graph that loops for a while as soon as it hears something very loud, for 0.1 s in each ten."""
    patient, pusher = sick(lab, "slow")
    usual = pusher.sound
    for _ in range(2):
        before = rows_of(patient, "bad-slow")
        begun_s = time.monotonic()
        set_off(pusher)
        time.sleep(0.1)
        pusher.sound = usual
        time.sleep(4.0)
        held_ms = max((look.told_s - look.asked_s for look in patient.health.since(begun_s)), default=0.0) * 1000
        words = {look.words[:60] for look in patient.health.since(begun_s) if not look.ok}
        lab.note(f"health: {', '.join(sorted(words)) or 'ok'}, at most {held_ms:.0f} ms")
        others_go_on(lab, patient)
        took = lab.happens(partial(_more_than, patient, "bad-slow", before + 50), 30)
        lab.must(took is not None, "the slow pack gives no rows any more")
    lab.must(lab.happens(lambda: patient.health.last and patient.health.last.ok, 30) is not None, "health stays not ok")
    lab.untouched(patient)


def _more_than(patient: WatchedDaemon, pack: str, rows: int) -> bool:
    return rows_of(patient, pack) > rows


@group.fault("nan-for-a-while", "a pack that says NaN for ten seconds: told as long as it lasts, well again afterwards",
             owner="watchdog")  # fmt: skip
def nan(lab: Lab) -> None:
    """It comes back, and so do its rows."""
    patient, pusher = sick(lab, "nan")
    usual = pusher.sound
    if lab.detect(patient, lambda: set_off(pusher), by=told):
        lab.lasting(patient, 9.0, by=told)
    pusher.sound = usual
    begun_s, before = time.monotonic(), rows_of(patient, "bad-nan")
    back = lab.happens(lambda: rows_of(patient, "bad-nan") > before + 50, 60)
    lab.must(back is not None, "its rows do not come back within 60 s")
    fine = lab.happens(lambda: patient.health.last and patient.health.last.ok, 60)
    lab.must(fine is not None, f"health stays {patient.health.last.words if patient.health.last else ''}")
    lab.recovered_s = time.monotonic() - begun_s
    others_go_on(lab, patient)
