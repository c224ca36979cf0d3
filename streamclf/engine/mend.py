"""Cares for packs that fail: tells of it, tries them again, puts them aside; and tells of streams that none scores.

Theory of operation. A pack whose run raised, or hung and was ended or given up, has no session from then on; the engine
goes on without it. After a while, longer with each failure in a row, a new session is made in a thread of its own. When
that is ready the pack begins anew on every stream. One that fails `TRIES` times in a row is put aside, as is one whose
very first run does not end: nothing would be different the next time. A pack whose run was given up is not tried while
that run still goes on, so that no more than one such run takes a core from the rest.

A pack that gives NaN has a problem as well: told from half a second of such rows on, all at once or a few at a time,
and until two seconds of a stream went by without one. It goes on running. A stream that no pack scores is UNSCORED,
and its samples are a gap, told while it lasts; where NaN is why, its first finite row ends that.

Runs on the model thread, once a tick; times are given.
"""

import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamclf import metrics
from streamclf.engine.batch import Failure, PackFault, PackRunner, not_made
from streamclf.engine.engine import Engine
from streamclf.engine.making import Made, Making
from streamclf.retry import Backoff
from streamclf.text import some
from streamclf.types import Gap, GapReason, Output, Status, StreamState

log = logging.getLogger(__name__)

TRIES = 5
CALM_S = 10.0  # a pack that has worked for so long does not fail in a row any more
_BACKOFF = Backoff(first_s=0.5, most_s=8.0)
_SERVER = Backoff(first_s=0.25, most_s=2.5, spread=0.5)  # its pack is back within 5 s of it; many ask a server at once
_GAP_S = 5.0  # so often an unscored stream tells what it has missed
_NAMED = 3


@dataclass(slots=True)
class _Care:
    """One pack. problem: as it was told, "" where it scores. due_s: when it is tried again."""

    runner: PackRunner
    problem: str = ""
    failures: int = 0
    away: int = 0
    """Times in a row that its server was asked in vain, after the first."""
    back_s: float = -math.inf
    due_s: float = math.inf
    ill: tuple[str, ...] = ()
    """Streams on which its values are not finite, as it was told."""


