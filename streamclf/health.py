"""How the daemon is: gathers for `GET /v1/status` what others count and hold. Keeps but the last minute, in a few sums.

Many pages ask every two seconds. So an answer holds for a second, and what has to be looked for on the disk for ten.
"""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from prometheus_client import Counter, Gauge

from streamclf import __version__, metrics
from streamclf.alerts import outbox
from streamclf.alerts.keeper import Keeper
from streamclf.alerts.service import AlertService
from streamclf.config import Config
from streamclf.engine.pace import Rung
from streamclf.lines import Line, drift_ppm, level
from streamclf.metrics import NO_TIMES, Times
from streamclf.selftest import SelfTest
from streamclf.serve import status
from streamclf.serve.access import Role
from streamclf.serve.hub import Hub
from streamclf.serve.route import Query, Reply
from streamclf.store import clips, scores
from streamclf.store.database import FILE_NAME, reader
from streamclf.types import StreamState

_LOOK_S = 1.0
_SAMPLES = 13
_SAMPLE_S = 5.0  # together the last minute
_DISK_S = 10.0
_BEHIND = "\nbehind"  # no stream's state, and no sentence, is called so
_NAMED = 5  # streams with the same problem that are named
_STATES = {StreamState.PROBLEM: "in trouble"}  # where the state is no word to say it with

# what somebody can do about a stream's state, the worst first
_TO_DO = MappingProxyType(
    {
        StreamState.LOST: "see that the device is plugged in, or that its address answers; "
        "it is tried again all the time",
        StreamState.RECONNECTING: "wait: it is tried again all the time",
        StreamState.PROBLEM: "see what the detail says, and the log",
        StreamState.PAUSED: "give this machine fewer streams or a lighter model, or this stream a higher #priority",
    }
)


class _Sample(NamedTuple):
    at_s: float
    cpu_s: float
    runs: dict[str, Times]
    ticks: Times
    heard_s: dict[str, float]


@dataclass(slots=True)
class _Disk:
    read_s: float
    store: status.StoreStatus | None
    waiting: dict[str, dict[str, int]]


