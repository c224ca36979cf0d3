"""One session, many tracks. Ready tracks are run together; the others cost nothing and change nothing.

The batch is compacted: row i of a run belongs to the i-th *active* track, and the session gathers and scatters the
recurrent state by slot. So `active` is which tracks are in the run, `reset` is `session.reset(slot)` before it, and a
companion can neither slow nor alter another's rows. A slot's generation counts its tenants: a result is handed over
only to the track that asked for it.
"""

from collections.abc import Sequence

from streamclf import metrics
from streamclf.engine.track import Track
from streamclf.model.pack import Pack
from streamclf.model.session import Session


class PackRunner:
    """All tracks of one pack. slots: how many streams can use it at once (bound; a further one is refused)."""

    def __init__(self, pack: Pack, session: Session, *, slots: int = 256) -> None:
        self.pack = pack
        self.session = session
        self.tracks: list[Track] = []
        self.hop_frames = 1
        self._runs = metrics.MODEL_RUNS.labels(self.name)
        self._seconds = metrics.RUN_SECONDS.labels(self.name)
        self._free = list(range(slots - 1, -1, -1))

    @property
    def name(self) -> str:
        """The pack's name."""
        return self.pack.manifest.name

    def take_slot(self) -> int | None:
        """A free slot, or None."""
        return self._free.pop() if self._free else None

    def add(self, track: Track) -> None:
        """From now on the track is run when it is ready."""
        track.set_hop(self.hop_frames)
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

    def run_ready(self, tracks: Sequence[Track]) -> list[Track]:
        """One run over those of `tracks` (this pack's) that are ready. Returns them: they may be ready once more."""
        ready = [track for track in tracks if track.ready]
        for at in range(0, len(ready), self.session.max_batch):
            self._run(ready[at : at + self.session.max_batch])
        return ready

    def _run(self, ready: Sequence[Track]) -> None:
        session = self.session
        inputs = session.input_rows(len(ready))
        asked = []
        for row, track in zip(inputs, ready, strict=True):
            if track.fresh:
                session.reset(track.slot)
            track.fill(row)
            asked.append(track.generation)
        bad = session.bad_rows
        with self._seconds.time():
            outputs = session.run([track.slot for track in ready])
        self._runs.inc()
        if session.bad_rows > bad:
            metrics.BAD_ROWS.labels(self.name).inc(session.bad_rows - bad)
        for rows, track, generation in zip(outputs, ready, asked, strict=True):
            if track.generation == generation:
                track.accept(rows)
