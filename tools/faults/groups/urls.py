"""Cameras and web radios that die, hang, are slow, or send the daemon somewhere else."""

import os
import subprocess
import sys
import time

from tools.faults.lab import Lab, WatchedDaemon, deaf, told
from tools.faults.radio import Radio
from tools.faults.registry import FaultGroup, NotHereError

group = FaultGroup("urls", owner="start")


def _radio(lab: Lab) -> Radio:
    radio = Radio("127.0.0.1", 0)
    lab.held.callback(radio.close)
    return radio


def _hearing(lab: Lab, url: str) -> WatchedDaemon:
    patient = lab.start(f"url:{url}#name=radio")
    lab.until(lambda: patient.rows.of("radio").times_s, 20, "rows of radio", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 20, "health to be ok", patient)
    return patient


@group.fault(
    "dies",
    "its connections end and new ones are refused: 503 within 1 s, as long as it lasts; then heard again",
    detect_s=1,
    recover_s=10,
)
def dies(lab: Lab) -> None:
    """The camera's power is cut for 5 s."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://127.0.0.1:{radio.port}/live")
    if lab.detect(patient, lambda: radio.set("x")):
        lab.lasting(patient, 5.0)
    lab.recover(patient, lambda: radio.set("f"), "radio")
    lab.whole(patient, "radio")
    lab.untouched(patient)


@group.fault(
    "hangs",
    "connected, and nothing is sent: 503 (stalled) within 1 s, as long as it lasts; then heard again",
    detect_s=1,
    recover_s=10,
    owner="health",
)
def hangs(lab: Lab) -> None:
    """For 15 s."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://127.0.0.1:{radio.port}/live")
    if lab.detect(patient, lambda: radio.set("h")):
        lab.lasting(patient, 13.0)
    lab.recover(patient, lambda: radio.set("f"), "radio", limit_s=45)
    lab.whole(patient, "radio")
    lab.untouched(patient)


@group.fault(
    "half-open",
    "its network drops every packet: 503 within 1 s, as long as it lasts; then heard again",
    detect_s=1,
    recover_s=35,
    owner="health",
    limit_s=150,
)
def half_open(lab: Lab) -> None:
    """A namespace whose link is taken down; no end of a connection ever arrives."""
    lab.need(root=True, tools=["ip"])
    name, number = f"flt{os.getpid()}", os.getpid() % 250 + 1
    here, there = f"10.213.{number}.1", f"10.213.{number}.2"
    lab.sh("ip", "netns", "add", name)
    lab.held.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
    lab.sh("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
    lab.sh("ip", "addr", "add", f"{here}/24", "dev", f"{name}a")
    lab.sh("ip", "link", "set", f"{name}a", "up")
    lab.sh("ip", "netns", "exec", name, "ip", "addr", "add", f"{there}/24", "dev", f"{name}b")
    lab.sh("ip", "netns", "exec", name, "ip", "link", "set", f"{name}b", "up")
    station = subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-m", "tools.faults.radio", there, "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    lab.held.callback(station.wait)
    lab.held.callback(station.kill)
    assert station.stdout is not None
    port = station.stdout.readline().decode().strip()
    if not port:
        raise NotHereError("no server could be started in a network namespace")
    patient = _hearing(lab, f"http://{there}:{port}/live")

    def drop() -> None:
        lab.sh("ip", "netns", "exec", name, "ip", "link", "set", f"{name}b", "down")

    def let_through() -> None:
        lab.sh("ip", "netns", "exec", name, "ip", "link", "set", f"{name}b", "up")

    try:
        if lab.detect(patient, drop):
            lab.lasting(patient, 20.0)
    finally:
        let_through()
    lab.recover(patient, lambda: None, "radio", limit_s=50)
    lab.whole(patient, "radio")
    lab.untouched(patient)


@group.fault(
    "slow",
    "half as fast as real time: told (degraded) within 10 s; nothing is glued; then heard again",
    detect_s=10,
    recover_s=10,
)
def slow(lab: Lab) -> None:
    """A line that is too thin."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://127.0.0.1:{radio.port}/live")
    if lab.detect(patient, lambda: radio.set("s"), by=told):
        lab.lasting(patient, 5.0, by=told)
    lab.recover(patient, lambda: radio.set("f"), "radio")
    lab.whole(patient, "radio")
    lab.untouched(patient)


@group.fault(
    "absent-at-start",
    "refused at start: the daemon starts, hears the others, says 503; heard when it comes",
    recover_s=10,
)
def absent(lab: Lab) -> None:
    """Cameras boot more slowly."""
    radio = _radio(lab)
    radio.set("x")
    patient = lab.start(f"url:http://127.0.0.1:{radio.port}/live#name=radio")
    lab.detect(patient, lambda: None)
    lab.lasting(patient, 3.0)
    lab.recover(patient, lambda: radio.set("f"), "radio")
    lab.untouched(patient)


@group.fault("hangs-at-start", "accepts and says nothing: the daemon starts, hears the others within 10 s, says 503")
def hangs_at_start(lab: Lab) -> None:
    """The start must not wait for it."""
    radio = _radio(lab)
    radio.set("h")
    begun_s = time.monotonic()
    patient = lab.start(f"url:http://127.0.0.1:{radio.port}/live#name=radio")
    lab.note(f"the others were heard after {time.monotonic() - begun_s:.1f} s")
    lab.detect(patient, lambda: None)
    lab.recover(patient, lambda: radio.set("f"), "radio", limit_s=45)
    lab.untouched(patient)


@group.fault("redirected", "one redirect is followed and heard", cheap=True)
def redirected(lab: Lab) -> None:
    """As stations do."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://127.0.0.1:{radio.port}/moved")
    lab.untouched(patient)