class Health:
    """folder: of the store, None where nothing is kept. keeper, alerts: set once they are there.

    `watch` runs on the loop; `answer` in any thread.
    """

    def __init__(
        self, hub: Hub, lines: Sequence[Line], config: Config, *, folder: Path | None, selftest: SelfTest | None,
        needs_token: bool,
    ) -> None:  # fmt: skip
        self.keeper: Keeper | None = None
        self.alerts: AlertService | None = None
        self._hub = hub
        self._lines = {line.info.name: line for line in lines}
        self._config = config
        self._folder = folder
        self._selftest = selftest
        self._needs_token = needs_token
        self._started_s = time.monotonic()
        self._samples: deque[_Sample] = deque([self._sample()], maxlen=_SAMPLES)  # the oldest goes
        self._since: dict[str, int] = {}  # of each state and problem that there is now (ns)
        self._lock = threading.Lock()
        self._disk: _Disk | None = None
        self._answered_s = -_LOOK_S
        self._answers: dict[bool, bytes] = {}

    def problems(self) -> list[str]:
        """In words, what is wrong with what is no stream."""
        return [what for what, _ in self._problems()]

    async def watch(self) -> None:
        """For ever: since when is what, and how much was done in the last minute."""
        while True:
            self._note(time.time_ns())
            if time.monotonic() >= self._samples[-1].at_s + _SAMPLE_S:
                self._samples.append(self._sample())
            await asyncio.sleep(_LOOK_S)

    def answer(self, query: Query) -> Reply:
        """The `Status` as JSON; who is no admin sees streams, packs and problems. StoreError and sqlite3's pass."""
        with self._lock:
            now_s = time.monotonic()
            if now_s >= self._answered_s + _LOOK_S:
                self._note(time.time_ns())
                whole = self._status(now_s)
                told = msgspec.structs.replace(whole, server=None, store=None, alerts=None, selftest=None, process=None)
                self._answers = {True: msgspec.json.encode(whole), False: msgspec.json.encode(told)}
                self._answered_s = now_s
            return Reply(self._answers[query.role >= Role.ADMIN])

    def _problems(self) -> list[tuple[str, str]]:
        """What is wrong with what is no stream, and what to do about it."""
        found = []
        if self.keeper is not None and self.keeper.problem:
            found.append((self.keeper.problem, "make room on that disk, or see that it can be written; events wait"))
        if self._selftest is not None and self._selftest.problem:
            found.append(
                (self._selftest.problem, "see whether the machine keeps up and a pack is in use that knows it")
            )
        if self.alerts is not None:
            if problem := self.alerts.rules.problem:
                found.append((problem, "mend the file, and try it with `streamclf rules check`"))
            found += [
                (f"sink {name}: {reason}", "see that it can be reached; alerts wait for it, and are tried again")
                for name, reason in sorted(self.alerts.failing.items())
            ]
        return found

    def _note(self, now_ns: int) -> None:
        there = [f"{info.name}\n{info.state}" for info in list(self._hub.streams.values())] + self.problems()
        if _total(metrics.LADDER):
            there.append(_BEHIND)
        self._since = {key: self._since.get(key, now_ns) for key in there}

    def _since_ms(self, key: str) -> int:
        return self._since.get(key, time.time_ns()) // 1_000_000

    def _sample(self) -> _Sample:
        heard_s: dict[str, float] = {}
        for line in self._lines.values():
            for pack in line.info.packs:
                heard_s[pack] = heard_s.get(pack, 0.0) + line.ring.written / line.info.rate
        return _Sample(
            time.monotonic(),
            time.process_time(),
            metrics.times(metrics.RUN_SECONDS, "pack"),
            metrics.times(metrics.TICK_SECONDS)[""],
            heard_s,
        )

    def _status(self, now_s: float) -> status.DaemonStatus:
        then, now = self._samples[0], self._sample()
        if self._disk is None or now_s >= self._disk.read_s + _DISK_S:
            self._disk = self._look_at_disk(now_s)
        return status.DaemonStatus(
            now_ms=time.time_ns() // 1_000_000,
            problems=self._all_problems(),
            streams=self._streams(),
            packs=self._packs(then, now),
            pace=_pace(then, now),
            server=self._server(),
            store=self._disk.store,
            alerts=self._alerts(self._disk.waiting),
            selftest=self._self_test(),
            process=self._process(then, now),
        )

    def _all_problems(self) -> list[status.DaemonProblem]:
        alike: dict[tuple[StreamState, str], list[str]] = {}
        for info in self._hub.streams.values():
            if info.state in _TO_DO:
                alike.setdefault((info.state, info.detail), []).append(info.name)
        found = []
        for (state, detail), names in sorted(alike.items(), key=lambda item: list(_TO_DO).index(item[0][0])):
            what = f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {_STATES.get(state, state)}"
            since_ms = min(self._since_ms(f"{name}\n{state}") for name in names)
            found.append(status.DaemonProblem(f"{what}: {detail}" if detail else what, names, since_ms, _TO_DO[state]))
        if rung := Rung(_total(metrics.LADDER)):
            behind = f"this machine cannot keep up, and does less: rung {rung} of {max(Rung)} ({rung.name.lower()})"
            found.append(
                status.DaemonProblem(behind, [], self._since_ms(_BEHIND), "give it fewer streams, or a lighter model")
            )
        return found + [status.DaemonProblem(what, [], self._since_ms(what), to_do) for what, to_do in self._problems()]

    def _streams(self) -> list[status.StreamStatus]:
        rows = metrics.sums(metrics.FRAMES, "stream", "pack")
        gaps = metrics.sums(metrics.GAPS, "stream")
        lost = metrics.sums(metrics.LOST_SAMPLES, "stream")
        return [
            self._stream(name, {pack: int(rows.get(f"{name}\n{pack}", 0)) for pack in info.packs},
                         gaps=int(gaps.get(name, 0)), lost=int(lost.get(name, 0)))
            for name, info in self._hub.streams.items()
        ]  # fmt: skip

    def _stream(self, name: str, rows: dict[str, int], *, gaps: int, lost: int) -> status.StreamStatus:
        info, line = self._hub.streams[name], self._lines.get(name)
        rms, peak = level(line) if line is not None and not info.state.silent else (None, None)
        return status.StreamStatus(
            name=name,
            source=info.source,
            rate=info.rate,
            state=info.state,
            detail=info.detail,
            since_ms=self._since_ms(f"{name}\n{info.state}"),
            demo=info.demo,
            push=info.push,
            test=info.test,
            captured_s=0.0 if line is None else round(line.ring.written / info.rate, 3),
            rms_dbfs=rms,
            peak_dbfs=peak,
            drift_ppm=None if line is None else drift_ppm(line),
            backlog_ms=None if line is None or info.state.unread else round(line.stream.waiting * 1000 / info.rate, 1),
            gaps=gaps,
            lost_samples=lost,
            xruns=None if line is None else line.source.xruns,
            rows=rows,
        )

    def _packs(self, then: _Sample, now: _Sample) -> list[status.PackStatus]:
        found = []
        for name, info in self._hub.packs.items():
            runs = now.runs.get(name, NO_TIMES)
            minute = runs.since(then.runs[name]) if name in then.runs else runs
            heard_s = now.heard_s.get(name, 0.0) - then.heard_s.get(name, 0.0)
            found.append(
                status.PackStatus(
                    name=name,
                    version=info.version,
                    provider=info.provider,
                    hop_ms=info.hop_ms,
                    streams=sum(name in stream.packs for stream in self._hub.streams.values()),
                    runs=int(runs.number),
                    run_ms_p50=_rounded(minute.quantile_ms(0.5)),
                    run_ms_p99=_rounded(minute.quantile_ms(0.99)),
                    rtf=_rounded(minute.total_s / heard_s if heard_s > 0 and minute.number else None),
                )
            )
        return found

    def _server(self) -> status.ServerStatus:
        return status.ServerStatus(
            subscribers=_total(metrics.SUBSCRIBERS),
            messages=_total(metrics.MESSAGES_SENT),
            lagged_rows=_total(metrics.LAGGED_ROWS),
            pictures_dropped=_total(metrics.PICTURES_DROPPED),
            cut_off=_total(metrics.CUT_OFF),
            refused=_total(metrics.REFUSED),
            border_rows=_total(metrics.BORDER_ROWS),
            needs_token=self._needs_token,
        )

    def _look_at_disk(self, now_s: float) -> _Disk:
        if self._folder is None:
            return _Disk(now_s, None, {})
        database = self._folder / FILE_NAME
        beside = [path for path in (database, Path(f"{database}-wal")) if path.exists()]
        with closing(reader(self._folder)) as connection:
            events, clip_count = connection.execute("SELECT COUNT(*), COUNT(NULLIF(clip, '')) FROM events").fetchone()
            waiting = outbox.waiting(connection)
        free = os.statvfs(self._folder)
        keeps_clips, keeps_scores = self._config.clips.enabled, self._config.scores.enabled
        store = status.StoreStatus(
            folder=str(self._folder),
            free_bytes=free.f_bavail * free.f_frsize,
            database_bytes=sum(path.stat().st_size for path in beside),
            events=events,
            written_ms=max(path.stat().st_mtime_ns for path in beside) // 1_000_000 if beside else None,
            waiting=_total(metrics.STORE_BACKLOG),
            lost=_total(metrics.STORE_LOST),
            scores_bytes=_size(self._folder / scores.FOLDER) if keeps_scores else None,
            clips=clip_count if keeps_clips else None,
            clips_bytes=_size(self._folder / clips.FOLDER) if keeps_clips else None,
            clips_lost=_total(metrics.CLIPS_LOST) if keeps_clips else None,
        )
        return _Disk(now_s, store, waiting)

    def _alerts(self, waiting: dict[str, dict[str, int]]) -> status.AlertStatus | None:
        if self.alerts is None:
            return None
        rules = self.alerts.rules
        tries = metrics.sums(metrics.DELIVERIES, "sink", "outcome")
        sinks = [
            status.SinkStatus(
                name=name,
                type=str(config.__struct_config__.tag),
                pending=waiting.get(name, {}).get("pending", 0),
                dead=waiting.get(name, {}).get("dead", 0),
                sent=int(tries.get(f"{name}\nsent", 0)),
                failed=int(tries.get(f"{name}\nfailed", 0) + tries.get(f"{name}\nrefused", 0)),
                failing=self.alerts.failing.get(name, ""),
            )
            for name, config in rules.file.sinks.items()
        ]
        unknown = {name: states["pending"] for name, states in waiting.items()
                   if name not in rules.file.sinks and states.get("pending")}  # fmt: skip
        return status.AlertStatus(str(rules.path), len(rules.file.rules), rules.problem, sinks, unknown)

    def _self_test(self) -> status.SelftestStatus | None:
        if self._selftest is None:
            return None
        outcomes = metrics.sums(metrics.SELFTESTS, "outcome")
        seconds = metrics.sums(metrics.SELFTEST_SECONDS)[""]
        return status.SelftestStatus(
            label=self._selftest.config.label,
            every_min=self._selftest.config.every_min,
            passed=int(outcomes.get("passed", 0)),
            failed=int(outcomes.get("failed", 0)),
            seconds=round(seconds, 3) if seconds else None,
            problem=self._selftest.problem,
        )

    def _process(self, then: _Sample, now: _Sample) -> status.ProcessStatus:
        span_s = now.at_s - then.at_s
        return status.ProcessStatus(
            version=__version__,
            instance=self._hub.instance,
            uptime_s=round(now.at_s - self._started_s, 1),
            cores=os.cpu_count() or 1,
            cpu=round((now.cpu_s - then.cpu_s) / span_s, 3) if span_s > 1 else None,
            memory_bytes=_memory_bytes(),
        )


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _pace(then: _Sample, now: _Sample) -> status.PaceStatus:
    rung, minute = Rung(_total(metrics.LADDER)), now.ticks.since(then.ticks)
    return status.PaceStatus(
        rung=rung,
        name=rung.name.lower(),
        tick_ms_p50=_rounded(minute.quantile_ms(0.5)),
        tick_ms_p99=_rounded(minute.quantile_ms(0.99)),
    )


def _total(metric: Counter | Gauge) -> int:
    return int(sum(metrics.sums(metric).values()))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _size(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # renamed or deleted since it was listed
                size += os.stat(os.path.join(path, name)).st_size
    return size


def _memory_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # no Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
