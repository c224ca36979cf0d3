"""What a fault is made with: daemons that are watched, a place to note what is seen, and the limits that hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tools.faults.material import Material
from tools.faults.registry import NotHereError
from tools.faults.watch import HealthWatch, Look, RowWatch
from tools.lab.daemon import Daemon, clean_env, free_port

STEADY = "steady"
READY_S = 60.0
Told = Callable[[Look], bool]


class UnmetError(Exception):
    """What was waited for did not come; the fault cannot go on."""


def deaf(look: Look) -> bool:
    """503: something that should be heard is not."""
    return look.deaf


def told(look: Look) -> bool:
    """A problem is told: the status is not ok."""
    return look.code != 0 and not look.ok


@dataclass
class WatchedDaemon(Daemon):
    """A daemon under watch."""

    health: HealthWatch = field(init=False)
    rows: RowWatch = field(init=False)
    killed: bool = False
    """Whether its end is part of the fault."""

    def watch(self, *, token: str = "", host: str = "127.0.0.1") -> None:
        """From now on."""
        self.health = HealthWatch(self.port, token=token, host=host)
        query = f"?token={token}" if token else ""
        self.rows = RowWatch(f"ws://{host}:{self.port}/v1{query}")

    def unwatch(self) -> None:
        """Observers end before their daemon."""
        for name in ("rows", "health"):
            if (observer := getattr(self, name, None)) is not None:
                observer.close()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    @property
    def status(self) -> dict[str, Any]:
        """GET /v1/status."""
        answer: dict[str, Any] = self.get_json("/v1/status")
        return answer

    def stream(self, name: str) -> dict[str, Any]:
        """What /v1/status says of a stream."""
        return next((one for one in self.status["streams"] if one["name"] == name), {})

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = self.get("/metrics")[1].decode().splitlines()
        found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def rss_kib(self, *, children: bool = False) -> int:
        """Resident memory. children: that of its children as well."""
        place = Path(f"/proc/{self.process.pid}")
        pids = [str(self.process.pid)]
        if children:
            pids += (place / "task" / pids[0] / "children").read_text().split()
        found = 0
        for pid in pids:
            with suppress(FileNotFoundError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                found += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return found


class Lab:
    """Of one fault. What it notes becomes the row of the table."""

    def __init__(self, folder: Path, material: Material) -> None:
        self.folder = folder
        self.material = material
        self.held = ExitStack()
        self.patients: list[WatchedDaemon] = []
        self.notes: list[str] = []
        self.complaints: list[str] = []
        self.detected_s: float | None = None
        self.recovered_s: float | None = None

    # Daemons

    def start(
        self,
        *sources: str,
        packs: Sequence[Path] = (),
        args: Sequence[str] = (),
        rules: str = "",
        config: str = "",
        env: dict[str, str] | None = None,
        wrap: Sequence[str] = (),
        steady: bool = True,
        ready: bool = True,
        watch: bool = True,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = None,
        home: Path | None = None,
        token: str = "",
    ) -> WatchedDaemon:
        """A daemon on `sources` and, with `steady`, on a recording that plays all the time.

        wrap: a program, with its arguments, that turns itself into the daemon. ready: wait until every stream has rows.
        """
        home = home or self.folder / f"home-{len(self.patients)}"
        home.mkdir(exist_ok=True)
        every = [*sources, f"file:{self.material.sound}#loop=yes&name={STEADY}"] if steady else list(sources)
        words = [word for source in every for word in ("--source", source)]
        words += [word for pack in packs or [self.material.pack] for word in ("--model", str(pack))]
        if rules:
            (home / "rules.toml").write_text(rules)
            words += ["--rules", str(home / "rules.toml")]
        (home / "config.toml").write_text(config)
        own = {"STREAMCLF_STORE_PATH": str(home / "store"), "STREAMCLF_CONFIG": str(home / "config.toml")}
        # that a pack was tried is known to the next daemon, too, as on any machine
        own["XDG_CACHE_HOME"] = str(self.material.folder / "cache")
        if token:
            own["STREAMCLF_TOKEN"] = token
        log, port = home / f"daemon-{len(self.patients)}", free_port()
        out = self.held.enter_context(log.with_suffix(".out").open("wb"))
        err = self.held.enter_context(log.with_suffix(".err").open("wb"))
        process = subprocess.Popen(
            [*wrap, sys.executable, "-m", "streamclf", "run", "--port", str(port), *words, *args],
            env=clean_env(home, own | (env or {})),
            stdin=stdin,
            stdout=out,
            stderr=err if stderr is None else stderr,
        )
        patient = WatchedDaemon(process, port, log)
        self.patients.append(patient)
        if watch:
            patient.watch(token=token)
        if ready:
            self.until(lambda: self._answers(patient, steady), READY_S, "the daemon to be ready", patient)
        return patient

    def close(self) -> None:
        """Ends what runs; a daemon that does not end by itself, or that says Traceback, is a complaint."""
        for patient in self.patients:
            patient.unwatch()
            try:
                if patient.alive:
                    with suppress(ProcessLookupError):
                        patient.process.send_signal(signal.SIGCONT)
                    patient.stop()
            except AssertionError as fault:
                self.must(False, str(fault).splitlines()[0])
            if "Traceback" in patient.stderr:
                self.must(False, f"a traceback in the log: {patient.stderr.strip().splitlines()[-1][:160]}")
        self.held.close()

    # What is seen

    def note(self, words: str) -> None:
        """Something seen."""
        self.notes.append(words)

    def must(self, holds: object, words: str) -> bool:
        """What does not hold is a failure; `words` says what is wrong then."""
        if not holds:
            self.complaints.append(words)
        return bool(holds)

    def until(
        self, condition: Callable[[], object], limit_s: float, what: str, patient: WatchedDaemon | None = None
    ) -> None:
        """Raises `UnmetError` where it does not come to that, or the daemon ends meanwhile."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            if patient is not None and not patient.alive:
                last = patient.stderr.strip().splitlines()[-1:] or [""]
                raise UnmetError(f"the daemon ended with {patient.process.returncode}: {last[0][:200]}")
            if time.monotonic() > deadline_s:
                raise UnmetError(f"waited {limit_s:.0f} s in vain for {what}")
            time.sleep(0.02)

    def happens(self, condition: Callable[[], object], limit_s: float) -> float | None:
        """Seconds until it holds, None where it does not within the limit."""
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < limit_s:
            if condition():
                return time.monotonic() - begun_s
            time.sleep(0.02)
        return None

    def detect(
        self, patient: WatchedDaemon, act: Callable[[], object], *, by: Told = deaf, limit_s: float = 20.0
    ) -> bool:
        """Does `act` and waits until health tells of it."""
        asked_s = time.monotonic()
        act()
        done_s = time.monotonic()
        deadline_s = done_s + limit_s
        while time.monotonic() < deadline_s:
            if not patient.alive:
                self.must(False, f"the daemon ended with {patient.process.returncode}")
                raise UnmetError("there is nothing left to look at")
            for look in patient.health.since(asked_s):
                if by(look):
                    self.detected_s = max(0.0, look.told_s - done_s)
                    self.note(look.words)
                    return True
            time.sleep(0.02)
        last = patient.health.last
        self.must(False, f"health said nothing within {limit_s:.0f} s ({last.words.strip() if last else 'no answer'})")
        return False

    def lasting(self, patient: WatchedDaemon, seconds: float, *, by: Told = deaf) -> None:
        """As long as the fault lasts health must not say that all is well."""
        begun_s = time.monotonic()
        time.sleep(seconds)
        wrong = [look for look in patient.health.since(begun_s) if look.code and not by(look)]
        if wrong:
            self.must(False, f"after {wrong[0].told_s - begun_s:.1f} s more it said {wrong[0].words} while it lasted")

    def recover(
        self,
        patient: WatchedDaemon,
        act: Callable[[], object],
        *streams: str,
        limit_s: float = 30.0,
        health: bool = True,
    ) -> bool:
        """Does `act` and waits until rows of `streams` flow and health is ok."""
        act()
        done_s = time.monotonic()
        wanted = streams or (STEADY,)
        rows = [self._first(patient, name, done_s, limit_s) for name in wanted]
        if not self.must(None not in rows, f"no row of {', '.join(wanted)} within {limit_s:.0f} s after it was over"):
            return False
        self.recovered_s = max(at for at in rows if at is not None) - done_s
        if not health:
            return True
        took_s = self.happens(lambda: any(look.ok for look in patient.health.since(done_s)), limit_s)
        last = patient.health.last
        if self.must(took_s is not None, f"health did not come back: {last.words if last else ''}"):
            first = next(look for look in patient.health.since(done_s) if look.ok)
            if self.detected_s is not None:
                self.note(f"health ok after {first.told_s - done_s:.1f} s")
        return took_s is not None

    def untouched(self, patient: WatchedDaemon, stream: str = STEADY, *, since_s: float | None = None) -> None:
        """The stream lost no frame, gap records included, and is on now. since_s: look at gaps from then on alone."""
        now_s = time.monotonic()
        self.must(patient.alive, f"the daemon ended with {patient.process.returncode}")
        later = self.happens(lambda: patient.rows.first_after(stream, now_s), 5.0) if patient.alive else None
        self.must(later is not None, f"{stream} has no rows any more")
        self.whole(patient, stream, gaps=False)

    def whole(self, patient: WatchedDaemon, stream: str, *, gaps: bool = True) -> None:
        """No frame of the stream is missing outside of its gap records; without `gaps` none at all."""
        rows = patient.rows.of(stream)
        holes = rows.unexplained() if gaps else rows.holes
        self.must(not holes, f"{stream} lost {sum(b - a for a, b in holes)} frames in {len(holes)} places")
        if not gaps:
            later = [gap for gap in rows.gaps if rows.first is None or gap[1] > rows.first[1]]  # than its first row
            self.must(not later, f"{stream} had {len(later)} gaps ({later[:1]})")

    def healthy(self, patient: WatchedDaemon, seconds: float = 1.0) -> None:
        """The daemon runs, and health is ok now and for some time."""
        begun_s = time.monotonic()
        time.sleep(seconds)
        self.happens(lambda: patient.health.since(begun_s) or not patient.alive, 10.0)  # a busy machine answers late
        looks = patient.health.since(begun_s)
        bad = [look for look in looks if not look.ok]
        self.must(patient.alive, f"the daemon ended with {patient.process.returncode}")
        self.must(looks and not bad, f"health was {bad[0].words if bad else 'not asked'}")

    def _first(self, patient: WatchedDaemon, stream: str, after_s: float, limit_s: float) -> float | None:
        self.happens(lambda: patient.rows.first_after(stream, after_s) or not patient.alive, limit_s)
        return patient.rows.first_after(stream, after_s)

    def _answers(self, patient: WatchedDaemon, steady: bool) -> bool:
        last = patient.health.last if hasattr(patient, "health") else None
        if last is None:
            with suppress(OSError):
                return patient.get("/healthz")[0] in (200, 503)
            return False
        return last.code != 0 and (not steady or bool(patient.rows.of(STEADY).times_s))

    # Help

    def refused(self, patient: WatchedDaemon, *codes: int, limit_s: float = 40.0) -> bool:
        """The daemon ends by itself with one of `codes`, one sentence and no traceback."""
        if not self.must(self.happens(lambda: not patient.alive, limit_s) is not None, "it was taken"):
            return False
        code = patient.process.wait(5)
        said = [line for line in patient.stderr.splitlines() if "error: " in line]
        self.note(f"exit {code}: {said[-1].partition('error: ')[2][:140] if said else 'no word'}")
        self.must(code in codes, f"exit {code}, expected {' or '.join(map(str, codes))}")
        self.must(len(said) == 1, f"{len(said)} sentences of an error instead of one")
        return self.must("Traceback" not in patient.stderr, "a traceback")

    def need(self, *, root: bool = False, tools: Sequence[str] = (), files: Sequence[str] = ()) -> None:
        """Raises `NotHereError` where something that the fault is made with is absent."""
        import shutil

        if root and os.geteuid() != 0:
            raise NotHereError("needs root")
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if absent := [tool for tool in tools if shutil.which(tool, path=path) is None]:
            raise NotHereError(f"{', '.join(absent)} not installed")
        if absent := [file for file in files if not Path(file).exists()]:
            raise NotHereError(f"{', '.join(absent)} not there")

    def sh(self, *words: str) -> str:
        """Runs a program of the system; raises `NotHereError` with what it said where it fails."""
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode:
            raise NotHereError(f"{' '.join(words[:3])}: {done.stderr.strip()[:200]}")
        return done.stdout

    def tmpfs(self, size: str = "24m") -> Path:
        """A file system of its own, of that size."""
        self.need(root=True, tools=["mount"])
        place = self.folder / f"disk-{len(list(self.folder.glob('disk-*')))}"
        place.mkdir()
        self.sh("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
        self.held.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False, capture_output=True)
        return place
