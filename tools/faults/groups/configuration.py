"""Rules and settings that are wrong, hostile, or changed while it runs."""

import signal
import time
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.registry import FaultGroup
from tools.lab.tinypack import put_file, stateful_pack

group = FaultGroup("configuration", owner="packs")


def rules_of(path: Path, name: str = "noise") -> str:
    """One rule with a file as its sink."""
    return (
        f'[[rule]]\nname = "{name}"\nlabels = "loud"\nsinks = ["file"]\n[sink.file]\ntype = "ndjson"\npath = "{path}"\n'
    )


def ruled(lab: Lab) -> tuple[WatchedDaemon, Path, Path]:
    """A daemon that has told an alert, its rules, and the file of its sink."""
    out = lab.folder / "alerts.ndjson"
    patient = lab.start(rules=rules_of(out))
    lab.until(out.exists, 20, "an alert", patient)
    return patient, patient.log.parent / "rules.toml", out


def _bad_then_good(lab: Lab, bad: bytes, *, hup: bool = False) -> None:
    """The bad file is told, the rules before it go on; the corrected one is taken."""
    patient, file, out = ruled(lab)

    def put(content: bytes) -> None:
        file.write_bytes(content)
        if hup:
            patient.process.send_signal(signal.SIGHUP)

    lab.detect(patient, lambda: put(bad), by=told, limit_s=8)
    before = out.read_text().count("\n")
    lab.must(lab.happens(lambda: out.read_text().count("\n") > before, 6) is not None, "the rules before do not go on")
    begun_s = time.monotonic()
    put(rules_of(out, "corrected").encode())
    took = lab.happens(lambda: '"corrected"' in out.read_text(), 10)
    if lab.must(took is not None, "the corrected file is not taken"):
        lab.recovered_s = time.monotonic() - begun_s
    lab.must(lab.happens(lambda: patient.health.last and patient.health.last.ok, 8) is not None, "health stays not ok")
    lab.untouched(patient)


@group.fault(
    "bad-rules",
    "a rules file with a mistake: told within 3 s, the rules before go on; corrected: taken within 4 s",
    detect_s=3,
    recover_s=4,
    cheap=True,
)
def bad_rules(lab: Lab) -> None:
    """An unknown key."""
    _bad_then_good(lab, b'[[rule]]\nname = "x"\nlables = "loud"\n')


@group.fault(
    "number-of-5000-digits",
    "a number of 5,000 digits: told, the rules before go on; corrected: taken",
    detect_s=3,
    recover_s=4,
)
def digits(lab: Lab) -> None:
    """It killed the watcher silently."""
    _bad_then_good(lab, b'[[rule]]\nname = "x"\nlabels = "loud"\ncooldown_s = ' + b"9" * 5000 + b"\n")


@group.fault(
    "rules-of-random-bytes", "random bytes: told, the rules before go on; corrected: taken", detect_s=3, recover_s=4
)
def random_rules(lab: Lab) -> None:
    """Not even text."""
    _bad_then_good(lab, bytes(range(256)) * 20)


@group.fault(
    "rules-nested-10000-deep",
    "10,000 brackets: told, the rules before go on; corrected: taken",
    detect_s=4,
    recover_s=4,
)
def nested(lab: Lab) -> None:
    """A recursion."""
    _bad_then_good(lab, b"x = " + b"[" * 10_000)


@group.fault(
    "rules-of-20-MB", "20 MB of rules: told, the rules before go on; corrected: taken", detect_s=6, recover_s=6
)
def large(lab: Lab) -> None:
    """Comments alone would be too much."""
    _bad_then_good(lab, b"# nothing\n" * 2_000_000)


@group.fault(
    "hup-with-a-bad-file",
    "SIGHUP with a bad file: told, the rules before go on; SIGHUP with a good one: taken",
    detect_s=2,
    recover_s=3,
)
def hup(lab: Lab) -> None:
    """At once, not with the next look."""
    _bad_then_good(lab, b"[[rule]]\nname = 7\n", hup=True)


