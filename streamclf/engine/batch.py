"""One session, many tracks. Ready tracks are run together; the others cost nothing and change nothing.

The batch is compacted: row i of a run belongs to the i-th *active* track, and the session gathers and scatters the
recurrent state by slot. So `active` is which tracks are in the run, `reset` is `session.reset(slot)` before it, and a
companion can neither slow nor alter another's rows. A slot's generation counts its tenants: a result is handed over
only to the track that asked for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamclf import metrics
from streamclf.engine.guard import Guard, RunNote
from streamclf.engine.making import Making, StartBrake
from streamclf.engine.track import Track
from streamclf.features.deferred import DeferredFrontend
from streamclf.model.pack import Encoded, Pack
from streamclf.model.session import Session
from streamclf.text import words_of
from streamclf.types import Provider

_LEAST_S = 0.75  # no run of a small model is so long, on whatever machine, and a hung one is told within a second
_TIMES = 10
# a first run of some batch size may look for the best kernels, or build an engine for minutes
_LEAST_ELSEWHERE_S = {Provider.CUDA.value: 20.0, Provider.TENSORRT.value: 900.0}
_ENCODINGS = 4  # runs of the encoder for a second of sound


class Failure(StrEnum):
    """How a pack fails."""

    RAISED = "raised"
    HUNG = "hung"
    MAKING = "making"  # its session could not be made
    NAN = "nan"


@dataclass(frozen=True, slots=True)
class PackFault:
    """Why a pack does not work, in words. fault: what was raised, where that was anything we did not foresee."""

    failure: Failure
    reason: str


class PackRunner:
    """All tracks of one pack. slots: how many streams can use it at once (bound; a further one is refused).

    session: None where it is not there yet. make: makes another one, with that brake. strict: what fails is raised
    (offline); otherwise the pack has no session from then on, `fault` says why, and the engine goes on without it.
    """

    def __init__(
        self,
        pack: Pack,
        session: Session | None,
        *,
        make: Callable[[StartBrake], Session] | None = None,
        slots: int = 256,
    ) -> None:
        self.pack = pack
        self.make = make or (lambda brake: Session(pack, brake=brake))
        self.making: Making | None = None
        """Its next session, while that is being made."""
        self.tracks: list[Track] = []
        self.hop_frames = 1
        self.strict = True
        self.guard = Guard()
        self.fault: PackFault | None = None
        """Why it lost its session, until somebody has taken that up."""
        self.run_seconds: float | None = None
        """Measured time of a run of one row."""
        self.bad = False
        """Whether a row of some track was not finite a moment ago."""
        self._spoiled: set[Track] = set()  # tracks whose newest rows of the encoder were not finite
        self._session = session
        self._encoded = isinstance(pack.manifest.features, Encoded)
        self._runs = metrics.MODEL_RUNS.labels(self.name)
        self._seconds = metrics.RUN_SECONDS.labels(self.name)
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
    def session(self) -> Session:
        """What runs it, where it works."""
        assert self._session is not None, f"pack {self.name} has no session"
        return self._session

    @property
    def provider(self) -> str:
        """What its session runs on, "" where it has none."""
        return self._session.provider if self._session is not None else ""

    def take_slot(self) -> int | None:
        """A free slot, or None."""
        return self._free.pop() if self._free else None

    def add(self, track: Track) -> None:
        """From now on the track is run when it is ready."""
        track.set_hop(self.hop_frames)
        track.paused = not self.works
        self.tracks.append(track)

    def remove(self, track: Track) -> None:
        """Give the track's slot back."""
        self.tracks.remove(track)
        track.generation += 1
        self._free.append(track.slot)

    def set_hop(self, frames: int) -> None:
        """Frames between two window runs, for every track."""
        self.hop_frames = frames
        for track in self.tracks:
            track.set_hop(frames)

    def lose(self, fault: PackFault) -> None:
        """It has no session from now on."""
        self._session = None
        self.fault = fault

    def regain(self, session: Session, run_seconds: float) -> None:
        """It has one again."""
        self._session = session
        self._spoiled.clear()
        self.run_seconds = run_seconds
        self.fault = None

    def limit_s(self, rows: int) -> float:
        """A run of so many rows that takes longer than this hangs."""
        least_s = _LEAST_ELSEWHERE_S.get(self.provider, _LEAST_S)
        return max(least_s, _TIMES * (self.run_seconds or 0.0) * rows)

    def run_ready(self, tracks: Sequence[Track]) -> list[Track]:
        """One run over those of `tracks` (this pack's) that are ready. Returns them: they may be ready once more."""
        if self._session is None:
            return []
        if self.strict:
            return self._run_ready(self._session, tracks)
        try:
            return self._run_ready(self._session, tracks)
        except Exception as fault:  # onnxruntime raises a dozen unrelated types
            self.lose(self._fault(self._session, fault))
            return []

    def _fault(self, session: Session, fault: Exception) -> PackFault:
        if session.brake.pulled:
            return PackFault(Failure.HUNG, f"a run took longer than {self.limit_s(1):.2g} s and was broken off")
        return PackFault(Failure.RAISED, f"a run failed: {words_of(fault)}")

    def _run_ready(self, session: Session, tracks: Sequence[Track]) -> list[Track]:
        if self._encoded:
            for track in tracks:
                self._encode(session, track)
        ready = [track for track in tracks if track.ready]
        for at in range(0, len(ready), session.max_batch):
            self._run(session, ready[at : at + session.max_batch])
        return ready

    def _encode(self, session: Session, track: Track) -> None:
        assert isinstance(track.frontend, DeferredFrontend)
        assert session.encode is not None
        guard = self.guard  # another thread's may be in its place when the run is back
        guard.enter(RunNote(self.name, session.brake, self.limit_s(_ENCODINGS)))
        try:
            track.frontend.work(session.encode)
        finally:
            guard.leave()
        if session.encode.bad:
            session.encode.bad = False
            metrics.BAD_ROWS.labels(self.name).inc()
            self._spoiled.add(track)
        else:
            self._spoiled.discard(track)

    def _run(self, session: Session, ready: Sequence[Track]) -> None:
        inputs = session.input_rows(len(ready))
        asked = []
        for row, track in zip(inputs, ready, strict=True):
            if track.fresh:
                session.reset(track.slot)
            track.fill(row)
            asked.append(track.generation)
        guard = self.guard
        guard.enter(RunNote(self.name, session.brake, self.limit_s(len(ready))))
        try:
            with self._seconds.time():
                outputs = session.run([track.slot for track in ready])
        finally:
            guard.leave()
        self._runs.inc()
        bad = session.bad
        if bad:
            metrics.BAD_ROWS.labels(self.name).inc(len(bad))
        noted = not self.strict and (bool(bad) or self.bad or bool(self._spoiled))
        for at, (rows, track, generation) in enumerate(zip(outputs, ready, asked, strict=True)):
            if track.generation == generation:
                track.accept(rows)
                if noted:
                    track.note(at in bad or track in self._spoiled)
        if noted:
            self.bad = any(track.ailing for track in self.tracks)
