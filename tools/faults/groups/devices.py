"""Microphones that are unplugged, frozen, late or flapping."""

import time

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.microphones import PulseLab
from tools.faults.registry import FaultGroup

group = FaultGroup("devices", owner="start")


def _server(lab: Lab, *names: str) -> PulseLab:
    server = PulseLab(lab.folder, *names)
    lab.held.callback(server.close)
    for name in names:
        server.plug(name)
    return server


def _hearing(lab: Lab, server: PulseLab, *names: str) -> WatchedDaemon:
    patient = lab.start(*(f"device:{name}#name={name}" for name in names), env=server.env)
    lab.until(lambda: all(patient.rows.of(name).times_s for name in names), 20, "rows of each", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 20, "health to be ok", patient)
    return patient


@group.fault(
    "unplug",
    "/healthz 503 within 1 s and for as long as it lasts; rows 2 s after the plug",
    detect_s=1,
    recover_s=2,
)
def unplug(lab: Lab) -> None:
    """One of one microphone, for 4 s."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")
    if lab.detect(patient, lambda: server.unplug("mica")):
        lab.lasting(patient, 4.0)
    lab.recover(patient, lambda: server.plug("mica"), "mica")
    lab.untouched(patient)
    lab.whole(patient, "mica")


@group.fault(
    "unplug-long",
    "503 for the 25 s that it lasts, whatever the back-off; rows 2 s after the plug",
    detect_s=1,
    recover_s=2,
)
def unplug_long(lab: Lab) -> None:
    """Long enough for every back-off to grow."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")
    if lab.detect(patient, lambda: server.unplug("mica")):
        lab.lasting(patient, 25.0)
    lab.recover(patient, lambda: server.plug("mica"), "mica")
    lab.untouched(patient)


@group.fault(
    "another-rate-after-the-plug",
    "plugged in again at twice its rate: rows within 2 s, at the pace of time",
    recover_s=2,
)
def another_rate(lab: Lab) -> None:
    """Another microphone of the same name, as after an update of its firmware."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")
    lab.detect(patient, lambda: server.unplug("mica"))
    lab.recover(patient, lambda: server.plug("mica", faster=2), "mica")
    rows, begun_s = patient.rows.of("mica"), time.monotonic()
    before = rows.rows
    time.sleep(10.0)
    pace = (rows.rows - before) / 50 / (time.monotonic() - begun_s)
    lab.note(f"{pace:.2f} s of rows a second")
    lab.must(0.9 < pace < 1.1, f"{pace:.2f} s of rows a second")
    lab.must(any(one["stream"] == "mica" for one in patient.get_json("/v1/events")["events"]), "no event of it")
    lab.untouched(patient)


@group.fault("unplug-one-of-two", "503 names the one; the other loses no frame", detect_s=1, recover_s=2)
def unplug_one(lab: Lab) -> None:
    """PortAudio must be opened anew for a new list of devices, which ends every stream."""
    server = _server(lab, "mica", "micb")
    patient = _hearing(lab, server, "mica", "micb")
    if lab.detect(patient, lambda: server.unplug("micb")):
        lab.lasting(patient, 3.0)
    lab.recover(patient, lambda: server.plug("micb"), "micb")
    lab.whole(patient, "mica")
    lost = sum(b - a for a, b in patient.rows.of("mica").holes)
    lab.must(not lost, f"mica lost {lost} frames while micb was looked for")


@group.fault(
    "flap-one-of-two", "ten times in a minute: the other loses nothing, nothing is paused", recover_s=2, limit_s=150
)
def flap(lab: Lab) -> None:
    """Issue 14: the other one was silenced for good."""
    server = _server(lab, "mica", "micb")
    patient = _hearing(lab, server, "mica", "micb")
    for _ in range(10):
        server.unplug("micb")
        time.sleep(2.0)
        server.plug("micb")
        time.sleep(3.5)
    lab.recover(patient, lambda: None, "micb", "mica")
    lost = sum(b - a for a, b in patient.rows.of("mica").holes)
    lab.must(not lost, f"mica lost {lost} frames")
    paused = [state for name in ("mica", "steady") for _, state, _ in patient.rows.of(name).states if state == "paused"]
    lab.must(not paused, f"{len(paused)} times paused")
    lab.note(f"micb: {len(patient.rows.of('micb').gaps)} gaps told")


@group.fault(
    "server-frozen",
    "SIGSTOP of the sound server: 503 within 1 s; rows 2 s after SIGCONT; the hole is a gap",
    detect_s=1,
    recover_s=2,
    owner="health",
)
def frozen(lab: Lab) -> None:
    """The device stays `active` and no sample comes."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")
    if lab.detect(patient, server.freeze):
        lab.lasting(patient, 4.0)
    lab.recover(patient, server.thaw, "mica")
    lab.whole(patient, "mica")
    lab.must(patient.rows.of("mica").gaps, "no gap was told")
    lab.untouched(patient)


