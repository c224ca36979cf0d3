"""The model thread: waits for audio, ticks the engine, hands the outputs over. One thread for all streams.

Other threads speak to it in two ways only, both by its `EngineCalls`: `wake` says that a ring has something new, `call`
queues a function to be run between two ticks. It speaks to the outside in one way: `deliver(outputs, decided_ns)`, once
a tick.
"""

import threading
import time
from collections.abc import Callable, Sequence

from streamclf import metrics
from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.engine.calls import EngineCalls, StreamEnd
from streamclf.engine.engine import Engine
from streamclf.engine.pace import UP_MS, Ladder, Rung, hop_frames
from streamclf.types import Output, Shape, Status, StreamState

Deliver = Callable[[Sequence[Output], int], None]

_IDLE_S = 0.25
# With many streams blocks arrive all the time, and a run of one row costs three times its share of a run of 16
# (Silero: 162 against 55 us). So after the first block the thread gathers others for a moment: none with few streams.
_GATHER_FROM = 8
_GATHER_S_PER_STREAM = 0.0001
_GATHER_MOST_S = 0.005
_COARSE_S = 0.1
_CONGESTED_S = 0.002


class ModelThread:
    """Runs `engine` until `stop`, on a thread called `NAME`.

    live: pace is kept (ladder, measured hop); otherwise nothing is skipped and `congested` holds the engine back.
    hop_ms: a fixed hop between window runs, or None for the measured one (live) or 20 ms (not live). on_fault: called
    on the thread with what ended it, where that was not `stop`.
    """

    NAME = "model"

    def __init__(
        self,
        engine: Engine,
        deliver: Deliver,
        *,
        calls: EngineCalls,
        live: bool,
        hop_ms: int | None = None,
        congested: Callable[[], bool] = lambda: False,
        on_fault: Callable[[BaseException], None] = lambda fault: None,
        on_hop: Callable[[str, int], None] = lambda pack, hop_ms: None,
    ) -> None:
        self.engine = engine
        self._deliver = deliver
        self._live = live
        self._fixed_hop = hop_ms
        self._congested = congested
        self._on_fault = on_fault
        self._on_hop = on_hop
        self._calls = calls
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=self.NAME, daemon=True)
        windows = [r for r in engine.runners if r.pack.manifest.shape is not Shape.STATEFUL]
        self._ladder = Ladder(has_windows=bool(windows))
        self._windows = windows
        self._run_seconds: dict[str, float] = {}
        self._paused: list[str] = []
        self._ending: dict[str, StreamEnd] = {}
        self.hops: dict[str, int] = {r.name: 1 for r in windows}

    def start(self) -> None:
        """Measure a run of each pack, which may take seconds; choose the hops and begin."""
        self._run_seconds = {runner.name: runner.session.warm_up() for runner in self.engine.runners}
        for status in self.choose_hops():
            self._deliver([status], time.time_ns())
        self._thread.start()

    def stop(self, limit_s: float) -> bool:
        """Ask the thread to end and wait for it. Returns whether it did: a run cannot be broken off."""
        self._stopping.set()
        self._calls.wake.set()
        if self._thread.is_alive():
            self._thread.join(limit_s)
        return not self._thread.is_alive()

    def choose_hops(self) -> list[Output]:
        """Set the hop of every window pack from its measured run time, the streams and the rung; tell what changed."""
        out: list[Output] = []
        for runner in self._windows:
            if self._fixed_hop is not None:
                frames = max(1, self._fixed_hop // FRAME_MS)
            elif self._live:
                frames = hop_frames(
                    self._run_seconds[runner.name], streams=len(runner.tracks), window_packs=len(self._windows)
                )
            else:
                frames = 1
            frames *= self._ladder.rung.hop_factor
            metrics.HOP_MS.labels(runner.name).set(frames * FRAME_MS)
            if frames == runner.hop_frames == self.hops[runner.name]:
                continue
            runner.set_hop(frames)
            self.hops[runner.name] = frames
            self._on_hop(runner.name, frames * FRAME_MS)
            out.append(
                Status("", StreamState.HOP, f"{runner.name} runs every {frames * FRAME_MS} ms", pack=runner.name)
            )
        return out

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._calls.wake.wait(_IDLE_S) and len(self.engine.streams) >= _GATHER_FROM:
                    self._stopping.wait(min(_GATHER_MOST_S, _GATHER_S_PER_STREAM * len(self.engine.streams)))
                self._round()
        except BaseException as fault:
            self._on_fault(fault)

    def _round(self) -> None:
        if self._ladder.rung >= Rung.COARSE:
            self._stopping.wait(_COARSE_S)
        while not self._stopping.is_set():
            for asked in self._calls.taken():
                if isinstance(asked, StreamEnd):
                    self._ending[asked.stream] = asked
                else:
                    self._hand_over(asked())
            backlog = self.engine.backlog_ms
            started = time.perf_counter()
            outputs = self.engine.tick()
            metrics.TICK_SECONDS.observe(time.perf_counter() - started)
            if self._live:
                outputs = outputs + self._keep_pace(backlog)
            self._hand_over(outputs)
            self._finish_ended()
            if not self.engine.waiting and not self._calls.waiting:
                return
            while not self._live and self._congested() and not self._stopping.is_set():
                self._stopping.wait(_CONGESTED_S)

    def _finish_ended(self) -> None:
        for name, end in list(self._ending.items()):
            stream = self.engine.streams[name]
            if not stream.readable and not stream.ended:
                self.engine.end(name)
            # between the seconds of silence behind the end of one stream, the others are heard
            if not stream.readable:
                del self._ending[name]
                self._hand_over([*self.engine.finish(name), *end.told])
                end.done()

    def _hand_over(self, outputs: Sequence[Output]) -> None:
        if outputs:
            self._deliver(outputs, time.time_ns())

    def _keep_pace(self, backlog_ms: float) -> list[Output]:
        running = [n for n, s in self.engine.streams.items() if not s.ended and n not in self._paused]
        before = self._ladder.rung
        if not self._ladder.observe(backlog_ms, now_s=time.monotonic(), pausable=len(running) - 1):
            return []
        metrics.LADDER.set(self._ladder.rung)
        metrics.LADDER_STEPS.labels("down" if backlog_ms < UP_MS else "up").inc()
        out = self.choose_hops()
        if self._ladder.rung is not before:
            state = StreamState.BEHIND if self._ladder.rung > before else StreamState.LIVE
            out.append(Status("", state, _sentence(self._ladder.rung, backlog_ms)))
        while len(self._paused) < self._ladder.paused and len(running) > 1:
            name = min(running, key=lambda n: self.engine.priority(n))
            running.remove(name)
            self._paused.append(name)
            self.engine.pause(name)
            out.append(
                Status(name, StreamState.PAUSED, "this machine cannot keep up with all streams; lowest priority first")
            )
        while len(self._paused) > self._ladder.paused:
            name = self._paused.pop()
            if name in self.engine.streams and not self.engine.streams[name].ended:
                out += self.engine.resume(name)
                out.append(Status(name, StreamState.RESUMED, "there is time for this stream again"))
        return out


def _sentence(rung: Rung, backlog_ms: float) -> str:
    if rung is Rung.NORMAL:
        return "keeping up again: everything as configured"
    if rung < Rung.COARSE:
        return f"{backlog_ms:.0f} ms behind: windows run {rung.hop_factor} times less often"
    return f"{backlog_ms:.0f} ms behind: score rows come {FRAMES_PER_SECOND // 10} at a time"
