"""Receivers of alerts that refuse, hang, or send the daemon elsewhere; programs that hang, fork and flood."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.receivers import Hook
from tools.faults.registry import FaultGroup
from tools.lab.daemon import free_port

group = FaultGroup("alerts", owner="alerts")
_RULE = '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["{}"]\n'


def _hook(lab: Lab, port: int = 0) -> Hook:
    hook = Hook(port)
    lab.held.callback(hook.close)
    return hook


def rules_with(*sinks: tuple[str, str]) -> str:
    """One rule, with these sinks: name and table of each."""
    names = '", "'.join(name for name, _ in sinks)
    return _RULE.format(names) + "".join(f"[sink.{name}]\n{body}\n" for name, body in sinks)


def webhook_to(port: int, more: str = "") -> str:
    """A sink's table."""
    return f'type = "webhook"\nurl = "http://127.0.0.1:{port}/hook"\nprivate = true\n{more}'


def _failing(lab: Lab, patient: WatchedDaemon, act: Callable[[], object] = lambda: None) -> None:
    """Health tells of the sink; rows and the other sink go on."""
    lab.detect(patient, act, by=told, limit_s=25)
    lab.untouched(patient)


def _file_goes_on(lab: Lab, place: Path) -> None:
    before = len(place.read_text().splitlines()) if place.exists() else 0
    took = lab.happens(lambda: place.exists() and len(place.read_text().splitlines()) > before, 10)
    lab.must(took is not None, "the other sink gets nothing")


def all_come(lab: Lab, hook: Hook, place: Path, *, limit_s: float = 40.0) -> None:
    """Everything that the other sink got comes here, too."""
    wanted = len(place.read_text().splitlines())
    begun_s = time.monotonic()
    took = lab.happens(lambda: len({data["id"] for _, data in hook.got}) >= wanted, limit_s)
    lab.must(took is not None, f"{len({data['id'] for _, data in hook.got})} of {wanted} alerts came")
    if hook.got:
        lab.recovered_s = max(0.0, hook.got[0][0] - begun_s)


@group.fault(
    "webhook-refused",
    "connection refused: told, other sinks and rows go on; all come when it is back",
    detect_s=10,
)
def refused(lab: Lab) -> None:
    """Nobody listens there yet."""
    port, place = free_port(), lab.folder / "alerts.ndjson"
    rules = rules_with(("hook", webhook_to(port)), ("file", f'type = "ndjson"\npath = "{place}"'))
    patient = lab.start(rules=rules)
    _failing(lab, patient)
    _file_goes_on(lab, place)
    all_come(lab, _hook(lab, port), place)


@group.fault(
    "webhook-hangs", "takes the alert and never answers: told after its time, others go on; all come later", detect_s=16
)
def hangs(lab: Lab) -> None:
    """10 s is the most that one may take."""
    hook, place = _hook(lab), lab.folder / "alerts.ndjson"
    hook.answer = 0
    rules = rules_with(("hook", webhook_to(hook.port, "timeout_s = 3")), ("file", f'type = "ndjson"\npath = "{place}"'))
    patient = lab.start(rules=rules)
    _failing(lab, patient)
    _file_goes_on(lab, place)
    hook.answer = 204
    all_come(lab, hook, place)


@group.fault("webhook-500", "answers 500: told, tried again; all come when it is well", detect_s=10, cheap=True)
def fails(lab: Lab) -> None:
    """A broken receiver."""
    hook, place = _hook(lab), lab.folder / "alerts.ndjson"
    hook.answer = 500
    rules = rules_with(("hook", webhook_to(hook.port)), ("file", f'type = "ndjson"\npath = "{place}"'))
    patient = lab.start(rules=rules)
    _failing(lab, patient)
    hook.answer = 204
    all_come(lab, hook, place)


@group.fault("webhook-redirects-to-loopback", "a redirect is not followed, and told", detect_s=10)
def redirects(lab: Lab) -> None:
    """To a service of this machine."""
    victim, hook = _hook(lab), _hook(lab)
    hook.answer, hook.location = 307, f"http://127.0.0.1:{victim.port}/admin"
    patient = lab.start(rules=rules_with(("hook", webhook_to(hook.port))))
    _failing(lab, patient)
    lab.must(not victim.tries, "the redirect was followed")


@group.fault(
    "webhook-of-this-machine",
    "an address of this machine without private = true gets nothing, and it is told",
    detect_s=10,
)
def private(lab: Lab) -> None:
    """Written as IPv4, as IPv6 and as a name."""
    victim = _hook(lab)
    addresses = ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "[64:ff9b::7f00:1]", "2130706433"]
    sinks = [(f"s{i}", f'type = "webhook"\nurl = "http://{one}:{victim.port}/"') for i, one in enumerate(addresses)]
    patient = lab.start(rules=rules_with(*sinks), ready=False)
    lab.until(lambda: not patient.alive or patient.rows.of("steady").times_s, 30, "rows or an end")
    if not patient.alive:
        lab.note(f"exit {patient.process.returncode}: {patient.stderr.strip()[-120:]}")
    else:
        _failing(lab, patient)
    lab.must(not victim.tries, f"{victim.tries} requests reached it")


