"""Clips: the sound of an event, with what was before and after it, cut out of the stream's ring.

Theory of operation. An event that is to have a clip is *planned* when it opens. It is *due* when the ring has what
follows it too (or the longest clip is full), and, with privacy, when every frame has been judged. Then its samples are
copied, speech is silenced or the clip is dropped, and the best of a visit is kept: a worse one is not written, a better
one takes the place of the one before it. What has been overwritten in the ring meanwhile gives no clip.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile

from streamclf.audio.resample import Resampler
from streamclf.audio.ring import Ring
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_SECOND, frames_of_ms, hop_of
from streamclf.config import ClipsConfig
from streamclf.errors import ConfigError, Overrun
from streamclf.store.events import StoredEvent
from streamclf.store.filenames import make_below, safe_name
from streamclf.store.privacy import SpeechWatch, speech_columns
from streamclf.types import F32, FrameScores, Label, Levels, Output, Status

FOLDER = "clips"
SLACK_SECONDS = 10
MAX_PLANNED = 256  # beyond it the oldest plans are given up
_CLIP = re.compile(r"\d{4}-\d{2}-\d{2}/\d{6}_[A-Za-z0-9_-]+_[0-9a-f]{8}\.(flac|opus)(\.part)?")
_OPUS_RATES = (8000, 12_000, 16_000, 24_000, 48_000)


@dataclass(frozen=True, slots=True)
class ClipSource:
    """What clips are cut from: a stream's ring, its rate (Hz), and the packs that listen to it."""

    ring: Ring
    rate: int
    packs: tuple[str, ...]


@dataclass(slots=True)
class _Plan:
    event: StoredEvent
    first: int
    end: int
    """Frames [first, end) of the clip; `end` moves until the event has closed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A clip to write. samples: (n, ) float32. replaces: event and file of the visit's clip that it is better than."""

    event: StoredEvent
    name: str
    samples: F32
    rate: int
    replaces: tuple[str, str] | None


@dataclass(slots=True)
class _Visit:
    last_ns: int
    event_id: str
    name: str
    peak: float


