"""Keeps the pace of an engine: measures its load, takes the steps of the ladder, and tells of each.

Runs on the model thread, once a tick. Every step, every pause and its end is a line in the log, a status, and a metric;
what a paused stream did not hear is a gap, told while it lasts.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from streamclf import metrics
from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.engine.engine import Engine
from streamclf.engine.pace import UP_MS, Ladder, Load, LoadMeter, Rung, hop_frames
from streamclf.engine.segment import Ending
from streamclf.types import Output, Status, StreamState

log = logging.getLogger(__name__)

_GAP_S = 5.0  # so often a paused stream tells what it has missed
_TOLD_S = 60.0  # at most so often it is told that the thread is kept waiting
_NO_TIME = "this machine cannot keep up with all streams; lowest priority first"
_TIME_AGAIN = "there is time for this stream again"


class Pacer:
    """live: pace is kept; otherwise nothing is skipped. hop_ms: a fixed hop between window runs, or None to measure it.

    on_hop: called with the name of a pack and its new hop (ms).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        live: bool,
        hop_ms: int | None = None,
        on_hop: Callable[[str, int], None] = lambda pack, hop_ms: None,
    ) -> None:
        self._engine = engine
        self._live = live
        self._fixed_hop = hop_ms
        self._on_hop = on_hop
        self._windows = [r for r in engine.runners if r.windows]
        self._ladder = Ladder(has_windows=bool(self._windows))
        self._meter = LoadMeter()
        self._run_seconds: Mapping[str, float] = {}
        self._paused: list[str] = []
        self._silent: dict[str, bool] = {}  # streams that no sound comes from; whether their events are closed
        self._passed_s = 0.0
        self._late = False
        self._told_s: float | None = None
        self.hops: dict[str, int] = {r.name: 1 for r in self._windows}

    @property
    def rung(self) -> Rung:
        """Where on the ladder it is."""
        return self._ladder.rung

    def begin(self, run_seconds: Mapping[str, float]) -> list[Output]:
        """Choose the hops. run_seconds: measured time of one run of each pack, as far as that is known."""
        self._run_seconds = run_seconds
        return self._choose_hops()

    def keep(self, backlog_ms: float, *, now_s: float, cpu_s: float) -> list[Output]:
        """Once a tick. backlog_ms: before it; cpu_s: what this thread has computed so far, or others for it."""
        if not self._meter.due(now_s):
            return []
        streams = self._engine.streams
        scored_s = {name: stream.scored / stream.rate for name, stream in streams.items()}
        load = self._meter.note(scored_s, now_s=now_s, cpu_s=cpu_s)
        if load is None:
            return []
        metrics.MODEL_LOAD.set(load.share)
        before = self._ladder.rung, self._ladder.paused
        out: list[Output] = []
        if self._ladder.observe(load, backlog_ms):
            up = (self._ladder.rung, self._ladder.paused) > before
            metrics.LADDER.set(self._ladder.rung)
            metrics.LADDER_STEPS.labels("up" if up else "down").inc()
            out += self._choose_hops()
            if self._ladder.rung is not before[0]:
                out.append(self._stepped(up, load, backlog_ms))
            out += self._pause(load)
            out += self._resume()
        else:
            self._note_waiting(load, backlog_ms, now_s)
        return out + self._pass_over(now_s)

    def heed(self, told: Sequence[Output]) -> list[Output]:
        """Take notice of what sources say. Returns it, and that a paused stream which has sound again stays paused."""
        out: list[Output] = []
        for output in told:
            out.append(output)
            if not isinstance(output, Status) or output.stream not in self._engine.streams:
                continue
            if output.state.silent:
                self._silent.setdefault(output.stream, False)
            elif output.state.heard:
                self._silent.pop(output.stream, None)
                if output.stream in self._paused:
                    out.append(Status(output.stream, StreamState.PAUSED, _NO_TIME))
        return out

    def close_silent(self) -> list[Output]:
        """The closing of the events of streams that no sound comes from any more, once what came is scored."""
        out: list[Output] = []
        for name, closed in self._silent.items():
            if not closed and name in self._engine.streams and not self._engine.streams[name].readable:
                self._silent[name] = True
                out += self._engine.close_events(name, Ending.GAP)
        return out

    def _choose_hops(self) -> list[Output]:
        """Set the hop of every window pack from its measured run time, the streams and the rung; tell what changed."""
        out: list[Output] = []
        for runner in self._windows:
            before, least = runner.hop_frames, self._hop(runner.name, streams=len(runner.tracks))
            runner.set_hop(least, times=self._ladder.rung.hop_factor)
            frames = runner.hop_frames
            metrics.HOP_MS.labels(runner.name).set(runner.step_ms)
            if frames == before == self.hops[runner.name]:
                continue
            self.hops[runner.name] = frames
            self._on_hop(runner.name, runner.step_ms)
            out.append(Status("", StreamState.HOP, f"{runner.name} runs every {runner.step_ms} ms", pack=runner.name))
        return out

    def _hop(self, pack: str, *, streams: int) -> int:
        if self._fixed_hop is not None:
            return max(1, self._fixed_hop // FRAME_MS)
        if not self._live:
            return 1
        return hop_frames(self._run_seconds.get(pack, 0.0), streams=streams, window_packs=len(self._windows))

    def _stepped(self, up: bool, load: Load, backlog_ms: float) -> Status:
        rung = self._ladder.rung
        behind = f"{backlog_ms:.0f} ms behind, " if up else ""
        sentence = _sentence(rung, f"{behind}the work takes {100 * load.share:.0f} % of the time")
        level = logging.WARNING if up else logging.INFO
        log.log(level, "rung %d of %d (%s): %s", rung, max(Rung), rung.name.lower(), sentence)
        return Status("", StreamState.LIVE if rung is Rung.NORMAL else StreamState.BEHIND, sentence)

    def _pause(self, load: Load) -> list[Output]:
        """Pause as many streams as the ladder says, of those that were heard the ones of lowest priority."""
        out: list[Output] = []
        heard = [n for n, s in self._engine.streams.items() if n in load.heard and not (s.ended or s.paused)]
        while len(self._paused) < self._ladder.paused and len(heard) > 1:
            name = min(heard, key=self._engine.priority)
            heard.remove(name)
            self._paused.append(name)
            metrics.PAUSES.labels(name).inc()
            metrics.PAUSED.labels(name).set(1)
            log.warning("%s: paused: %s (all would take %.0f %% of a core)", name, _NO_TIME, 100 * load.share)
            out += self._engine.pause(name)
            out.append(Status(name, StreamState.PAUSED, _NO_TIME))
        return out

    def _resume(self) -> list[Output]:
        out: list[Output] = []
        while len(self._paused) > self._ladder.paused:
            name = self._paused.pop()
            metrics.PAUSED.labels(name).set(0)
            if name not in self._engine.streams or self._engine.streams[name].ended:
                continue
            log.info("%s: resumed: %s", name, _TIME_AGAIN)
            out += self._engine.resume(name)
            if name not in self._silent:
                out.append(Status(name, StreamState.RESUMED, _TIME_AGAIN))
        return out

    def _pass_over(self, now_s: float) -> list[Output]:
        out: list[Output] = []
        if self._paused and now_s - self._passed_s >= _GAP_S:
            self._passed_s = now_s
            for name in self._paused:
                if name in self._engine.streams:
                    out += self._engine.pass_over(name)
        return out

    def _note_waiting(self, load: Load, backlog_ms: float, now_s: float) -> None:
        """Rows are late though the work fits: nothing is left out, but it is told."""
        late = backlog_ms > UP_MS and self._ladder.rung is Rung.NORMAL and load.share <= 1
        if late and not self._late:
            metrics.KEPT_WAITING.inc()
            if self._told_s is None or now_s - self._told_s >= _TOLD_S:
                self._told_s = now_s
                log.warning(
                    "rows are %.0f ms late: the model thread was kept waiting, its own work takes %.0f %% of a core; "
                    "nothing is left out",
                    backlog_ms, 100 * load.share,
                )  # fmt: skip
        self._late = late


def _sentence(rung: Rung, why: str) -> str:
    if rung is Rung.NORMAL:
        return "keeping up again: everything as configured"
    if rung < Rung.COARSE:
        return f"{why}: windows run {rung.hop_factor} times less often"
    return f"{why}: score rows come {FRAMES_PER_SECOND // 10} at a time"
