"""The model thread: waits for audio, ticks the engine, hands the outputs over. One thread for all streams.

Other threads speak to it in two ways only, both by its `EngineCalls`: `wake` says that a ring has something new, `call`
queues a function to be run between two ticks. It speaks to the outside in one way: `deliver(outputs, decided_ns)`, once
a tick.
"""

import threading
import time
from collections.abc import Callable, Sequence

from streamclf import metrics
from streamclf.audio.wake import Wake
from streamclf.engine.calls import EngineCalls, StreamEnd
from streamclf.engine.engine import Engine
from streamclf.engine.pace import Rung
from streamclf.engine.pacing import Pacer
from streamclf.types import Output

Deliver = Callable[[Sequence[Output], int], None]

_IDLE_S = 0.25
# With many streams blocks arrive all the time, and a run of one row costs three times its share of a run of 16
# (Silero: 162 against 55 us). So after the first block the thread gathers others for a moment: none with few streams.
_GATHER_FROM = 8
_GATHER_S_PER_STREAM = 0.0001
_GATHER_MOST_S = 0.005
_COARSE_S = 0.1
_CONGESTED_S = 0.002


class Machine:
    """What the model thread runs on: the time, what it has computed itself, and how it waits."""

    def now_s(self) -> float:
        """Real time."""
        return time.monotonic()

    def cpu_s(self) -> float:
        """What the calling thread has computed: neither waits nor other threads are in it."""
        return time.thread_time()

    def listen(self, wake: Wake, limit_s: float) -> bool:
        """Wait for a ring. Whether it rang."""
        return wake.wait(limit_s)

    def rest(self, stopping: threading.Event, seconds: float) -> None:
        """Let time go by, less where the thread is to stop."""
        stopping.wait(seconds)


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
        machine: Machine | None = None,
    ) -> None:
        self.engine = engine
        self.pacer = Pacer(engine, live=live, hop_ms=hop_ms, on_hop=on_hop)
        self._machine = machine or Machine()
        self._deliver = deliver
        self._live = live
        self._congested = congested
        self._on_fault = on_fault
        self._calls = calls
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=self.NAME, daemon=True)
        self._elsewhere = any(r.session.elsewhere for r in engine.runners)
        self._helped_s = 0.0  # for which it waited in ticks whose runs others compute
        self._ending: dict[str, StreamEnd] = {}

    def start(self) -> None:
        """Measure a run of each pack, which may take seconds; choose the hops and begin."""
        self._hand_over(self.pacer.begin({r.name: r.session.warm_up() for r in self.engine.runners}))
        self._thread.start()

    def stop(self, limit_s: float) -> bool:
        """Ask the thread to end and wait for it. Returns whether it did: a run cannot be broken off."""
        self._stopping.set()
        self._calls.wake.set()
        if self._thread.is_alive():
            self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                streams = len(self.engine.streams)
                if self._machine.listen(self._calls.wake, _IDLE_S) and streams >= _GATHER_FROM:
                    self._machine.rest(self._stopping, min(_GATHER_MOST_S, _GATHER_S_PER_STREAM * streams))
                self._round()
        except BaseException as fault:
            self._on_fault(fault)

    def _round(self) -> None:
        if self.pacer.rung >= Rung.COARSE:
            self._machine.rest(self._stopping, _COARSE_S)
        while not self._stopping.is_set():
            for asked in self._calls.taken():
                if isinstance(asked, StreamEnd):
                    self._ending[asked.stream] = asked
                else:
                    self._hand_over(self.pacer.heed(asked()))
            backlog = self.engine.backlog_ms
            began_s, own_s = self._machine.now_s(), self._machine.cpu_s()
            outputs = self.engine.tick()
            now_s, cpu_s = self._machine.now_s(), self._machine.cpu_s()
            metrics.TICK_SECONDS.observe(now_s - began_s)
            if self._live:
                if self._elsewhere:
                    self._helped_s += max(0.0, (now_s - began_s) - (cpu_s - own_s))
                cpu_s += self._helped_s
                outputs = outputs + self.pacer.close_silent() + self.pacer.keep(backlog, now_s=now_s, cpu_s=cpu_s)
            self._hand_over(outputs)
            self._finish_ended()
            if not self.engine.waiting and not self._calls.waiting:
                return
            while not self._live and self._congested() and not self._stopping.is_set():
                self._stopping.wait(_CONGESTED_S)

    def _finish_ended(self) -> None:
        for name, end in list(self._ending.items()):
            stream = self.engine.streams[name]
            if stream.paused and not stream.ended:
                self._hand_over(self.engine.resume(name))  # what was passed over is told; the last samples are read
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
