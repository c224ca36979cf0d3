"""Where a sound begins and ends that a model has named, heard in the sound itself.

Theory of operation. A model needs a while to know what it hears, and a soft or an odd beginning it may not know at all.
So once it has named a sound, the log-mel spectra that it hears anyway are looked at, backwards from where the event
would begin: as long as there is something that was not there before, not an octave below the sound, it is that sound,
short pauses within it included. Nothing is computed while nothing begins. It rests on frames up to the one that began
the event alone, so it is the same however blocks were cut.

A window still has a sound in it when that is over. Once an event has ended, the frames behind it are what the place
sounds like without the sound, and the last frame that stands out of them is its own last one.
"""

from collections.abc import Sequence

import numpy as np

from streamclf.clock import frames_of_ms
from streamclf.engine.strand import Strand
from streamclf.features.logmel import decibels
from streamclf.features.mel import bank_of
from streamclf.features.spec import LogMel
from streamclf.model.pack import Pack
from streamclf.types import F32

LOOKS_BACK_MS = 10_000
"""Spectra of so long are held: an event's reach and its lag, and what the place sounded like before."""
LOOKS_BACK_TAUGHT_MS = 5000
"""The same where only what is taught looks at them."""
_BEFORE = frames_of_ms(2000)
_LEAST = frames_of_ms(400)  # of those frames, where the stream began a moment ago
_PAUSE = frames_of_ms(200)  # of those within a song
_EARLY = frames_of_ms(160)  # of what a model heard before, that was another sound
_OVER_DB = 6.0  # over nearly all that a band had before
_HINT_DB = 3.0  # so much of it alone may be the beginning, where a model was early
_NEARLY_ALL = 0.95
_OWN_DB, _OWN = 8.0, 0.8  # a band is the sound's own where a fifth of its frames are so far over that
_BANDS = 3  # that stand out at once; one alone may be chance
_LOWEST_HZ = 250.0  # wind and hum are below
_LATE = frames_of_ms(4000)  # by how much at most an event ends behind its sound
_FADED = 0.5  # of how far it stood out, in dB: below it is over
_TOP = 2  # bands that stand out most: a tone has no more


def looks_back(pack: Pack, at: int) -> int:
    """Samples of the past that strands of graph `at` of the pack read: a window, or what edges are looked for in."""
    manifest = pack.graphs[at].manifest
    if at != _graph_of(pack):
        return manifest.window
    span_ms = LOOKS_BACK_MS if pack.manifest.segmentation.lag_ms else LOOKS_BACK_TAUGHT_MS
    return max(manifest.window, span_ms * manifest.rate // 1000)


def edges_of(pack: Pack, strands: Sequence[Strand]) -> "SoundEdges | None":
    """None where no spectra are heard of it. strands: of the pack's graphs."""
    at = _graph_of(pack)
    return None if at is None else SoundEdges(strands[at])


def _graph_of(pack: Pack) -> int | None:
    """The graph whose spectra are looked at, where something lags or can be taught: that which says when, or the first
    that gives embeddings."""
    hosts = [at for at, graph in enumerate(pack.graphs) if graph.manifest.embedding]
    if not (hosts or pack.manifest.segmentation.lag_ms):
        return None
    when = None if pack.fusion is None else pack.fusion.when
    for at in [*([] if when is None else [when]), *hosts]:
        if isinstance(pack.graphs[at].manifest.features, LogMel):
            return at
    return None


class SoundEdges:
    """Of the stream that a strand hears, whose features are log-mel spectra."""

    def __init__(self, strand: Strand) -> None:
        features = strand.manifest.features
        assert isinstance(features, LogMel)
        self._strand = strand
        self._features = features
        self._decibels = decibels(features)
        peaks_hz = bank_of(features, strand.manifest.rate).argmax(axis=0) * strand.manifest.rate / features.fft_size
        self._lowest = int(np.searchsorted(peaks_hz, _LOWEST_HZ))
        self._hz = peaks_hz[self._lowest :]

    def begins(self, onset: int, sure: int, earliest: int) -> int:
        """The first frame of the sound of an event that begins at frame `onset` and was entered at frame `sure`, from
        `earliest` on; `onset` where nothing says that it is older."""
        first = max(earliest - _BEFORE, self._held)
        levels = self._levels(first, sure + 1)
        before = levels[: max(earliest - first, _LEAST)]
        if len(levels) <= len(before) or first >= onset:
            return onset
        over = levels - np.quantile(before, _NEARLY_ALL, axis=0)
        own = np.quantile(over[max(0, min(onset, sure - _PAUSE) - first) :], _OWN, axis=0) > _OWN_DB
        if own.sum() >= _BANDS:
            over = over[:, np.searchsorted(self._hz, self._hz[own.argmax()] / 2) :]
        stands = (over > _OVER_DB).sum(axis=1) >= _BANDS
        hints = (over[onset - first : onset - first + 1 + _EARLY] > _HINT_DB).sum(axis=1) >= _BANDS
        later = np.flatnonzero(hints)
        begin = at = min(sure, onset + int(later[0])) if len(later) else onset
        while at > max(earliest, first) and begin - at <= _PAUSE:
            at -= 1
            if stands[at - first]:
                begin = at
        return begin

    def ends(self, onset: int, end: int, decided: int) -> int:
        """One past the last frame of the sound of an event from frame `onset` to `end`, which was told once frame
        `decided - 1` was heard; `end` where nothing says that it is over sooner."""
        first = max(onset, end - _LATE, self._held)
        levels = self._levels(first, decided)
        sounding, behind = levels[: max(0, end - first)], levels[max(0, end - first) :]
        if not len(sounding) or not len(behind):
            return end
        over = np.sort(sounding - np.quantile(behind, _NEARLY_ALL, axis=0), axis=1)[:, -_TOP:].mean(axis=1)
        loud = float(np.quantile(over, _NEARLY_ALL))
        if loud < _OWN_DB:  # it lasts as long as can be heard, or something else goes on
            return end
        stands = np.flatnonzero(over > max(_OVER_DB, _FADED * loud))
        return first + int(stands[-1]) + 1 if len(stands) else end

    @property
    def _held(self) -> int:
        """The first frame whose spectra are held whole."""
        return -(-self._strand.frontend.first_valid * self._features.frame_shift // self._strand.hop)

    def _levels(self, first: int, end: int) -> F32:
        """Of frames [first, end), as far as they have been heard by the last one: (frames, bands) float32, in dB."""
        features, hop = self._features, self._strand.hop
        heard = end * hop + self._strand.manifest.look_ahead
        each = hop // features.frame_shift
        rows_heard = (heard - features.frame_length) // features.frame_shift + 1
        count = min(end, min(rows_heard, self._strand.frontend.available) // each) - first
        rows = np.empty((max(0, count) * each, features.bands), dtype=np.float32)
        if count > 0:
            samples = (len(rows) - 1) * features.frame_shift + features.frame_length
            self._strand.frontend.window(first * hop, samples, rows)
        rows *= self._decibels
        mean: F32 = rows.reshape(-1, each, features.bands).mean(axis=1)[:, self._lowest :]
        return mean