class Clipper:
    """Plans and cuts. streams: by name. labels: by pack, in the order of their rows' columns.

    Raises ConfigError where privacy is asked for and a stream has no pack that tells speech.
    """

    def __init__(
        self, config: ClipsConfig, streams: Mapping[str, ClipSource], labels: Mapping[str, Sequence[Label]]
    ) -> None:
        self.missed = 0
        """Clips that were not cut: overwritten in the ring, or more than `MAX_PLANNED` at once."""
        self.wanted_ms: Callable[[StoredEvent], int | None] = lambda event: None
        """Longest clip of an event where that is not `max_ms`, which it may not exceed; the rules say so."""
        self._config = config
        self._streams = streams
        self._pre = frames_of_ms(config.pre_ms)
        self._post = frames_of_ms(config.post_ms)
        self._longest = frames_of_ms(config.max_ms)
        self._margin = frames_of_ms(config.privacy_margin_ms)
        self._plans: dict[str, _Plan] = {}  # by event id; bound: MAX_PLANNED
        self._heard: dict[str, int] = {}
        self._ended: set[str] = set()
        self._visits: dict[tuple[str, str], _Visit] = {}  # bound: streams times labels
        self._watch = SpeechWatch(
            {pack: speech_columns(found, config.privacy_labels) for pack, found in labels.items()},
            threshold=config.privacy_threshold,
            frames=(ring_seconds(config) + SLACK_SECONDS) * FRAMES_PER_SECOND,
        )
        for name, source in streams.items():
            check_privacy(config, f"stream {name}", {pack: labels[pack] for pack in source.packs})

    def follow(self, other: "Clipper") -> None:
        """Go on where one with other settings stops: what it has planned is cut by these.

        What it knew of speech is forgotten, so that of what was heard before all counts as speech.
        """
        self.missed, self.wanted_ms = other.missed, other.wanted_ms
        self._heard, self._ended, self._visits, self._plans = other._heard, other._ended, other._visits, other._plans

    def take(self, outputs: Iterable[Output]) -> None:
        """How far streams have been heard, and what of it is speech."""
        for output in outputs:
            if isinstance(output, Levels):
                self._heard[output.stream] = output.first_frame + len(output.rms)
            elif isinstance(output, FrameScores):
                self._watch.take(output)
            elif isinstance(output, Status) and output.state.over:
                self._ended.add(output.stream)

    def plan(self, events: Iterable[StoredEvent]) -> None:
        """Events that opened, go on or closed."""
        for event in events:
            if event.stream not in self._streams:
                continue  # a self-test's sound is known
            wanted = self._config.labels
            if wanted and event.label not in wanted and f"group:{event.group}" not in wanted:
                continue
            plan = self._plans.get(event.id)
            if plan is None:
                if event.stage != "open":
                    continue  # its clip has been cut already
                first = max(0, event.onset_frame - self._pre)
                wanted_ms = self.wanted_ms(event)
                longest = self._longest if wanted_ms is None else min(self._longest, frames_of_ms(wanted_ms))
                plan = self._plans[event.id] = _Plan(event, first, first + longest)
                if len(self._plans) > MAX_PLANNED:
                    del self._plans[next(iter(self._plans))]
                    self.missed += 1
            plan.event = event
            if event.offset_frame is not None:
                plan.end = min(plan.end, event.offset_frame + self._post)

    def due(self, *, last: bool = False) -> list[Cut]:
        """What can be cut now. last: nothing more will be heard, so all that is planned."""
        cuts = []
        for plan in list(self._plans.values()):
            source = self._streams[plan.event.stream]
            if last or self._is_due(plan, source):
                del self._plans[plan.event.id]
                cut = self._cut(plan, source)
                if cut is not None:
                    cuts.append(cut)
        return cuts

    def _is_due(self, plan: _Plan, source: ClipSource) -> bool:
        stream = plan.event.stream
        if stream in self._ended:
            return True
        if self._heard.get(stream, 0) < plan.end:
            return False
        if self._config.privacy == "off" or self._watch.known(stream, source.packs) >= plan.end + self._margin:
            return True
        # what is not judged in time counts as speech
        ring, rate = source.ring, source.rate
        return ring.written - plan.first * hop_of(rate) > ring.capacity - SLACK_SECONDS // 2 * rate

    def _cut(self, plan: _Plan, source: ClipSource) -> Cut | None:
        event, hop = plan.event, hop_of(source.rate)
        key = event.stream, event.label
        visit = self._visits.get(key)
        if visit is not None and event.onset_ns - visit.last_ns > self._config.visit_ms * 1_000_000:
            visit = None
        if visit is not None:
            visit.last_ns = max(visit.last_ns, event.offset_ns or event.decided_ns)
            if event.peak <= visit.peak:
                return None
        end = min(plan.end, source.ring.written // hop)
        if end <= plan.first:
            return None
        try:
            samples = source.ring.view(plan.first * hop, end * hop).copy()
        except Overrun:
            self.missed += 1
            return None
        if not source.ring.holds(plan.first * hop):
            self.missed += 1
            return None
        if self._config.privacy != "off":
            speech = self._watch.speech(event.stream, source.packs, plan.first, end, margin=self._margin)
            if self._config.privacy == "drop" and speech.any():
                return None
            samples.reshape(-1, hop)[speech] = 0
        name = clip_name(event, self._config.format)
        replaces = None if visit is None else (visit.event_id, visit.name)
        self._visits[key] = _Visit(event.offset_ns or event.decided_ns, event.id, name, event.peak)
        return Cut(event, name, samples, source.rate, replaces)


def check_privacy(config: ClipsConfig, where: str, labels: Mapping[str, Sequence[Label]]) -> None:
    """labels: by pack that listens. Raises ConfigError where privacy is asked for and none of them tells speech."""
    if not config.enabled or config.privacy == "off":
        return
    if not any(speech_columns(found, config.privacy_labels) for found in labels.values()):
        known = ", ".join(config.privacy_labels)
        raise ConfigError(
            f'clips.privacy = "{config.privacy}" needs a pack that tells speech, and none of {where} '
            f"({', '.join(labels)}) has a label among {known}; add the pack silero-vad"
        )


def ring_seconds(config: ClipsConfig) -> int:
    """Seconds of sound that a ring must hold for the longest clip."""
    return -(-config.max_ms // 1000) + SLACK_SECONDS


def clip_name(event: StoredEvent, form: str) -> str:
    """The file below clips/: the day, then time (UTC), stream and label; no text of others gets into it as it is."""
    began = datetime.fromtimestamp(event.onset_ns // NS_PER_SECOND, UTC)
    unique = hashlib.sha256(event.id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return (
        f"{began:%Y-%m-%d}/{began:%H%M%S}_{safe_name(event.stream)}_{safe_name(event.label)}_{unique}"
        f".{'opus' if form == 'opus' else 'flac'}"
    )


def why_none(event: StoredEvent, config: ClipsConfig) -> str:
    """Why an event has no clip, as the settings are now; which of several reasons it was is not kept."""
    if not config.enabled:
        return "clips are switched off, [clips] enabled switches them on"
    if config.labels and event.label not in config.labels and f"group:{event.group}" not in config.labels:
        return f"[clips] labels does not ask for {event.label}"
    if event.stage != "close":
        return "it still goes on, a clip is written behind its end"
    speech = "it held speech ([clips] privacy = drop), " if config.privacy == "drop" else ""
    return f"{speech}another one of the same visit was better, or it had to go for its age or for want of space"


def is_clip(name: str) -> bool:
    """Whether a file of this name, below clips/, is one that was written here: `clip_name`, whole or in parts."""
    return _CLIP.fullmatch(name) is not None


def write_clip(folder: Path, cut: Cut) -> None:
    """Write a clip below the store's `folder`, whole or not at all. Raises OSError."""
    *days, name = cut.name.split("/")
    path = make_below(folder, FOLDER, *days) / name
    part = path.with_name(f"{path.name}.part")
    samples, rate = cut.samples, cut.rate
    form, subtype = ("OGG", "OPUS") if path.suffix == ".opus" else ("FLAC", "PCM_16")
    if subtype == "OPUS" and rate not in _OPUS_RATES:
        samples, rate = Resampler(rate, _OPUS_RATES[-1]).push(samples, last=True), _OPUS_RATES[-1]
    encoded = io.BytesIO()  # a callback of soundfile that meets a full disk would print a traceback
    soundfile.write(encoded, np.clip(samples, -1, 1), rate, format=form, subtype=subtype)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(encoded.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
