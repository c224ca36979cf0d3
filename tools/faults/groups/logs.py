"""A log that nobody reads, that is closed, that is full."""

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.registry import FaultGroup
from tools.lab.daemon import free_port

group = FaultGroup("logs", owner="server")


def _talkative(lab: Lab, **more: object) -> WatchedDaemon:
    """A daemon that logs a line with each alert that fails, and each of a hundred wrong requests."""
    rules = (
        '[[rule]]\nname="noise"\nlabels="loud"\nsinks=["h"]\n[sink.h]\ntype="webhook"\nprivate=true\n'
        f'url="http://127.0.0.1:{free_port()}/"\n'
    )
    return lab.start(rules=rules, **more)  # type: ignore[arg-type]


def _make_it_talk(patient: WatchedDaemon, lines: int) -> None:
    """Pages of foreign origins are logged, one of each name."""
    import socket

    from tools.faults.handshake import shake

    for number in range(lines):
        with suppress(OSError), socket.create_connection(("127.0.0.1", patient.port), 2) as sock:
            sock.sendall(shake(patient.port, "/v1", f"Origin: https://site{number}.example"))
            sock.settimeout(0.5)
            sock.recv(100)


def _goes_on(lab: Lab, patient: WatchedDaemon) -> None:
    begun_s = time.monotonic()
    lab.must(patient.alive, f"the daemon ended with {patient.process.returncode}")
    lab.must(lab.happens(lambda: patient.rows.first_after("steady", begun_s), 8.0) is not None, "rows stopped")
    lab.must(lab.happens(lambda: any(x.code for x in patient.health.since(begun_s)), 8.0) is not None, "health is mute")
    lab.whole(patient, "steady", gaps=False)


@group.fault(
    "pipe-nobody-reads",
    "standard error is a full pipe: rows, events and health go on; what is dropped is counted",
)
def unread(lab: Lab) -> None:
    """It stopped everything after 558 lines."""
    read_end, write_end = os.pipe()
    lab.held.callback(os.close, read_end)
    patient = _talkative(lab, stderr=write_end)
    os.write(write_end, b"x" * 1000)
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    os.close(write_end)
    _make_it_talk(patient, 60)
    time.sleep(4.0)
    _goes_on(lab, patient)


@group.fault(
    "reader-comes-back", "the pipe is read again after 6 s: the log goes on and says how many lines were dropped"
)
def back(lab: Lab) -> None:
    """A log collector that was restarted."""
    read_end, write_end = os.pipe()
    lab.held.callback(os.close, read_end)
    patient = _talkative(lab, stderr=write_end)
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    os.close(write_end)
    _make_it_talk(patient, 40)
    time.sleep(5.0)
    got: list[bytes] = []
    threading.Thread(target=lambda: got.extend(iter(lambda: os.read(read_end, 65536), b"")), daemon=True).start()
    time.sleep(1.0)
    _make_it_talk(patient, 5)
    lab.must(lab.happens(lambda: b"origin" in b"".join(got), 8.0) is not None, "no line comes after it is read again")
    _goes_on(lab, patient)


@group.fault("closed", "standard error is closed at start: rows and health go on")
def closed(lab: Lab) -> None:
    """As some supervisors start it."""
    patient = _talkative(lab, wrap=["sh", "-c", 'exec "$0" "$@" 2>&-'])
    _make_it_talk(patient, 10)
    time.sleep(2.0)
    _goes_on(lab, patient)


@group.fault("reader-gone", "the reader of the log ends (EPIPE): rows and health go on", cheap=True)
def gone(lab: Lab) -> None:
    """The terminal is closed."""
    read_end, write_end = os.pipe()
    patient = _talkative(lab, stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    _make_it_talk(patient, 10)
    time.sleep(2.0)
    _goes_on(lab, patient)


@group.fault("disk-of-the-log-full", "ENOSPC at every line: rows and health go on")
def full(lab: Lab) -> None:
    """/dev/full as the log."""
    with Path("/dev/full").open("wb") as out:
        patient = _talkative(lab, stderr=out)
    _make_it_talk(patient, 10)
    time.sleep(2.0)
    _goes_on(lab, patient)


@group.fault(
    "disk-of-the-log-full-for-a-while", "its disk takes lines again: the log goes on and says how many were lost"
)
def full_for_a_while(lab: Lab) -> None:
    """A file on a disk that somebody else fills, and empties."""
    disk = lab.tmpfs("1m")
    with (disk / "log").open("ab") as out:
        patient = _talkative(lab, stderr=out)
    with (disk / "log").open("ab", buffering=0) as log:
        log.write(b"x" * (4096 - log.tell() % 4096))  # else the rest of its page takes some more
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as filler:
        for size in (65536, 512, 1):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass
    _make_it_talk(patient, 60)
    time.sleep(2.0)
    (disk / "filler").unlink()
    time.sleep(2.0)
    _make_it_talk(patient, 5)
    said = lab.happens(lambda: b"lines of the log were lost" in (disk / "log").read_bytes(), 8.0)
    lab.must(said is not None, "that lines are missing is not said")
    _goes_on(lab, patient)


@group.fault("standard-output-full", "standard output is a full pipe: rows and health go on", owner="server")
def stdout(lab: Lab) -> None:
    """Nothing should go there at all."""
    patient = lab.start(wrap=["sh", "-c", 'exec "$0" "$@" >/dev/full'])
    time.sleep(2.0)
    _goes_on(lab, patient)


@group.fault(
    "lines-in-a-label", "a stream named with line breaks and terminal codes: one printable line each, or refused"
)
def lines(lab: Lab) -> None:
    """A log line that pretends to be another."""
    patient = lab.start("demo#name=a%0Astreamclf: error: planted%1b[2J", ready=False)
    lab.until(lambda: not patient.alive or patient.rows.of("steady").times_s, 30, "rows or an end")
    lab.must("\x1b" not in patient.stderr, "a terminal code came through")
    lab.must("\nstreamclf: error: planted" not in patient.stderr, "a line was planted")
    if not patient.alive:
        lab.note(f"exit {patient.process.returncode}: {patient.stderr.strip()[:120]}")


@group.fault("secrets-in-the-log", "tokens, paths of webhooks, passwords of cameras: none in the log", owner="server")
def secrets(lab: Lab) -> None:
    """While everything fails, which is when most is said."""
    port = free_port()
    rules = (
        '[[rule]]\nname="n"\nlabels="loud"\nsinks=["h"]\n[sink.h]\ntype="webhook"\nprivate=true\n'
        f'url="http://127.0.0.1:{port}/services/T0SECRETPATH/xyz?sig=QUERYSECRET"\n'
    )
    patient = lab.start(rules=rules, token="TOKENSECRET0123456789")
    lab.until(lambda: any(told(look) for look in patient.health.looks), 20, "the sink to fail", patient)
    time.sleep(2.0)
    seen = patient.stderr + str([look.body for look in patient.health.looks[-5:]])
    for secret in ("T0SECRETPATH", "QUERYSECRET", "TOKENSECRET"):
        lab.must(secret not in seen, f"{secret} is shown")
    child = subprocess.run(
        ["grep", "-c", "TOKENSECRET", str(patient.log.with_suffix(".err"))], check=False, capture_output=True
    )
    lab.note(f"{int(child.stdout or 0)} lines with the token")
