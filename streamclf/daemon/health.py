"""How the daemon is: gathers for `GET /v1/status` what others count and hold.

Many pages ask every two seconds. So an answer holds for a second, and what has to be looked for on the disk for ten. A
problem that comes or goes ends that second, so that this never says other than `/healthz`.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from streamclf import metrics
from streamclf.alerts.service import AlertService
from streamclf.config import Config
from streamclf.daemon.diagnosis import DaemonProblems
from streamclf.daemon.disk import Disk
from streamclf.daemon.gauges import Gauges
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.samples import LastMinute, drift_ppm, level, total
from streamclf.daemon.selftest import SelfTest
from streamclf.daemon.sources import SourceStream
from streamclf.daemon.watchman import Watchman
from streamclf.protocol import status
from streamclf.serve.http.route import Query, Reply
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.serve.roles import Role
from streamclf.types import LoudnessMinute

_LOOK_S = 1.0


class Health:
    """folder: of the store, None where nothing is kept. selftest, alerts, watchman: None where there is none.

    `watch` runs on the loop; `answer` in any thread.
    """

    def __init__(
        self,
        hub: Hub,
        streams: Sequence[SourceStream],
        config: Config,
        hearing: Hearing,
        problems: DaemonProblems,
        *,
        needs_token: bool,
        folder: Path | None = None,
        selftest: SelfTest | None = None,
        alerts: AlertService | None = None,
        watchman: Watchman | None = None,
    ) -> None:
        self.watchman = watchman
        self.hearing = hearing
        self.problems = problems
        self._hub = hub
        self._streams = {one.name: one for one in streams}
        self._needs_token = needs_token
        self._selftest = selftest
        self._alerts = alerts
        self._minute = LastMinute(streams)
        self.gauges = Gauges(hub, streams, problems, self._minute, alerts)
        self._disk = Disk(folder, config)
        self._lock = threading.Lock()
        self._answered_s = -_LOOK_S
        self._answered: list[str] = []
        self._answers: dict[bool, bytes] = {}

    def use(self, config: Config) -> None:
        """That configuration is in force from now on."""
        self._disk.use(config)
        self.problems.use(config.health.muted_s)

    async def watch(self) -> None:
        """For ever: since when is what, and how much was done in the last minute."""
        while True:
            self.problems.note(time.time_ns())
            self._minute.note()
            await asyncio.sleep(_LOOK_S)

    def answer(self, query: Query) -> Reply:
        """The `DaemonStatus` as JSON; streams, packs and problems alone for other roles than admin."""
        with self._lock:
            now_s = time.monotonic()
            now_told = [problem.what for problem in self.problems.found()]
            if now_s >= self._answered_s + _LOOK_S or now_told != self._answered:
                self.problems.note(time.time_ns())
                whole = self._status(now_s)
                told = msgspec.structs.replace(
                    whole, server=None, store=None, alerts=None, selftest=None, process=None, watch=None
                )
                self._answers = {True: msgspec.json.encode(whole), False: msgspec.json.encode(told)}
                self._answered_s, self._answered = now_s, now_told
            return Reply(self._answers[query.role >= Role.ADMIN])

    def _status(self, now_s: float) -> status.DaemonStatus:
        minute, disk = self._minute.now(), self._disk.look(now_s)
        listened = [pack for info in self._hub.streams.values() for pack in info.packs]
        problems = self.problems.found()
        return status.DaemonStatus(
            now_ms=time.time_ns() // 1_000_000,
            condition=status.condition_of(problems),
            problems=problems,
            streams=self._stream_statuses(),
            packs=[minute.pack(info, streams=listened.count(name)) for name, info in self._hub.packs.items()],
            pace=minute.pace(),
            server=self._server(),
            store=disk.store,
            alerts=None if self._alerts is None else _alerts(self._alerts, disk.waiting),
            selftest=None if self._selftest is None else _self_test(self._selftest),
            process=minute.process(self._hub.instance),
            watch=None if self.watchman is None else self.watchman.status(),
        )

    def _stream_statuses(self) -> list[status.StreamStatus]:
        rows = metrics.sums(metrics.FRAMES, "stream", "pack")
        gaps = metrics.sums(metrics.GAPS, "stream")
        lost = metrics.sums(metrics.LOST_SAMPLES, "stream")
        return [
            self._stream(info, {pack: int(rows.get(f"{name}\n{pack}", 0)) for pack in info.packs},
                         gaps=int(gaps.get(name, 0)), lost=int(lost.get(name, 0)))
            for name, info in self._hub.streams.items()
        ]  # fmt: skip

    def _stream(self, info: StreamInfo, rows: dict[str, int], *, gaps: int, lost: int) -> status.StreamStatus:
        one = self._streams.get(info.name)
        state, detail = self.problems.state(info)
        rms, peak = level(one) if one is not None and not state.silent else (None, None)
        backlog_ms = None
        if one is not None and not state.unread:
            backlog_ms = round(one.stream.backlog * 1000 / info.rate, 1)
        return status.StreamStatus(
            name=info.name,
            source=info.source,
            rate=info.rate,
            state=state,
            detail=detail,
            since_ms=self.problems.since_ms(info),
            demo=info.demo,
            push=info.push,
            test=info.test,
            captured_s=0.0 if one is None else round(one.ring.written / info.rate, 3),
            rms_dbfs=rms,
            peak_dbfs=peak,
            drift_ppm=None if one is None else drift_ppm(one),
            backlog_ms=backlog_ms,
            gaps=gaps,
            lost_samples=lost,
            xruns=None if one is None else one.source.xruns,
            rows=rows,
            gain="off" if one is None else one.stream.gain,
            fitness=[status.FitnessStatus(*finding) for finding in self.problems.findings(info)],
            loudness=_loudness(self._hub.overview.minutes.get(info.name)),
        )

    def _server(self) -> status.ServerStatus:
        return status.ServerStatus(
            subscribers=total(metrics.SUBSCRIBERS),
            messages=total(metrics.MESSAGES_SENT),
            lagged_rows=total(metrics.LAGGED_ROWS),
            pictures_dropped=total(metrics.PICTURES_DROPPED),
            cut_off=total(metrics.CUT_OFF),
            refused=total(metrics.REFUSED),
            border_rows=total(metrics.BORDER_ROWS),
            needs_token=self._needs_token,
        )


def _loudness(minute: LoudnessMinute | None) -> status.LoudnessStatus | None:
    if minute is None:
        return None
    added = minute.offset_db or 0.0
    return status.LoudnessStatus(
        laeq=round(minute.laeq + added, 1),
        lafmax=round(minute.lafmax + added, 1),
        l10=round(minute.l10 + added, 1),
        l50=round(minute.l50 + added, 1),
        l90=round(minute.l90 + added, 1),
        unit="dBFS" if minute.offset_db is None else "dB(A)",
    )


def _alerts(alerts: AlertService, waiting: Mapping[str, Mapping[str, int]]) -> status.AlertStatus:
    rules = alerts.rules
    tries = metrics.sums(metrics.DELIVERIES, "sink", "outcome")
    sinks = [
        status.SinkStatus(
            name=name,
            type=str(config.__struct_config__.tag),
            pending=waiting.get(name, {}).get("pending", 0),
            dead=waiting.get(name, {}).get("dead", 0),
            sent=int(tries.get(f"{name}\nsent", 0)),
            failed=int(tries.get(f"{name}\nfailed", 0) + tries.get(f"{name}\nrefused", 0)),
            failing=alerts.failing.get(name, ""),
        )
        for name, config in rules.file.sinks.items()
    ]
    unknown = {name: states["pending"] for name, states in waiting.items()
               if name not in rules.file.sinks and states.get("pending")}  # fmt: skip
    return status.AlertStatus(str(rules.path), len(rules.file.rules), rules.problem, sinks, unknown)


def _self_test(selftest: SelfTest) -> status.SelftestStatus:
    outcomes = metrics.sums(metrics.SELFTESTS, "outcome")
    seconds = metrics.sums(metrics.SELFTEST_SECONDS)[""]
    return status.SelftestStatus(
        label=selftest.config.label,
        every_min=selftest.config.every_min,
        passed=int(outcomes.get("passed", 0)),
        failed=int(outcomes.get("failed", 0)),
        seconds=round(seconds, 3) if seconds else None,
        problem=selftest.problem,
    )