@group.fault("rules-deleted", "the file goes: told, the rules before go on; back: taken", detect_s=3, recover_s=4)
def deleted(lab: Lab) -> None:
    """While an editor writes it anew."""
    patient, file, out = ruled(lab)
    lab.detect(patient, file.unlink, by=told, limit_s=8)
    begun_s = time.monotonic()
    file.write_text(rules_of(out, "corrected"))
    if lab.must(lab.happens(lambda: '"corrected"' in out.read_text(), 10) is not None, "it is not taken"):
        lab.recovered_s = time.monotonic() - begun_s
    lab.untouched(patient)


@group.fault(
    "rules-everybody-can-write",
    "the file becomes world-writable: told, not taken; mended: taken",
    detect_s=3,
    recover_s=4,
)
def writable(lab: Lab) -> None:
    """Another user of the machine could have written it."""
    patient, file, out = ruled(lab)

    def open_up() -> None:
        file.write_text(rules_of(out, "planted"))
        file.chmod(0o666)

    lab.detect(patient, open_up, by=told, limit_s=8)
    begun_s = time.monotonic()
    file.chmod(0o600)
    file.write_text(rules_of(out, "corrected"))
    if lab.must(lab.happens(lambda: '"corrected"' in out.read_text(), 10) is not None, "it is not taken"):
        lab.recovered_s = time.monotonic() - begun_s


@group.fault("rules-changed-50-times", "changed 50 times in 5 s: the last one holds in the end, no row lost")
def often(lab: Lab) -> None:
    """A script that writes it."""
    patient, file, out = ruled(lab)
    for number in range(50):
        file.write_text(rules_of(out, f"number{number}"))
        time.sleep(0.1)
    lab.must(lab.happens(lambda: '"number49"' in out.read_text(), 12) is not None, "the last one does not hold")
    lab.untouched(patient)


@group.fault("bad-configuration-at-start", "an unknown key: exit 78 and one sentence with the nearest name")
def bad_config(lab: Lab) -> None:
    """A slip of the pen."""
    lab.refused(lab.start(config="[server]\nprot = 1\n", ready=False, watch=False), 78)


@group.fault("huge-number-in-configuration", "a port of 5,000 digits: exit 78 and one sentence")
def huge_number(lab: Lab) -> None:
    """Python refuses to turn it into text."""
    lab.refused(lab.start(config="[server]\nreplay_seconds = " + "9" * 5000 + "\n", ready=False, watch=False), 78)


@group.fault("dotted-key-of-20000-parts", "a.a.a… as a key: exit 78 and one sentence within 30 s")
def dotted(lab: Lab) -> None:
    """It took minutes."""
    lab.refused(lab.start(config=".".join(["a"] * 20_000) + " = 1\n", ready=False, watch=False), 78)


@group.fault("port-taken", "another program has the port: exit 75 and one sentence", owner="start")
def port(lab: Lab) -> None:
    """It may be free soon."""
    first = lab.start()
    second = lab.start(args=["--port", str(first.port)], ready=False, watch=False)
    lab.refused(second, 75)
    lab.untouched(first)


@group.fault(
    "hostile-labels",
    "labels with markup, terminal codes, formulas and 500 characters: never as code in log, metrics, HTML, CSV",
)
def labels(lab: Lab) -> None:
    """Names come from strangers' packs."""
    pack = stateful_pack(lab.folder / "hostile", name="hostile")
    lines = (pack / "labels.csv").read_text().splitlines()
    columns = lines[0].split(",")
    at = columns.index("name")
    evil = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0\x1b[31m", "x" * 500]
    rows = [line.split(",") for line in lines[1:]]
    for row, name in zip(rows, evil, strict=False):
        row[at] = '"' + name.replace('"', '""') + '"'
    put_file(pack, "labels.csv", "\n".join([lines[0], *[",".join(row) for row in rows], ""]).encode())
    patient = lab.start(packs=[pack], ready=False)
    lab.until(lambda: not patient.alive or patient.rows.of("steady").times_s, 30, "rows or an end")
    seen = patient.stderr
    if patient.alive:
        time.sleep(3.0)
        seen = patient.stderr + patient.get("/metrics")[1].decode() + patient.get("/")[1].decode()
        lab.untouched(patient)
    else:
        lab.note(f"exit {patient.process.returncode}: {patient.stderr.strip()[:140]}")
    lab.must("\x1b" not in seen, "a terminal code came through")
    lab.must("<script>alert" not in seen, "markup came through")