class Mender:
    """stuck: whether a run of that pack was given up and still goes on. on_back: a pack has a session again."""

    def __init__(
        self, engine: Engine, *, stuck: Callable[[str], bool], on_back: Callable[[PackRunner], list[Output]]
    ) -> None:
        self._engine = engine
        self._stuck = stuck
        self._on_back = on_back
        self._cares = [_Care(runner) for runner in engine.runners]
        self._said: dict[str, Status] = {}  # of each stream, the last that its source or the pace said
        self._unscored: dict[str, int] = {}  # stream -> its first sample that no gap was told of yet
        self._told_s = -math.inf
        self._broken_off: list[Making] = []  # bound: one for each pack, which is put aside then

    @property
    def failing(self) -> bool:
        """Whether a pack has failed since the last `keep`."""
        return any(runner.fault is not None for runner in self._engine.runners)

    @property
    def troubled(self) -> bool:
        """Whether there is a stream that no pack scores."""
        return bool(self._unscored)

    @property
    def makings(self) -> list[Making]:
        """What makes sessions, or hangs in that."""
        return [r.making for r in self._engine.runners if r.making is not None] + self._broken_off

    def begin(self, now_s: float) -> list[Output]:
        """Tell of packs that could not be made in time at the start."""
        late = [care for care in self._cares if care.runner.making is not None]
        told = [self._tell(care, "its first run has not ended yet; it joins when it has") for care in late]
        return [*told, *self.keep(now_s)]

    def keep(self, now_s: float) -> list[Output]:
        """Once a tick."""
        out: list[Output] = []
        well = True
        for care in self._cares:
            if care.runner.works:
                if care.runner.bad or care.ill:
                    out += self._note_ill(care)
            else:
                out += self._mend(care, now_s)
            well = well and not care.problem
        if not well or self._unscored:
            out += self._note_streams(now_s)
        return out

    def heed(self, told: Sequence[Output]) -> list[Output]:
        """Take notice of what is told of streams. Returns it, and that one that is heard is still not scored."""
        out: list[Output] = []
        for output in told:
            if isinstance(output, Gap) and output.stream in self._unscored:
                out += self._gap(output.stream, output.first_sample)
                self._unscored[output.stream] = output.last_sample + 1
            over = False
            if isinstance(output, Status) and output.stream in self._engine.streams and output.state.of_stream:
                self._said[output.stream] = output
                over = output.state.over and output.stream in self._unscored
                if over:
                    stream = self._engine.streams[output.stream]
                    out += self._gap(output.stream, stream.consumed)
                    del self._unscored[output.stream]
            out.append(output)
            if isinstance(output, Status) and output.stream in self._unscored and output.state.settled.heard:
                out.append(self._not_scored(output.stream))
        return out

    def _mend(self, care: _Care, now_s: float) -> list[Output]:
        runner = care.runner
        if runner.fault is not None:
            fault, runner.fault = runner.fault, None
            return self._failed(care, fault, now_s)
        making = runner.making
        if making is None:
            if now_s >= care.due_s and not self._stuck(runner.name):
                runner.making = Making(runner.name, runner.make)
            return []
        making.look()
        made = making.outcome
        if making.broken_off:
            runner.making = None
            self._broken_off.append(making)
            return self._failed(care, PackFault(Failure.MAKING, "its first run does not end"), now_s, hopeless=True)
        if made is None:
            return []
        runner.making = None
        if isinstance(made, Made):
            return self._back(care, made, now_s)
        return self._failed(care, not_made(made), now_s)

    def _failed(self, care: _Care, fault: PackFault, now_s: float, *, hopeless: bool = False) -> list[Output]:
        name = care.runner.name
        metrics.PACK_FAILURES.labels(name, fault.failure).inc()
        if fault.failure is Failure.NOT_SERVED:
            return self._not_served(care, fault, now_s)
        in_a_row = fault.failure is Failure.MAKING or now_s - care.back_s < CALM_S
        care.failures = care.failures + 1 if in_a_row else 1
        if hopeless or care.failures >= TRIES:
            care.due_s = math.inf
            metrics.PACKS_ASIDE.inc()
            times = "" if hopeless else f", {care.failures} times in a row"
            return [self._tell(care, f"{fault.reason}{times}; it is put aside until the daemon is started again")]
        delay_s = _BACKOFF.delay_s(care.failures - 1)
        care.due_s = now_s + delay_s
        when = "when that run has ended" if self._stuck(name) else f"in {delay_s:g} s"
        return [self._tell(care, f"{fault.reason}; it is tried again {when} (failure {care.failures} of {TRIES})")]

    def _not_served(self, care: _Care, fault: PackFault, now_s: float) -> list[Output]:
        care.away = care.away + 1 if care.problem else 0
        care.due_s = now_s + _SERVER.delay_s(care.away, chance=random.random())
        problem = f"{fault.reason}; it is asked again every few seconds"
        return [] if problem == care.problem else [self._tell(care, problem)]

    def _back(self, care: _Care, made: Made, now_s: float) -> list[Output]:
        runner = care.runner
        care.back_s, care.due_s = now_s, math.inf
        self._engine.regain(runner, made.session, made.run_seconds)
        metrics.PACKS_REBUILT.labels(runner.name).inc()
        return [self._well(care, "it works again"), *self._on_back(runner)]

    def _note_ill(self, care: _Care) -> list[Output]:
        ill = tuple(t.stream for t in care.runner.tracks if t.ill and not t.paused and self._heard(t.stream))
        if ill == care.ill:
            return []
        began = not care.ill
        care.ill = ill
        if not ill:
            return [self._well(care, "no value of it is NaN or infinite any more")]
        if began:
            metrics.PACK_FAILURES.labels(care.runner.name, Failure.NAN).inc()
        return [self._tell(care, f"it gives NaN or infinite values for {some(ill, _NAMED)}")]

    def _tell(self, care: _Care, problem: str) -> Status:
        care.problem = problem
        if not care.runner.works:
            care.ill = ()
        metrics.PACK_PROBLEM.labels(care.runner.name).set(1)
        log.error("pack %s: problem: %s", care.runner.name, problem)
        return Status("", StreamState.PACK_PROBLEM, problem, pack=care.runner.name)

    def _well(self, care: _Care, detail: str) -> Status:
        care.problem = ""
        metrics.PACK_PROBLEM.labels(care.runner.name).set(0)
        log.info("pack %s: %s", care.runner.name, detail)
        return Status("", StreamState.PACK_BACK, detail, pack=care.runner.name)

    def _note_streams(self, now_s: float) -> list[Output]:
        out: list[Output] = []
        engine = self._engine
        due = now_s - self._told_s >= _GAP_S
        if due:
            self._told_s = now_s
        for name, stream in engine.streams.items():
            unscored = engine.unscored(name) and not stream.ended
            known = name in self._unscored
            if unscored and not known:
                self._unscored[name] = engine.given(name) * stream.hop
                if self._heard(name):
                    told = self._not_scored(name)
                    log.error("%s: not scored: %s", name, told.detail)
                    out.append(told)
            elif known and not unscored:
                out += self._gap(name, engine.passed(name) * stream.hop)
                del self._unscored[name]
                out += self._scored(name)
            elif known and due:
                out += self._gap(name, engine.passed(name) * stream.hop)
        return out

    def _heard(self, stream: str) -> bool:
        said = self._said.get(stream)
        return said is None or said.state.settled.heard

    def _not_scored(self, stream: str) -> Status:
        packs = {track.manifest.name for track in self._engine.tracks[stream]}
        problems = [f"pack {c.runner.name}: {c.problem}" for c in self._cares if c.runner.name in packs]
        return Status(stream, StreamState.UNSCORED, "; ".join(problems))

    def _scored(self, stream: str) -> list[Output]:
        """It is scored again: it is in the state that its source said last."""
        if not self._heard(stream):
            return []
        log.info("%s: scored again", stream)
        said = self._said.get(stream)
        return [Status(stream, said.state.settled if said else StreamState.LIVE, said.detail if said else "")]

    def _gap(self, stream: str, end: int) -> list[Output]:
        first = self._unscored[stream]
        if end <= first:
            return []
        self._unscored[stream] = end
        return [Gap(stream, first, end - 1, GapReason.UNSCORED)]