@group.fault(
    "server-killed", "503 within 1 s; when it runs again the microphone is found again", detect_s=1, recover_s=5
)
def killed(lab: Lab) -> None:
    """SIGKILL of the sound server, started again 3 s later."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")
    if lab.detect(patient, server.kill):
        lab.lasting(patient, 3.0)

    def again() -> None:
        server.start()
        server.plug("mica")

    lab.recover(patient, again, "mica")
    lab.untouched(patient)


@group.fault("absent-at-start", "it starts, hears the others, says 503; rows 2 s after the plug", recover_s=2)
def absent(lab: Lab) -> None:
    """A power cut: what is slow to boot comes later."""
    server = PulseLab(lab.folder, "mica")
    lab.held.callback(server.close)
    patient = lab.start("device:mica#name=mica", env=server.env)
    lab.detect(patient, lambda: None)
    lab.lasting(patient, 3.0)
    lab.recover(patient, lambda: server.plug("mica"), "mica")
    lab.untouched(patient)


@group.fault(
    "no-server-at-start", "it starts without a sound server, says 503, and finds the microphone later", recover_s=5
)
def no_server(lab: Lab) -> None:
    """The sound server comes after the daemon."""
    server = PulseLab(lab.folder, "mica")
    lab.held.callback(server.close)
    server.kill()
    patient = lab.start("device:mica#name=mica", env=server.env)
    lab.detect(patient, lambda: None)

    def come() -> None:
        server.start()
        server.plug("mica")

    lab.recover(patient, come, "mica")
    lab.untouched(patient)


@group.fault(
    "demo-without-microphone",
    "without a source and a microphone the demo plays, is called demo, and none of it is stored or alerted",
    owner="start",
)
def demo(lab: Lab) -> None:
    """Its birds would be told as birds of the garden."""
    server = PulseLab(lab.folder, "mica")
    lab.held.callback(server.close)
    server.kill()
    out = lab.folder / "alerts"
    rules = f'[[rule]]\nname="all"\nlabels="*"\nsinks=["f"]\n[sink.f]\ntype="ndjson"\npath="{out}"\n'
    patient = lab.start(steady=False, env=server.env, rules=rules)
    time.sleep(8.0)
    streams = (
        patient.get_json("/healthz")["streams"] if patient.get("/healthz")[0] == 200 else patient.status["streams"]
    )
    lab.note(", ".join(f"{one['name']} {one['state']}" for one in streams))
    kept = patient.get_json("/v1/events")["events"]
    lab.must(not kept, f"{len(kept)} events of the demo are stored")
    lab.must(not out.exists(), "the demo was alerted")
    lab.must(told(patient.health.last) if patient.health.last else False, "health is ok without any microphone")


@group.fault(
    "swap-back-same-name",
    "unplugged and plugged within 0.3 s: rows again within 2 s, the hole is a gap",
    recover_s=2,
    cheap=True,
)
def quick(lab: Lab) -> None:
    """Faster than any poll."""
    server = _server(lab, "mica")
    patient = _hearing(lab, server, "mica")

    def swap() -> None:
        server.unplug("mica")
        time.sleep(0.2)
        server.plug("mica")

    lab.recover(patient, swap, "mica")
    lab.whole(patient, "mica")
    lab.untouched(patient)
    lab.healthy(patient)
