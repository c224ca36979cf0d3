"""The model thread: waits for audio, ticks the engine, hands the outputs over. One thread for all streams.

Other threads speak to it in two ways only, both by its `EngineCalls`: `wake` says that a ring has something new, `call`
queues a function to be run between two ticks. It speaks to the outside in one way: `deliver(outputs, decided_ns)`, once
a tick.
"""

import threading
import time
from collections.abc import Callable, Sequence

from streamclf import metrics
from streamclf.audio.wake import Halt, Wake
from streamclf.engine.batch import Failure, PackFault, PackRunner
from streamclf.engine.calls import EngineCalls, StreamEnd
from streamclf.engine.engine import Engine
from streamclf.engine.guard import Abandoned, Guard, RunNote
from streamclf.engine.making import clock_of_thread
from streamclf.engine.mend import Mender
from streamclf.engine.pace import Rung
from streamclf.engine.pacing import Pacer
from streamclf.engine.watch import RunWatch
from streamclf.types import Output

Deliver = Callable[[Sequence[Output], int], None]

_IDLE_S = 0.25
# With many streams blocks arrive all the time, and a run of one row costs three times its share of a run of 16
# (Silero: 48 against 16 us). So after the first block the thread gathers others for a moment: none with few streams.
_GATHER_FROM = 8
_GATHER_S_PER_STREAM = 0.0001
_GATHER_MOST_S = 0.005
_COARSE_S = 0.1
# While nobody waits for rows, so much is read in one tick: caches that are cold after 20 ms are warmed once and not
# five times. What is decided is the same, only later.
_UNAWAITED_S = 0.1
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

    def rest(self, stopping: Halt, seconds: float) -> None:
        """Let time go by, less where the thread is to stop."""
        stopping.wait(seconds)