@group.fault("redirected-in-a-round", "an endless round of redirects: 503, the others are heard, no flood of requests")
def round_trip(lab: Lab) -> None:
    """It must end."""
    radio = _radio(lab)
    patient = lab.start(f"url:http://127.0.0.1:{radio.port}/round#name=radio")
    lab.detect(patient, lambda: None)
    lab.lasting(patient, 5.0)
    lab.untouched(patient)


@group.fault("redirected-to-a-file", "a redirect to file:///etc/passwd is not followed: 503, others heard")
def to_file(lab: Lab) -> None:
    """Nothing on this disk is read because a server says so."""
    radio = _radio(lab)
    patient = lab.start(f"url:http://127.0.0.1:{radio.port}/file#name=radio")
    lab.detect(patient, lambda: None)
    lab.must("root:" not in patient.stderr, "the file was read")
    lab.untouched(patient)


@group.fault("garbage", "random bytes instead of audio: 503 with its reason, the others are heard")
def garbage(lab: Lab) -> None:
    """No format at all."""
    radio = _radio(lab)
    patient = lab.start(f"url:http://127.0.0.1:{radio.port}/garbage#name=radio")
    lab.detect(patient, lambda: None)
    lab.lasting(patient, 3.0)
    lab.untouched(patient)


@group.fault("flaps", "dies and returns five times: heard again each time, the others lose nothing", recover_s=10)
def flaps(lab: Lab) -> None:
    """A camera that boots in a circle."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://127.0.0.1:{radio.port}/live")
    for _ in range(5):
        radio.set("x")
        lab.must(lab.happens(lambda: patient.health.last and deaf(patient.health.last), 10) is not None, "no 503")
        lab.recover(patient, lambda: radio.set("f"), "radio")
    lab.whole(patient, "radio")
    lab.untouched(patient)


@group.fault("password-in-address", "user, password and query are in no log, status, health or page")
def password(lab: Lab) -> None:
    """While it is there, and when it is gone."""
    radio = _radio(lab)
    patient = _hearing(lab, f"http://ada:hunter22@127.0.0.1:{radio.port}/live?key=sesame99")
    radio.set("x")
    time.sleep(3.0)
    seen = patient.stderr + patient.stdout + str(patient.status) + str(patient.health.looks[-1].body)
    seen += patient.get("/metrics")[1].decode()
    for secret in ("hunter22", "sesame99"):
        lab.must(secret not in seen, f"{secret!r} is shown")
    lab.recover(patient, lambda: radio.set("f"), "radio")
