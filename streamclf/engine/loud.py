"""The label `loud` of every stream, and how loud it was by the minute. The pack has no graph; its rows are a level.

Theory of operation. Every whole frame of the sound as captured goes through both weightings (`features.weighting`).
The mean square of the A-weighted frame feeds the time weighting F of IEC 61672-1, an exponential mean of 125 ms; that
level, LAF, makes the row: a score of 0.5 is the stream's threshold, and each 0.01 is a decibel over or under it. So one
pair of thresholds serves streams with and without an offset.

A minute is 3,000 frames of the stream, counted from its start. What was lost of it is not made up for.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND, hop_of
from streamclf.config import LoudnessConfig
from streamclf.engine.derived import Derived, DerivedTrack, derived_manifest, derived_pack
from streamclf.engine.scope import DRAWN_TOGETHER
from streamclf.engine.segment import Segmenter
from streamclf.engine.stream import Stream
from streamclf.engine.track import Track
from streamclf.features.octaves import ThirdOctaves
from streamclf.features.weighting import Seats, Weighted
from streamclf.model.pack import Manifest, Pack, Segmentation
from streamclf.types import F32, F64, Label, LoudnessMinute, Output

NAME = "loudness"
"""Of the pack."""
LOUD = "loud"
"""Id of its label."""
MINUTE = 60 * FRAMES_PER_SECOND
LEVELS = ("laeq", "lceq", "lzeq", "lafmax", "lcpeak", "l10", "l50", "l90")
"""The levels of a `LoudnessMinute`."""
DB_PER_SCORE = 100.0
FLOOR_DB = -160.0
_FLOOR = 10 ** (FLOOR_DB / 10)
_FAST = 1 - math.exp(-FRAME_MS / 125)  # IEC 61672-1: the time constant F
_HALF_SECOND = FRAMES_PER_SECOND // 2
_WINDOW_MS = 1000  # after which an exponential mean of 125 ms has forgotten all but 0.03 %


def decibels(power: float) -> float:
    """Of a mean square, full scale 1; not under `FLOOR_DB`."""
    return max(FLOOR_DB, 10 * math.log10(power)) if power > 0 else FLOOR_DB


class _Sums:
    """Of one minute, of what is measured by the half second. powers: C- and not weighted. bands: of so many windows."""

    def __init__(self, bands: int) -> None:
        self.powers = np.zeros(2)
        self.peak = 0.0
        self.bands = np.zeros(bands)
        self.windows = 0


class FastLevels:
    """A-weighted frames, and LAF, of streams of one rate together; each has a seat."""

    def __init__(self, rate: int) -> None:
        self._hop = hop_of(rate)
        self._weighted = Weighted("A", rate, seats=0)
        self._fasts = np.zeros(0)

    def add(self) -> int:
        """One more seat. Returns its number."""
        self._fasts = np.append(self._fasts, 0.0)
        return self._weighted.add()

    def restart(self, seat: int) -> None:
        """What comes next on it does not follow on what was."""
        self._weighted.restart(seat)
        self._fasts[seat] = 0.0

    def push(self, frames: F32, seats: Seats) -> tuple[F64, F64]:
        """frames: (seats, n, hop). Returns mean squares by frame, (seats, n): A-weighted, and of the constant F."""
        loud = self._weighted.push(frames, seats)
        powers = np.einsum("kfs,kfs->kf", loud, loud).astype(np.float64) / self._hop
        fasts = np.empty_like(powers)
        fast = self._fasts[seats]
        for index in range(powers.shape[1]):
            fast = fast + _FAST * (powers[:, index] - fast)
            fasts[:, index] = fast
        self._fasts[seats] = fast
        return powers, fasts


class LoudnessMeter:
    """Levels of one stream. Whole frames in, LAF of each frame and minutes out. Lives on the model thread, but for
    `recent`, which any thread may ask. levels: shared with other streams of its rate.

    A-weighted levels are measured frame by frame. What only a minute tells is measured by the half second, in fewer
    and longer steps, which begin at the same frames however the sound was cut.
    """

    def __init__(self, stream: str, rate: int, levels: FastLevels | None = None) -> None:
        self.offset_db: float | None = None
        self._levels = levels or FastLevels(rate)
        self.seat = self._levels.add()
        self._stream = stream
        self._hop = hop_of(rate)
        self._c = Weighted("C", rate)
        self._octaves = ThirdOctaves(rate)
        # by frame of a minute; what is older is overwritten
        self._energies = np.zeros(MINUTE)
        self._fasts = np.zeros(MINUTE)
        self._heard = np.zeros(MINUTE, dtype=np.bool_)  # in this minute
        self._end = 0
        self._since = 0  # the first frame behind the last gap
        self._held = np.zeros((_HALF_SECOND, self._hop), dtype=np.float32)
        self._first_held = self._end_held = 0
        self._sums = _Sums(len(self._octaves.bands))

    def restart(self, frame: int) -> list[LoudnessMinute]:
        """Samples were lost: what comes next is of `frame` on. Returns the minute that is over by that."""
        self._measure()
        over = self.flush() if frame // MINUTE != self._end // MINUTE else []
        self._levels.restart(self.seat)
        self._c.restart()
        self._octaves.restart()
        self._since = self._end = self._first_held = self._end_held = frame
        return over

    def push(self, first: int, frames: F32) -> tuple[F64, list[LoudnessMinute]]:
        """frames: (n, hop) float32, right behind those before. Returns LAF of each (mean square, full scale 1), and the
        minutes that ended."""
        powers, fasts = self._levels.push(frames[np.newaxis], np.array([self.seat]))
        return fasts[0], self.note(first, frames, powers[0], fasts[0])

    def note(self, first: int, frames: F32, powers: F64, fasts: F64) -> list[LoudnessMinute]:
        """What `levels` made of these frames. Returns the minutes that ended."""
        minutes: list[LoudnessMinute] = []
        at, count = 0, len(frames)
        while at < count:
            frame = first + at
            end = min(count, at + _HALF_SECOND - frame % _HALF_SECOND)
            place, held = frame % MINUTE, frame % _HALF_SECOND
            part = slice(place, place + end - at)  # half seconds lie whole in a minute
            self._energies[part], self._fasts[part] = powers[at:end], fasts[at:end]
            self._heard[part] = True
            self._held[held : held + end - at] = frames[at:end]
            self._end = self._end_held = first + end
            at = end
            if self._end % _HALF_SECOND == 0:
                self._measure()
                if self._end % MINUTE == 0:
                    minutes += self.flush()
        return minutes

    def flush(self) -> list[LoudnessMinute]:
        """The minute as far as it was heard, if it was."""
        self._measure()
        sums, self._sums = self._sums, _Sums(len(self._octaves.bands))
        heard, self._heard = self._heard, np.zeros(MINUTE, dtype=np.bool_)
        count = int(heard.sum())
        if not count:
            return []
        levels = self._fasts[heard]
        l90, l50, l10 = np.quantile(levels, (0.1, 0.5, 0.9)).tolist()
        lceq, lzeq = (sums.powers / count).tolist()
        bands = sums.bands / max(1, sums.windows)
        minute = LoudnessMinute(
            stream=self._stream,
            first_frame=(self._end - 1) // MINUTE * MINUTE,
            frames=count,
            laeq=decibels(float(self._energies[heard].mean())),
            lceq=decibels(lceq),
            lzeq=decibels(lzeq),
            lafmax=decibels(float(levels.max())),
            lcpeak=decibels(sums.peak**2),
            l10=decibels(l10),
            l50=decibels(l50),
            l90=decibels(l90),
            bands=tuple(decibels(band) for band in bands.tolist()) if sums.windows else (),
            offset_db=self.offset_db,
        )
        return [minute]

    def recent(self, seconds: float) -> tuple[float, float, float] | None:
        """(LAeq, lowest LAF, highest LAF) of the last seconds, at most 60, dB; None where that much was not heard."""
        end, count = self._end, max(1, min(MINUTE, round(seconds * FRAMES_PER_SECOND)))
        if end - self._since < count:
            return None
        where = np.arange(end - count, end) % MINUTE
        fasts = self._fasts[where]
        return decibels(float(self._energies[where].mean())), decibels(float(fasts.min())), decibels(float(fasts.max()))

    def _measure(self) -> None:
        """What was held since the last half second began."""
        count = self._end_held - self._first_held
        if not count:
            return
        begin = self._first_held % _HALF_SECOND
        frames = self._held[begin : begin + count]
        self._first_held = self._end_held
        loud = self._c.push(frames[np.newaxis])[0]
        sums = self._sums
        sums.powers += np.vdot(loud, loud) / self._hop, np.vdot(frames, frames) / self._hop
        sums.peak = max(sums.peak, float(loud.max()), -float(loud.min()))
        octaves = self._octaves.push(frames)
        sums.bands += octaves.sum(axis=0)
        sums.windows += len(octaves)


class LoudTrack(DerivedTrack):
    """One stream under the pack. enter_db: the level that is a score of 0.5, in dBFS.

    What it hears waits in its group, which measures it together with what other streams heard in the same tick.
    """

    def __init__(self, pack: Pack, segmenter: Segmenter, stream: Stream, group: "_Together") -> None:
        super().__init__(pack, segmenter, stream=stream.name)
        self.enter_db = 0.0
        self.meter = LoudnessMeter(stream.name, stream.rate, group.levels)
        self._group = group
        self._rows: list[tuple[int, F32, int]] = []  # bound: what one tick hears
        self._minutes: list[Output] = []
        self._newest: tuple[int, F32, int] | None = None  # like a row of `due`: the newest frame measured
        stream.listen_whole(lambda first, frames: group.waiting.append((self, first, frames)))

    def use(self, config: LoudnessConfig) -> None:
        """These thresholds and this offset hold from the next frame on."""
        self._group.work(rest=True)
        offset = config.offsets.get(self.stream)
        self.meter.offset_db = offset
        self.enter_db = config.enter_dbfs if offset is None else config.enter_dba - offset

    def take(self) -> list[Output]:
        """Rows and events, and the minutes that ended."""
        outputs = super().take()
        outputs += self._minutes
        self._minutes = []
        return outputs

    def take_rest(self) -> list[Output]:
        """See `DerivedTrack`."""
        self._group.work(rest=True)
        return self.take()

    def due(self) -> Iterable[tuple[int, F32, int]]:
        """See `DerivedTrack`."""
        self._group.work()
        rows, self._rows = self._rows, []
        return rows

    def anew(self, frame: int) -> None:
        """See `DerivedTrack`."""
        self._group.work(rest=True)
        self._rows.clear()
        self._newest = None
        self._minutes += self.meter.restart(frame)

    def finished(self, frames: int) -> None:
        """Only whole frames are measured: a rest of one keeps the level before it, as a row is held until the next."""
        self._group.work(rest=True)
        self._minutes += self.meter.flush()
        if self._newest is not None:
            last, row, newest = self._newest
            if last + 1 < frames:
                self._rows.append((last + 1, np.repeat(row, frames - last - 1, axis=0), newest))

    def note(self, first: int, frames: F32, powers: F64, fasts: F64, scores: F32) -> None:
        """What was measured of these frames, by frame."""
        self._minutes += self.meter.note(first, frames, powers, fasts)
        end = first + len(frames)
        self._rows.append((first, scores[:, np.newaxis], end * frames.shape[1]))
        self._newest = end - 1, scores[-1:, np.newaxis], end * frames.shape[1]


class _Together:
    """Streams of one rate. waiting: what they heard and is not measured yet; bound: of each stream what one tick hears,
    and less than `DRAWN_TOGETHER` frames before it.

    Live, five frames are measured at once: for one a call of numpy costs more than what it computes, and no message of
    rows comes later for it but those of a single frame.
    """

    def __init__(self, rate: int) -> None:
        self.levels = FastLevels(rate)
        self.waiting: list[tuple[LoudTrack, int, F32]] = []

    def work(self, *, rest: bool = False) -> None:
        """Measure what waits, equally many frames of as many streams as there are in one go.

        rest: also of streams of which so few frames wait that others are to be measured with them.
        """
        blocks: dict[LoudTrack, list[tuple[int, F32]]] = {}
        for track, first, frames in self.waiting:  # of each stream in order
            blocks.setdefault(track, []).append((first, frames))
        self.waiting = []
        groups: dict[int, list[tuple[LoudTrack, int, F32]]] = {}
        for track, some in blocks.items():
            first, end = some[0][0], some[-1][0] + len(some[-1][1])
            if rest or end // DRAWN_TOGETHER > first // DRAWN_TOGETHER:
                frames = some[0][1] if len(some) == 1 else np.concatenate([one for _, one in some])
                groups.setdefault(len(frames), []).append((track, first, frames))
            else:
                self.waiting += [(track, *one) for one in some]
        for group in groups.values():
            self._measure(group)

    def _measure(self, some: Sequence[tuple[LoudTrack, int, F32]]) -> None:
        seats = np.array([track.meter.seat for track, _, _ in some])
        powers, fasts = self.levels.push(np.stack([frames for _, _, frames in some]), seats)
        levels = 10 * np.log10(np.maximum(fasts, _FLOOR))
        enters = np.array([track.enter_db for track, _, _ in some])[:, np.newaxis]
        scores = np.clip(0.5 + (levels - enters) / DB_PER_SCORE, 0.0, 1.0).astype(np.float32)
        for index, (track, first, frames) in enumerate(some):
            track.note(first, frames, powers[index], fasts[index], scores[index])


class Loud(Derived):
    """The pack `loudness`: it listens to every stream."""

    hop_ms = DRAWN_TOGETHER * FRAME_MS

    def __init__(self, config: LoudnessConfig) -> None:
        # how readily other labels begin has nothing to do with decibels
        super().__init__(
            derived_pack(_manifest(config), [Label(LOUD, "Loud", enter=0.5, enter_low=0.5, enter_high=0.5)])
        )
        self.tracks: dict[str, LoudTrack] = {}
        self._groups: dict[int, _Together] = {}  # by rate
        self._config = config

    def track(self, stream: Stream, tracks: Sequence[Track], segmenter: Segmenter) -> LoudTrack:
        """See `Derived`."""
        group = self._groups.setdefault(stream.rate, _Together(stream.rate))
        track = self.tracks[stream.name] = LoudTrack(self.pack, segmenter, stream, group)
        track.use(self._config)
        return track

    def use(self, config: LoudnessConfig) -> None:
        """Other levels and offsets from the next frame on; on the model thread."""
        self._config = config
        for track in self.tracks.values():
            track.use(config)


def loud_tracks(derived: Sequence[Derived]) -> dict[str, LoudTrack]:
    """Those of the pack among `derived`, by stream."""
    return {name: track for one in derived if isinstance(one, Loud) for name, track in one.tracks.items()}


def loudness_of(config: LoudnessConfig, packs: Sequence[Pack]) -> list[Loud]:
    """The pack, unless it is switched off or one of `packs` has that name or a label `loud`: ids mean one thing."""
    taken = any(pack.manifest.name == NAME or LOUD in {label.id for label in pack.labels} for pack in packs)
    return [] if taken or not config.enabled else [Loud(config)]


def _manifest(config: LoudnessConfig) -> Manifest:
    return derived_manifest(
        NAME,
        version="1",
        title="How loud it is: the A-weighted level with the time constant F",
        source="the sound itself, by IEC 61672-1:2013",
        window_ms=_WINDOW_MS,
        segmentation=Segmentation(
            enter=0.5, leave=0.5 - config.leave_below_db / DB_PER_SCORE, min_on_ms=FRAME_MS, min_off_ms=500
        ),
    )