class ModelThread:
    """Runs `engine` until `stop`, on a thread called `NAME`.

    live: pace is kept (ladder, measured hop); otherwise nothing is skipped and `congested` holds the engine back.
    hop_ms: a fixed hop between window runs, or None for the measured one (live) or 20 ms (not live). on_fault: called
    on the thread with what ended it, where that was not `stop`. on_back: called on the thread with the name of a pack
    that has a new session, and with what that runs on. awaited: whether anybody waits for what is decided, asked once a
    tick; where nobody does, sound is read 100 ms at a time.
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
        on_back: Callable[[str, str], None] = lambda pack, provider: None,
        awaited: Callable[[], bool] = lambda: True,
        machine: Machine | None = None,
    ) -> None:
        self.engine = engine
        self.pacer = Pacer(engine, live=live, hop_ms=hop_ms, on_hop=on_hop)
        self.progress = 0.0
        """When (`time.monotonic`, in seconds) a tick ended last; there is one at least every quarter of a second."""
        self._mender = Mender(engine, stuck=self._stuck, on_back=self._back)
        self._watch = RunWatch(self._give_up, on_fault=on_fault)
        self._machine = machine or Machine()
        self._deliver = deliver
        self._live = live
        self._congested = congested
        self._on_fault = on_fault
        self._on_back = on_back
        self._awaited = awaited
        self._calls = calls
        self._stopping = Halt()
        self._guard = Guard()
        self._thread = self._made()
        self._left: dict[str, threading.Thread] = {}  # pack -> the thread that was left behind in its run
        self._elsewhere = False
        # Added to what the thread has computed: what others compute for it, and what a thread before it did.
        self._helped_s = 0.0
        self._computed_s = 0.0
        self._ending: dict[str, StreamEnd] = {}

    def start(self) -> None:
        """Measure a run of each pack, which may take seconds; choose the hops and begin."""
        for runner in self.engine.runners:
            runner.strict = False
            if runner.works and runner.run_seconds is None:
                runner.run_seconds = runner.session.warm_up()
        self._hand_over(self.pacer.begin(self._run_seconds()))
        self._hand_over(self._mender.begin(self._machine.now_s()))
        self._begin()
        self._watch.start()

    def stop(self, limit_s: float) -> bool:
        """Ask the thread to end and wait for it. Returns whether no run goes on any more: one may hang."""
        self._stopping.set()
        self._watch.stop()
        self._calls.hurry.set()
        self._calls.wake.set()
        if self._thread.is_alive():
            self._thread.join(limit_s)
        for making in self._mender.makings:
            making.break_off()
        behind = [*self._left.values(), self._thread]
        return not any(thread.is_alive() for thread in behind) and not any(m.running for m in self._mender.makings)

    @property
    def present_run(self) -> RunNote | None:
        """The run that it is in at this moment: it is watched, and will be given up where it takes too long."""
        present = self._guard.present()
        return None if present is None else present[1]

    def _made(self) -> threading.Thread:
        return threading.Thread(target=self._main, args=(self._guard,), name=self.NAME, daemon=True)

    def _begin(self) -> None:
        for runner in self.engine.runners:
            runner.guard = self._guard
        self._elsewhere = any(r.session.elsewhere for r in self.engine.runners if r.works)
        self._watch.follow(self._guard)
        self._thread.start()

    def _give_up(self, number: int) -> None:
        """On the watch's thread: leave the model thread behind in its run, and let another one take over."""
        present = self._guard.present()
        if present is None or self._stopping.is_set() or not self._guard.give_up(number):
            return  # it has just come back
        _, note = present
        runner = next(runner for runner in self.engine.runners if runner.name == note.pack)
        reason = f"a run took longer than {note.limit_s:.2g} s and could not be broken off"
        runner.lose(PackFault(Failure.HUNG, reason))
        self._left[runner.name] = self._thread
        self._guard = Guard(number)
        self._thread = self._made()
        self._begin()

    def _stuck(self, pack: str) -> bool:
        return pack in self._left and self._left[pack].is_alive()

    def _back(self, runner: PackRunner) -> list[Output]:
        self._elsewhere = self._elsewhere or runner.session.elsewhere
        self._on_back(runner.name, runner.provider)
        return self.pacer.begin(self._run_seconds())

    def _run_seconds(self) -> dict[str, float]:
        return {r.name: r.run_seconds for r in self.engine.runners if r.run_seconds is not None}

    def _main(self, guard: Guard) -> None:
        try:
            guard.clock = clock_of_thread()
            self._helped_s = self._computed_s - self._machine.cpu_s()
            for runner in self.engine.runners:
                if runner.fault is not None:
                    self.engine.lose(runner)
                    self._calls.wake.set()  # what the thread before has not finished
            while not self._stopping.is_set():
                if self._machine.listen(self._calls.wake, _IDLE_S):
                    self._gather()
                self._round()
        except Abandoned:
            return
        except BaseException as fault:
            self._on_fault(fault)

    def _gather(self) -> None:
        """After the first block: let others come that can be read with it."""
        calls, streams = self._calls, len(self.engine.streams)
        if self._live and not self._awaited():
            calls.hurry.clear()
            left_s = _UNAWAITED_S - self.engine.backlog_ms / 1000
            if left_s > 0 and not (calls.waiting or self._stopping.is_set()):
                self._machine.listen(calls.hurry, left_s)
        elif streams >= _GATHER_FROM:
            self._machine.rest(self._stopping, min(_GATHER_MOST_S, _GATHER_S_PER_STREAM * streams))

    def _round(self) -> None:
        if self.pacer.rung >= Rung.COARSE:
            self._machine.rest(self._stopping, _COARSE_S)
        while not self._stopping.is_set():
            self._calls.wake.clear()  # of all blocks that came until now: they are read below
            for asked in self._calls.taken():
                if isinstance(asked, StreamEnd):
                    self._ending[asked.stream] = asked
                else:
                    self._hand_over(self._mender.heed(self.pacer.heed(asked())))
            backlog = self.engine.backlog_ms
            began_s, own_s = self._machine.now_s(), self._machine.cpu_s()
            outputs = self.engine.tick()
            now_s, cpu_s = self._machine.now_s(), self._machine.cpu_s()
            metrics.TICK_SECONDS.observe(now_s - began_s)
            if self._mender.troubled:
                outputs = self._mender.heed(outputs)
            if self._live:
                if self._mender.failing:
                    self._helped_s -= cpu_s - own_s  # a run that fails is no work that will come again
                elif self._elsewhere:
                    self._helped_s += max(0.0, (now_s - began_s) - (cpu_s - own_s))
                self._computed_s = cpu_s + self._helped_s
                paced = self.pacer.close_silent() + self.pacer.keep(backlog, now_s=now_s, cpu_s=self._computed_s)
                outputs = outputs + self._mender.heed(paced)
            outputs = outputs + self._mender.keep(now_s)
            self._hand_over(outputs)
            self.progress = now_s
            self._finish_ended()
            if not self.engine.waiting and not self._calls.waiting:
                return
            while not self._live and self._congested() and not self._stopping.is_set():
                self._stopping.wait(_CONGESTED_S)
                self.progress = self._machine.now_s()  # it waits as it should

    def _finish_ended(self) -> None:
        for name, end in list(self._ending.items()):
            stream = self.engine.streams[name]
            if stream.paused and not stream.ended:
                # what was passed over is told; the last samples are read
                self._hand_over(self._mender.heed(self.engine.resume(name)))
            if not stream.readable and not stream.ended:
                self.engine.end(name)
            # between the seconds of silence behind the end of one stream, the others are heard
            if not stream.readable:
                del self._ending[name]
                self._hand_over([*self.engine.last(name), *self._mender.heed(end.told)])
                end.done()

    def _hand_over(self, outputs: Sequence[Output]) -> None:
        if outputs:
            self._deliver(outputs, time.time_ns())
