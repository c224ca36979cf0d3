"""From what is said of a stream on the wire to what a picture of it shows."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamclf import __version__
from streamclf.clock import hop_of
from streamclf.draw.passage import Break, EventBar, Key, Lane, Passage, Strip, choose
from streamclf.features.spectrum import BANDS, HIGH_HZ
from streamclf.protocol import wire
from streamclf.protocol.spectrum import Columns
from streamclf.types import F32


class StreamHistory:
    """Rows, events and gaps of one stream, in the order in which they were told."""

    def __init__(self, entry: wire.StreamEntry, packs: Mapping[str, wire.PackEntry]) -> None:
        self.entry = entry
        self._packs = packs
        self._rows: list[tuple[str, Sequence[str], int, F32]] = []
        self._events: dict[str, wire.Event] = {}
        self._gaps: list[wire.Gap] = []

    def rows(self, pack: str, labels: Sequence[str], first_frame: int, values: F32) -> None:
        """values: (frames, labels) float32; of a frame that comes again the later ones hold."""
        self._rows.append((pack, labels, first_frame, values))

    def message(self, message: wire.Message) -> None:
        """Keeps what belongs to this stream and into its picture."""
        if isinstance(message, wire.Event) and message.stream == self.entry.name:
            self._events[message.id] = message
        elif isinstance(message, wire.Gap) and message.stream == self.entry.name:
            self._gaps.append(message)

    @property
    def first_frame(self) -> int | None:
        """The oldest frame that has a row."""
        return min((first for _, _, first, _ in self._rows), default=None)

    @property
    def end_frame(self) -> int:
        """One past the newest frame that has a row."""
        return max((first + len(values) for _, _, first, values in self._rows), default=0)

    def likely(self, first: int, end: int, *, most: int) -> list[Key]:
        """The classes worth a lane in frames [first, end)."""
        hidden = {(pack.name, label.id) for pack in self._packs.values() for label in pack.labels if label.hidden}
        peaks: dict[int, tuple[str, Sequence[str], F32]] = {}  # by list of labels: mostly the same one, and long
        for pack, labels, frame, values in self._rows:
            if first <= frame < end:
                high, before = values.max(axis=0), peaks.get(id(labels))
                peaks[id(labels)] = pack, labels, high if before is None else np.maximum(before[2], high)
        best: dict[Key, float] = {}
        for pack, labels, highest in peaks.values():
            for label, value in zip(labels, highest.tolist(), strict=True):
                best[pack, label] = max(value, best.get((pack, label), 0.0))
        active = {(event.pack, event.label) for event in self._between(first, end)}
        shown = {key: value for key, value in best.items() if key not in hidden}
        return choose(shown | {key: best.get(key, 0.0) for key in active}, active, most=most)

    def passage(self, keys: Sequence[Key], columns: Sequence[Columns], first: int, end: int) -> Passage:
        """Frames [first, end), at least one, with a lane for each of `keys`."""
        picture = Strip(first, end, width=2 + BANDS, empty=np.uint8(0))
        for part in columns:
            picture.put(part.first_frame, part.values)
        hop = hop_of(self.entry.rate)
        return Passage(
            stream=self.entry.name,
            packs=tuple(f"{name} {self._packs[name].version}" for name in self.entry.packs),
            product=f"streamclf {__version__}",
            first_frame=first,
            epoch_ns=self.entry.epoch_ns,
            high_hz=columns[-1].high_hz if columns else min(HIGH_HZ, self.entry.rate / 2),
            columns=picture.values,
            drawn=picture.there,
            lanes=tuple(self._lane(key, first, end) for key in keys),
            breaks=tuple(
                Break(gap.first_sample // hop, -(-(gap.last_sample + 1) // hop), gap.reason) for gap in self._gaps
            ),
        )

    def _lane(self, key: Key, first: int, end: int) -> Lane:
        strip = Strip(first, end, width=1, empty=np.float32(np.nan))
        columns: dict[int, int | None] = {}
        for pack, labels, frame, values in self._rows:
            if pack == key[0]:
                if id(labels) not in columns:
                    columns[id(labels)] = labels.index(key[1]) if key[1] in labels else None
                column = columns[id(labels)]
                if column is not None:
                    strip.put(frame, values[:, column][:, None])
        label = next(label for label in self._packs[key[0]].labels if label.id == key[1])
        bars = [
            EventBar(event.onset_frame, event.offset_frame, event.peak)
            for event in self._between(first, end)
            if (event.pack, event.label) == key
        ]
        return Lane(label.name, key[0], label.enter, strip.values[:, 0], tuple(bars))

    def _between(self, first: int, end: int) -> list[wire.Event]:
        return [
            event
            for event in self._events.values()
            if event.onset_frame < end and (event.offset_frame is None or event.offset_frame > first)
        ]