@group.fault(
    "broker-down", "an MQTT broker that is not there: told, rows go on; connected within 60 s of its start", detect_s=15
)
def broker(lab: Lab) -> None:
    """mosquitto, later."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    lab.need(tools=["mosquitto"])
    port = free_port()
    (lab.folder / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    rules = rules_with(("home", f'type = "mqtt"\nhost = "127.0.0.1"\nport = {port}'))
    patient = lab.start(rules=rules)
    _failing(lab, patient)
    running = subprocess.Popen([str(program), "-c", str(lab.folder / "broker.conf")], stderr=subprocess.DEVNULL)
    lab.held.callback(running.wait)
    lab.held.callback(running.kill)
    begun_s = time.monotonic()
    took = lab.happens(lambda: patient.health.last and patient.health.last.ok, 70)
    if lab.must(took is not None, "it was not found again"):
        lab.recovered_s = time.monotonic() - begun_s
    lab.untouched(patient)


@group.fault("broker-hangs", "accepts and never answers: told, rows go on, SIGTERM ends it in time", detect_s=25)
def broker_hangs(lab: Lab) -> None:
    """Half-open."""
    server = lab.held.enter_context(socket.create_server(("127.0.0.1", 0)))
    rules = rules_with(("home", f'type = "mqtt"\nhost = "127.0.0.1"\nport = {server.getsockname()[1]}'))
    patient = lab.start(rules=rules)
    _failing(lab, patient)


def _program(lab: Lab, body: str) -> Path:
    place = lab.folder / "program"
    place.write_text(f"#!/bin/sh\n{body}\n")
    place.chmod(0o700)
    return place


def _children(lab: Lab, word: str) -> int:
    found = subprocess.run(["pgrep", "-cf", word], capture_output=True, text=True, check=False).stdout.strip()
    return int(found or 0)


@group.fault("program-hangs", "told after its time, ended with what it started, others go on", detect_s=10)
def program_hangs(lab: Lab) -> None:
    """sleep for ever."""
    program = _program(lab, "exec sleep 987654")
    patient = lab.start(rules=rules_with(("run", f'type = "command"\nargv = ["{program}"]\ntimeout_s = 2')))
    _failing(lab, patient)
    patient.unwatch()
    patient.stop()
    lab.must(not _children(lab, "sleep 987654"), "a program outlived the daemon")


@group.fault("program-forks", "it leaves children behind: they end with it")
def program_forks(lab: Lab) -> None:
    """Three of them, each time."""
    program = _program(lab, "for i in 1 2 3; do sleep 876543 & done\nexit 0")
    patient = lab.start(rules=rules_with(("run", f'type = "command"\nargv = ["{program}"]')))
    time.sleep(5.0)
    left = _children(lab, "sleep 876543")
    lab.must(left <= 3, f"{left} children are left")
    lab.untouched(patient)
    patient.unwatch()
    patient.stop()
    lab.must(not _children(lab, "sleep 876543"), "a child outlived the daemon")


@group.fault(
    "program-leaves-one-behind", "it ends at once, and what it started holds its pipe: that alert was delivered"
)
def program_leaves(lab: Lab) -> None:
    """A player in a session of its own, which goes on."""
    place = lab.folder / "told"
    program = _program(lab, f"setsid sleep 20 & cat >> {place}; echo >> {place}")
    patient = lab.start(rules=rules_with(("run", f'type = "command"\nargv = ["{program}"]\ntimeout_s = 3')))
    lab.until(lambda: place.exists() and len(place.read_text().split("\n\n")) > 4, 20, "four alerts", patient)
    ids = [line for line in place.read_text().splitlines() if line]
    lab.must(len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} of {len(ids)} alerts were told again")
    lab.healthy(patient)
    lab.untouched(patient)


@group.fault(
    "program-floods", "it writes without end to both outputs: ended in its time, memory stays, told", detect_s=10
)
def program_floods(lab: Lab) -> None:
    """`yes`, to standard error."""
    program = _program(lab, "exec yes flood >&2")
    patient = lab.start(rules=rules_with(("run", f'type = "command"\nargv = ["{program}"]\ntimeout_s = 2')))
    before = patient.rss_kib()
    _failing(lab, patient)
    time.sleep(4.0)
    grown = (patient.rss_kib() - before) // 1024
    lab.note(f"{grown} MiB more memory")
    lab.must(grown < 100, f"memory grew by {grown} MiB")


@group.fault("program-missing", "a program that is not there: told, others go on", detect_s=10)
def program_missing(lab: Lab) -> None:
    """Uninstalled."""
    patient = lab.start(rules=rules_with(("run", 'type = "command"\nargv = ["/nowhere/at/all"]')))
    _failing(lab, patient)


@group.fault(
    "file-sink-on-a-full-disk", "an ndjson sink whose disk is full: told, events are kept, rows go on", detect_s=10
)
def file_full(lab: Lab) -> None:
    """/dev/full."""
    patient = lab.start(rules=rules_with(("file", 'type = "ndjson"\npath = "/dev/full"')), ready=False)
    lab.until(lambda: not patient.alive or patient.rows.of("steady").times_s, 30, "rows or an end")
    if not patient.alive:
        lab.note(f"exit {patient.process.returncode}: {patient.stderr.strip()[-120:]}")
        lab.must(patient.process.returncode == 78, f"exit {patient.process.returncode}")
    else:
        _failing(lab, patient)


@group.fault(
    "killed-between-event-and-delivery",
    "kill -9 while a receiver is down: after the restart every alert comes",
    owner="store",
)
def killed(lab: Lab) -> None:
    """At least once."""
    hook, place = _hook(lab), lab.folder / "alerts.ndjson"
    hook.answer = 500
    rules = rules_with(("hook", webhook_to(hook.port)), ("file", f'type = "ndjson"\npath = "{place}"'))
    env = {"STREAMCLF_STORE_PATH": str(lab.folder / "store")}
    patient = lab.start(rules=rules, env=env, watch=False)
    lab.until(lambda: place.exists() and len(place.read_text().splitlines()) >= 4, 20, "four alerts", patient)
    patient.kill()
    hook.answer = 204
    again = lab.start(rules=rules, env=env, home=patient.log.parent)
    all_come(lab, hook, place)
    lab.untouched(again)
