"""The ledger: from what the engine says to what is kept, events with wall times, thresholds and levels. No I/O.

The daemon feeds it live; a replay of a score log feeds it the same rows and gets the same events.
"""

from collections.abc import Container, Mapping, MutableMapping, Sequence

from streamclf.clock import FRAME_MS, NS_PER_FRAME
from streamclf.engine.segment import Ending
from streamclf.store.events import StoredEvent, closed
from streamclf.store.loudness import Loudness, codes_of_rms
from streamclf.store.packfacts import PackFacts
from streamclf.types import Event, Levels, OtherLabels, Output, Stage


class Ledger:
    """run: unique for ever, so that no event id comes twice. packs: follows what is told of other labels.
    test: streams whose events are those of a self-test.

    lasting: events that are open, by id.
    """

    def __init__(self, run: str, packs: MutableMapping[str, PackFacts], *, test: Container[str] = ()) -> None:
        self.lasting: dict[str, StoredEvent] = {}  # bound: a class of a track has one open event at most
        self._run = run
        self._packs = packs
        self._test = test
        self._loudness: dict[str, Loudness] = {}

    def take(self, outputs: Sequence[Output], epochs: Mapping[str, int]) -> list[StoredEvent]:
        """The events among `outputs`, in their order. epochs: stream -> wall time (ns) of its frame 0."""
        taken = []
        for output in outputs:
            if isinstance(output, Levels):
                loudness = self._loudness.setdefault(output.stream, Loudness())
                loudness.push(output.first_frame, codes_of_rms(output.rms))
            elif isinstance(output, OtherLabels):
                self._packs[output.pack] = PackFacts.relabelled(output, self._packs.get(output.pack))
            elif isinstance(output, Event):
                taken.append(self._event(output, epochs[output.stream]))
        return taken

    def stop(self) -> list[StoredEvent]:
        """Close what lasts: the daemon ends."""
        lasting, self.lasting = self.lasting, {}
        return [closed(event, ended_by=Ending.STOP) for event in lasting.values()]

    def _event(self, event: Event, epoch_ns: int) -> StoredEvent:
        pack = self._packs[event.pack]
        label, decision = pack.labels[event.label]
        name = f"{self._run}/{event.id}"
        began = self.lasting.get(name)
        onset_ns = began.onset_ns if began else epoch_ns + event.onset_frame * NS_PER_FRAME
        end = event.offset_frame if event.offset_frame is not None else event.decided_frame
        loudness = self._loudness.get(event.stream)
        stored = StoredEvent(
            id=name,
            stream=event.stream,
            pack=event.pack,
            pack_hash=pack.digest,
            label=event.label,
            group=label.group,
            stage=event.stage.value,
            onset_frame=event.onset_frame,
            offset_frame=event.offset_frame,
            onset_ns=onset_ns,
            offset_ns=None if event.offset_frame is None else onset_ns + (end - event.onset_frame) * NS_PER_FRAME,
            decided_ns=epoch_ns + event.decided_frame * NS_PER_FRAME,
            peak=event.peak,
            mean=event.mean,
            enter=decision.enter,
            leave=decision.leave,
            min_on_ms=decision.min_on * FRAME_MS,
            min_off_ms=decision.min_off * FRAME_MS,
            level_db=loudness.level_db(event.onset_frame, end) if loudness else None,
            ended_by=event.ended_by,
            test=event.stream in self._test,
        )
        if event.stage is Stage.CLOSE:
            self.lasting.pop(name, None)
        else:
            self.lasting[name] = stored
        return stored
