"""Signals at every moment."""

import json
import signal
import sys
import time

from tools.faults.lab import Lab
from tools.faults.receivers import Hook
from tools.faults.registry import FaultGroup

group = FaultGroup("signals", owner="start")


def _ends(lab: Lab, patient_code: int, took_s: float, *codes: int) -> None:
    lab.note(f"exit {patient_code} after {took_s:.1f} s")
    lab.must(patient_code in codes, f"exit {patient_code}, expected {' or '.join(map(str, codes))}")
    lab.must(took_s < 10, f"it took {took_s:.1f} s")


@group.fault(
    "term-during-start",
    "SIGTERM at ten moments of the start: each ends within 10 s, exit 0 or by the signal, no traceback",
)
def start(lab: Lab) -> None:
    """From 0.05 to 1.85 s after it was started."""
    for number in range(10):
        patient = lab.start(ready=False, watch=False)
        time.sleep(0.05 + 0.2 * number)
        begun_s = time.monotonic()
        code = patient.stop()
        took_s = time.monotonic() - begun_s
        lab.must(code in (0, -signal.SIGTERM), f"exit {code} at moment {number}")
        lab.must(took_s < 10, f"{took_s:.1f} s at moment {number}")


@group.fault(
    "int-during-start",
    "SIGINT at ten moments from 0.3 s on: each ends within 10 s, exit 0 or 130, no traceback",
)
def int_start(lab: Lab) -> None:
    """Ctrl-C of somebody who thought again; before 0.3 s it is Python itself that starts."""
    for number in range(10):
        patient = lab.start(ready=False, watch=False)
        time.sleep(0.3 + 0.2 * number)
        code = patient.stop(signal.SIGINT)
        lab.must(code in (0, 130, -signal.SIGINT), f"exit {code} at moment {number}")


@group.fault("int-twice", "SIGINT twice within 0.2 s: ends at once, no traceback", cheap=True)
def twice(lab: Lab) -> None:
    """An impatient person."""
    patient = lab.start()
    patient.unwatch()
    begun_s = time.monotonic()
    patient.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    if patient.alive:
        patient.process.send_signal(signal.SIGINT)
    _ends(lab, patient.wait(15), time.monotonic() - begun_s, 0, 1, 130, -signal.SIGINT)


@group.fault(
    "term-while-a-sink-hangs",
    "SIGTERM while a webhook hangs: ends within 10 s, exit 0; the alert comes after the restart",
    owner="alerts",
)
def sink(lab: Lab) -> None:
    """Nothing is lost by it."""
    hook = Hook()
    lab.held.callback(hook.close)
    hook.answer = 0
    rules = (
        '[[rule]]\nname="n"\nlabels="loud"\nsinks=["h"]\n[sink.h]\ntype="webhook"\nprivate=true\n'
        f'url="http://127.0.0.1:{hook.port}/"\n'
    )
    env = {"STREAMCLF_STORE_PATH": str(lab.folder / "store")}
    patient = lab.start(rules=rules, env=env)
    lab.until(lambda: hook.tries, 20, "a try", patient)
    patient.unwatch()
    begun_s = time.monotonic()
    code = patient.stop()
    _ends(lab, code, time.monotonic() - begun_s, 0)
    hook.answer = 204
    lab.start(rules=rules, env=env, home=patient.log.parent)
    lab.must(lab.happens(lambda: hook.got, 20) is not None, "the alert did not come after the restart")


@group.fault("hup-storm", "200 SIGHUPs in a second: no row lost, it runs on")
def storm(lab: Lab) -> None:
    """With rules that are read again."""
    rules = f'[[rule]]\nname="n"\nlabels="loud"\nsinks=["f"]\n[sink.f]\ntype="ndjson"\npath="{lab.folder}/out"\n'
    patient = lab.start(rules=rules)
    for _ in range(200):
        patient.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    time.sleep(1.0)
    lab.untouched(patient)
    lab.healthy(patient)


@group.fault("hup-without-rules", "SIGHUP where there are no rules: it runs on")
def hup(lab: Lab) -> None:
    """The default action of SIGHUP ends a process."""
    patient = lab.start()
    patient.process.send_signal(signal.SIGHUP)
    time.sleep(1.0)
    lab.untouched(patient)
    lab.healthy(patient)


@group.fault("pipe-signal", "SIGPIPE and SIGUSR1: it runs on, or ends with a word; SIGPIPE never ends it")
def sigpipe(lab: Lab) -> None:
    """Python ignores SIGPIPE; nothing may change that."""
    patient = lab.start()
    patient.process.send_signal(signal.SIGPIPE)
    time.sleep(1.0)
    lab.untouched(patient)
    lab.healthy(patient)


@group.fault("stopped-then-term", "SIGSTOP, SIGTERM, 3 s, SIGCONT: it ends within 10 s, exit 0")
def stopped(lab: Lab) -> None:
    """The signal waits for it."""
    patient = lab.start()
    patient.unwatch()
    patient.process.send_signal(signal.SIGSTOP)
    patient.process.send_signal(signal.SIGTERM)
    time.sleep(3.0)
    begun_s = time.monotonic()
    patient.process.send_signal(signal.SIGCONT)
    _ends(lab, patient.wait(15), time.monotonic() - begun_s, 0)


@group.fault(
    "events-open-at-the-end",
    "SIGTERM in the middle of an event: it is closed in the store, ended by stop",
    owner="store",
)
def open_event(lab: Lab) -> None:
    """The noise lasts half a second of each second."""
    import sqlite3
    from contextlib import closing

    patient = lab.start()
    lab.until(lambda: any(one["stage"] == "open" for one in patient.rows.events), 20, "an event", patient)
    patient.rows.events.clear()
    lab.until(lambda: any(one["stage"] == "open" for one in patient.rows.events), 20, "another event", patient)
    store = patient.log.parent / "store" / "streamclf.db"
    patient.unwatch()
    patient.stop()
    with closing(sqlite3.connect(store)) as opened:
        rows = opened.execute("SELECT stage, ended_by FROM events").fetchall()
    lab.must(rows and all(stage == "close" for stage, _ in rows), f"events are left open: {rows}")
    lab.note(f"{len(rows)} events, ended by {', '.join(sorted({str(by) for _, by in rows}))}")


_DEAF = """import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
os.execvp(sys.argv[1], sys.argv[1:])"""


@group.fault(
    "ignored-and-blocked-by-a-parent",
    "started by what ignores SIGCHLD and blocks the others: programs of sinks are seen to end, SIGTERM ends it",
)
def inherited(lab: Lab) -> None:
    """A supervisor that starts it from a thread of its own; both are inherited."""
    place, program = lab.folder / "told", lab.folder / "program"
    program.write_text(f"#!/bin/sh\ncat >> {place}\n")
    program.chmod(0o700)
    rules = (
        f'[[rule]]\nname = "n"\nlabels = "loud"\nsinks = ["run"]\n[sink.run]\ntype = "command"\nargv = ["{program}"]\n'
    )
    patient = lab.start(wrap=[sys.executable, "-c", _DEAF], rules=rules)
    lab.until(lambda: place.exists() and len(place.read_text().splitlines()) >= 4, 20, "four alerts", patient)
    lab.healthy(patient)
    ids = [json.loads(line)["data"]["id"] for line in place.read_text().splitlines()]
    lab.must(len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} of {len(ids)} alerts were told again")
    patient.unwatch()
    begun_s = time.monotonic()
    _ends(lab, patient.stop(), time.monotonic() - begun_s, 0)
