"""One session for each graph, many strands. Ready strands are run together; the others cost nothing and change nothing.

The batch is compacted: row i of a run belongs to the i-th *active* strand, and the session gathers and scatters the
recurrent state by slot. So `active` is which strands are in the run, `reset` is `session.reset(slot)` before it, and a
companion can neither slow nor alter another's rows. A slot's generation counts its tenants: a result is handed over
only to the strand that asked for it.

A `PackRunner` has all tracks of a pack. A fused pack has several graphs, each with a session, its strands and its hop;
they fail and are made again as one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamclf import metrics
from streamclf.clock import FRAME_MS
from streamclf.engine.gate import RunGate
from streamclf.engine.guard import Guard, RunNote
from streamclf.engine.making import Making, StartBrake
from streamclf.engine.strand import Strand
from streamclf.engine.track import Track
from streamclf.errors import NotServedError
from streamclf.features.deferred import DeferredFrontend
from streamclf.features.together import compute_together
from streamclf.model.fusedsession import PackSession, open_session
from streamclf.model.pack import Encoded, Manifest, Pack
from streamclf.model.session import Session
from streamclf.text import words_of
from streamclf.types import F32, Provider, Shape

_LEAST_S = 0.75  # no run of a small model is so long, on whatever machine, and a hung one is told within a second
_TIMES = 10
# a first run of some batch size may look for the best kernels, or build an engine for minutes
_LEAST_ELSEWHERE_S = {Provider.CUDA.value: 20.0, Provider.TENSORRT.value: 900.0}
_WINDOWS = 16  # in one run: YAMNet's cost 0.84 of one alone, and from there on what they take leaves the cache
_ENCODINGS = 4  # runs of the encoder for a second of sound


Tap = Callable[[Sequence[Strand], F32], None]
"""Takes the strands of a run and their embeddings, (strands, F, numbers) float32, which hold until the next run."""


class Failure(StrEnum):
    """How a pack fails."""

    RAISED = "raised"
    HUNG = "hung"
    MAKING = "making"  # its session could not be made
    NAN = "nan"
    NOT_SERVED = "not-served"  # a server that runs it was asked in vain


@dataclass(frozen=True, slots=True)
class PackFault:
    """Why a pack does not work, in words. fault: what was raised, where that was anything we did not foresee."""

    failure: Failure
    reason: str


class GraphRunner:
    """All strands of one graph. pack: whose it is. label: what it is called there, "" where there is but one.

    least_hop: frames between two window runs at least. silence: what stands for a run that its gate has spared.
    """

    def __init__(
        self, pack: str, manifest: Manifest, *, label: str = "", least_hop: int = 1, silence: F32 | None = None
    ) -> None:
        self.manifest = manifest
        self.label = label
        self.strands: list[Strand] = []
        self.windows = manifest.shape is not Shape.STATEFUL
        self.hop_frames = self._least_hop = least_hop
        self.bad = False
        """Whether a row of some strand was not finite a moment ago."""
        self.tap: Tap | None = None
        """Is given the embeddings of every run, before the strands accept its rows."""
        self._spoiled: set[Strand] = set()  # strands whose newest rows of the encoder were not finite
        self.spared = 0
        """Windows that were not worth a run."""
        self._silence = silence
        self._pack = pack
        self._encoded = isinstance(manifest.features, Encoded)
        self._runs = metrics.MODEL_RUNS.labels(pack)
        self._spared = metrics.SPARED_RUNS.labels(pack)
        self._seconds = metrics.RUN_SECONDS.labels(pack)

    @property
    def gated(self) -> bool:
        """Whether some of its windows are spared."""
        return self._silence is not None

    @property
    def step_ms(self) -> int:
        """Between two runs."""
        return self.hop_frames * FRAME_MS if self.windows else self.manifest.step * 1000 // self.manifest.rate

    def add(self, strand: Strand) -> None:
        """From now on the strand is run when it is ready."""
        strand.set_hop(self.hop_frames)
        self.strands.append(strand)

    def remove(self, strand: Strand) -> None:
        """It is run no more."""
        self.strands.remove(strand)
        strand.generation += 1

    def set_hop(self, frames: int, times: int) -> None:
        """Frames between two window runs, and how many times longer that is to be for lack of time."""
        self.hop_frames = max(frames, self._least_hop) * times
        for strand in self.strands:
            strand.set_hop(self.hop_frames)

    def forget(self) -> None:
        """Its session is another one."""
        self._spoiled.clear()

    def run_ready(self, session: Session, strands: Sequence[Strand], *, guard: Guard, strict: bool) -> list[Strand]:
        """One run over those of `strands` that are ready. Returns them where they may be ready once more.

        Windows rest on no run before them: all that are due, of one strand and of all, are run together, but where
        somebody follows the strands run by run. Of a strand that is alone all steps that are due are run in one go.
        """
        if self._encoded:
            for strand in strands:
                self._encode(session, strand, guard)
        # what a gate lets through is not known of later windows
        together = self.tap is None and self._silence is None and (self.windows or len(strands) == 1)
        if together:
            starts = [(strand, strand.starts()) for strand in strands]
            longest = max((len(some) for _, some in starts), default=0)
            due = [(strand, some[at]) for at in range(longest) for strand, some in starts if at < len(some)]
            most = min(session.together, max(_WINDOWS, len(strands))) if self.windows else session.max_batch
        else:
            ready = [strand for strand in strands if strand.ready]
            wanted = ready if self._silence is None else self._spare(ready, self._silence)
            due = [(strand, strand.start) for strand in wanted]
            most = session.max_batch
        if not due:
            return [] if together else ready
        # no last run of a few
        even = math.ceil(len(due) / math.ceil(len(due) / most))
        for at in range(0, len(due), even):
            self._run(session, due[at : at + even], guard, strict)
        return [] if together else ready

    def _spare(self, ready: Sequence[Strand], silence: F32) -> list[Strand]:
        """Those whose window is worth a run; the others hear silence."""
        wanted = []
        for strand in ready:
            if strand.wanted:
                wanted.append(strand)
            else:
                strand.accept(silence)
                self.spared += 1
                self._spared.inc()
        return wanted

    def _encode(self, session: Session, strand: Strand, guard: Guard) -> None:
        assert isinstance(strand.frontend, DeferredFrontend)
        assert session.encode is not None
        guard.enter(RunNote(self._pack, session.brake, limit_s(session, _ENCODINGS)))
        try:
            strand.frontend.work(session.encode)
        finally:
            guard.leave()
        if session.encode.bad:
            session.encode.bad = False
            metrics.BAD_ROWS.labels(self._pack).inc()
            self._spoiled.add(strand)
        else:
            self._spoiled.discard(strand)

    def _run(self, session: Session, due: Sequence[tuple[Strand, int]], guard: Guard, strict: bool) -> None:
        """due: strands, and where the run of each begins."""
        ready = [strand for strand, _ in due]
        inputs = session.input_rows(len(due))
        if len(ready) > 1:
            compute_together(dict.fromkeys(strand.frontend for strand in ready))
        asked = []
        for row, (strand, start) in zip(inputs, due, strict=True):
            if strand.fresh:
                session.reset(strand.slot)
            strand.fill(row, start)
            asked.append(strand.generation)
        follow = not self.windows and len(due) > 1 and ready[0] is ready[1]
        session.embed(self.tap is not None)
        guard.enter(RunNote(self._pack, session.brake, limit_s(session, len(ready))))
        try:
            if follow:
                outputs = session.follow(ready[0].slot, len(due))
            else:
                outputs = session.run([strand.slot for strand in ready])
        finally:
            guard.leave()
        self._seconds.observe(session.took_s)
        self._runs.inc(len(due) if follow else 1)
        bad = session.bad
        if bad:
            metrics.BAD_ROWS.labels(self._pack).inc(len(bad))
        if self.tap is not None:
            self.tap(ready, session.embedded.reshape(len(ready), self.manifest.rows_per_window, -1))
        noted = not strict and (bool(bad) or self.bad or bool(self._spoiled))
        for at, (rows, strand, generation) in enumerate(zip(outputs, ready, asked, strict=True)):
            if strand.generation == generation:
                strand.accept(rows)
                if noted:
                    strand.note(at in bad or strand in self._spoiled)
        if noted:
            self.bad = any(strand.ailing for strand in self.strands)


class PackRunner:
    """All tracks of one pack. slots: how many streams can use it at once (bound; a further one is refused).

    session: None where it is not there yet. make: makes another one, with that brake. strict: what fails is raised
    (offline); otherwise the pack has no session from then on, `fault` says why, and the engine goes on without it.
    """

    def __init__(
        self,
        pack: Pack,
        session: PackSession | None,
        *,
        make: Callable[[StartBrake], PackSession] | None = None,
        slots: int = 256,
    ) -> None:
        self.pack = pack
        self.make = make or (lambda brake: open_session(pack, brake=brake))
        self.making: Making | None = None
        """Its next session, while that is being made."""
        self.tracks: list[Track] = []
        self.graphs = _graphs(pack)
        """Its own, or one for each of its members."""
        self.gates = True
        """Whether the gates of its members hold for tracks that are added."""
        self.strict = True
        self.guard = Guard()
        self.fault: PackFault | None = None
        """Why it lost its session, until somebody has taken that up."""
        self.run_seconds: float | None = None
        """Measured time of a run of one row, of all graphs."""
        self._session = session
        self._running = self.graphs[0]
        # those with a gate behind the one that opens it
        self._order = sorted(range(len(self.graphs)), key=lambda at: self.graphs[at].gated)
        self._free = list(range(slots - 1, -1, -1))

    @property
    def name(self) -> str:
        """The pack's name."""
        return self.pack.manifest.name

    @property
    def works(self) -> bool:
        """Whether it has a session to run."""
        return self._session is not None

    @property
    def session(self) -> PackSession:
        """What runs it, where it works."""
        assert self._session is not None, f"pack {self.name} has no session"
        return self._session

    @property
    def provider(self) -> str:
        """What its session runs on, "" where it has none."""
        return self._session.provider if self._session is not None else ""

    @property
    def windows(self) -> bool:
        """Whether a graph of it runs over windows, so that it has a hop."""
        return any(graph.windows for graph in self.graphs)

    @property
    def hop_frames(self) -> int:
        """Frames between two window runs, the longest of its graphs'."""
        return max((graph.hop_frames for graph in self.graphs if graph.windows), default=1)

    @property
    def step_ms(self) -> int:
        """Between two runs, the longest of its graphs'."""
        return max(graph.step_ms for graph in self.graphs)

    @property
    def bad(self) -> bool:
        """Whether a row of some track was not finite in its last run."""
        return any(graph.bad for graph in self.graphs)

    def take_slot(self) -> int | None:
        """A free slot, or None."""
        return self._free.pop() if self._free else None

    def add(self, track: Track) -> None:
        """From now on the track is run when it is ready."""
        fusion = self.pack.fusion
        for member, strand in zip(self.pack.manifest.members, track.strands, strict=False):
            if member.gate is not None and self.gates and fusion is not None and fusion.when is not None:
                over = math.log(member.gate.over / (1.0 - member.gate.over))
                RunGate(track.strands[fusion.when], strand, over=over)
        for graph, strand in zip(self.graphs, track.strands, strict=True):
            graph.add(strand)
        self.tracks.append(track)
        if not self.works:
            track.sleep()

    def remove(self, track: Track) -> None:
        """Give the track's slot back."""
        self.tracks.remove(track)
        for graph, strand in zip(self.graphs, track.strands, strict=True):
            graph.remove(strand)
        self._free.append(track.slot)

    def set_hop(self, frames: int, *, times: int = 1) -> None:
        """Frames between two window runs, for every track; a member's own hop is the least for it.

        times: by how much longer each is to be, because there is no time.
        """
        for graph in self.graphs:
            graph.set_hop(frames, times)

    def lose(self, fault: PackFault) -> None:
        """It has no session from now on."""
        self._session = None
        self.fault = fault

    def regain(self, session: PackSession, run_seconds: float) -> None:
        """It has one again."""
        self._session = session
        for graph in self.graphs:
            graph.forget()
        self.run_seconds = run_seconds
        self.fault = None

    def run(self, tracks: Sequence[Track]) -> None:
        """Make all runs of `tracks` (this pack's) that are ready."""
        session = self._session
        if session is None:
            return
        if self.strict:
            self._run(session, tracks)
            return
        try:
            self._run(session, tracks)
        except Exception as fault:  # onnxruntime raises a dozen unrelated types
            self.lose(self._fault(session, fault))

    def _run(self, session: PackSession, tracks: Sequence[Track]) -> None:
        guard = self.guard  # another thread's may be in its place when a run is back
        for at in self._order:
            graph, own = self.graphs[at], session.members[at]
            self._running = graph
            strands = [track.strands[at] for track in tracks]
            while strands:
                strands = graph.run_ready(own, strands, guard=guard, strict=self.strict)

    def _fault(self, session: PackSession, fault: Exception) -> PackFault:
        if isinstance(fault, NotServedError):
            return PackFault(Failure.NOT_SERVED, words_of(fault))
        at = self.graphs.index(self._running)
        whose = f" of its member {self._running.label}" if self._running.label else ""
        if session.brake.pulled:
            took = f"took longer than {limit_s(session.members[at], 1):.2g} s and was broken off"
            return PackFault(Failure.HUNG, f"a run{whose} {took}")
        return PackFault(Failure.RAISED, f"a run{whose} failed: {words_of(fault)}")


def not_made(fault: Exception) -> PackFault:
    """That its session could not be made, and why."""
    return PackFault(Failure.NOT_SERVED if isinstance(fault, NotServedError) else Failure.MAKING, words_of(fault))


def limit_s(session: Session, rows: int) -> float:
    """A run of so many rows that takes longer than this hangs."""
    least_s = _LEAST_ELSEWHERE_S.get(session.provider, _LEAST_S)
    return max(least_s, _TIMES * (session.run_seconds or 0.0) * rows)


def _graphs(pack: Pack) -> list[GraphRunner]:
    name = pack.manifest.name
    if pack.fusion is None:
        return [GraphRunner(name, pack.manifest)]
    return [
        GraphRunner(
            name,
            own.manifest,
            label=member.name,
            least_hop=max(1, member.hop_ms // FRAME_MS),
            silence=None if member.gate is None else head.silence(len(own.labels)),
        )
        for member, own, head in zip(pack.manifest.members, pack.members, pack.fusion.heads, strict=True)
    ]
