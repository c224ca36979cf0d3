"""One recording through one pack, kept for a picture: rows, events, gaps, spectrum and levels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from streamclf import __version__
from streamclf.audio.sources.file import open_blocks
from streamclf.audio.sources.hush import own_errors
from streamclf.client.snapshot import MOST_LANES
from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.config import Config
from streamclf.draw.passage import Break, EventBar, Key, Lane, Passage, Strip, choose
from streamclf.engine.build import build_engine
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.pace import hop_frames
from streamclf.errors import SourceError, UsageError
from streamclf.features.spectrum import BANDS, HIGH_HZ, steps
from streamclf.model.pack import Pack
from streamclf.text import plain
from streamclf.types import F32, Event, FrameScores, Gap, Output, Picture, Provider, Stage

_LIKELIEST = 5


@dataclass(frozen=True, slots=True)
class GlimpsedEvent:
    """An event in seconds of the recording."""

    name: str
    begin_s: float
    end_s: float
    peak: float


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was heard. likeliest: (name, highest probability, where its events begin). rows: frames that got one."""

    pack: Pack
    passage: Passage
    events: tuple[GlimpsedEvent, ...]
    likeliest: tuple[tuple[str, float, float], ...]
    seconds: float
    hop_ms: int
    rows: int


@own_errors()
def hear(
    model: str, recording: Path, *, begin_s: float, seconds: int, labels: Sequence[str], hop_ms: int | None
) -> Glimpse:
    """Hear `seconds` of `recording` from `begin_s` on. labels: ids that get a lane, none for the likeliest ones.

    hop_ms: between window runs, None for what this machine holds. Raises as `build_engine` and `open_blocks` do.
    """
    engine = build_engine(Config(model=(model,), provider=Provider.CPU, hop_ms=hop_ms or 0))
    (runner,) = engine.runners
    assert runner.session is not None
    if hop_ms is None:
        runner.set_hop(hop_frames(runner.session.warm_up(), streams=1, window_packs=1))
    pack = runner.pack
    unknown = sorted(set(labels) - {label.id for label in pack.labels})
    if unknown:
        raise UsageError(f"--lane {unknown[0]} is no label of {pack.manifest.name}; `streamclf models show` lists them")
    rate, _, blocks = open_blocks(recording, problem=_warn, notice=_warn)
    cut = _Cut(blocks, round(begin_s * rate), seconds * rate)
    outputs = _outputs(engine, recording.name, rate, cut)
    if not cut.samples:
        raise SourceError(f"{recording} has no sound from {begin_s:g} s on; give a smaller --from")
    frames = -(-cut.samples * FRAMES_PER_SECOND // rate)
    return _glimpse(pack, recording.name, outputs, frames, labels, rate, cut, runner.step_ms)


class _Cut:
    """A part of a recording. samples: of it, once it was gone through."""

    def __init__(self, blocks: Iterable[F32], first: int, most: int) -> None:
        self._blocks = blocks
        self.first = first
        self._most = most
        self.samples = 0

    def __iter__(self) -> Iterator[F32]:
        at = 0
        for block in self._blocks:
            part = block[max(0, self.first - at) : max(0, self.first + self._most - at)]
            at += len(block)
            self.samples += len(part)
            if len(part):
                yield part
            if at >= self.first + self._most:
                break


def _outputs(engine: Engine, name: str, rate: int, cut: _Cut) -> list[Output]:
    def drawn() -> Iterator[F32]:
        for number, block in enumerate(cut):
            if number == 0:
                engine.streams[name].draw(True)
            yield block

    return [output for outputs in run_blocks(engine, name, rate=rate, blocks=drawn()) for output in outputs]


def _glimpse(
    pack: Pack,
    name: str,
    outputs: Sequence[Output],
    frames: int,
    labels: Sequence[str],
    rate: int,
    cut: _Cut,
    hop_ms: int,
) -> Glimpse:
    scores = Strip(0, frames, width=len(pack.labels), empty=np.float32(np.nan))
    columns = Strip(0, frames, width=2 + BANDS, empty=np.uint8(0))
    events: list[Event] = []
    breaks: list[Break] = []
    hop = hop_of(rate)
    for output in outputs:
        if isinstance(output, FrameScores) and output.final:
            scores.put(output.first_frame, output.rows)
        elif isinstance(output, Picture):
            levels = output.levels
            values = [steps(levels.rms**2), steps(levels.peak**2), output.columns]
            columns.put(levels.first_frame, np.column_stack(values))
        elif isinstance(output, Event) and output.stage is Stage.CLOSE:
            events.append(output)
        elif isinstance(output, Gap):
            breaks.append(Break(output.first_sample // hop, -(-(output.last_sample + 1) // hop), str(output.reason)))
    begin_s = cut.first / rate
    highest = np.nan_to_num(np.fmax.reduce(scores.values, axis=0, initial=0.0))
    passage = Passage(
        stream=name,
        packs=(f"{pack.manifest.name} {pack.manifest.version}",),
        product=f"streamclf {__version__}",
        first_frame=0,
        epoch_ns=round(begin_s * 1e9),
        high_hz=min(HIGH_HZ, rate / 2),
        columns=columns.values,
        drawn=columns.there,
        lanes=_lanes(pack, scores, events, highest, labels),
        breaks=tuple(breaks),
        recording=True,
    )
    ranked = [at for at in np.argsort(-highest).tolist() if not pack.labels[at].hidden][:_LIKELIEST]
    enter = pack.manifest.segmentation.enter
    return Glimpse(
        pack=pack,
        passage=passage,
        events=_in_seconds(pack, events, begin_s, frames),
        likeliest=tuple((pack.labels[at].name, float(highest[at]), pack.labels[at].enter or enter) for at in ranked),
        seconds=cut.samples / rate,
        hop_ms=hop_ms,
        rows=int(scores.there.sum()),
    )


def _in_seconds(pack: Pack, events: Sequence[Event], begin_s: float, frames: int) -> tuple[GlimpsedEvent, ...]:
    named = {label.id: label.name for label in pack.labels}
    return tuple(
        GlimpsedEvent(
            name=named[one.label],
            begin_s=begin_s + one.onset_frame / FRAMES_PER_SECOND,
            end_s=begin_s + (one.offset_frame or frames) / FRAMES_PER_SECOND,
            peak=one.peak,
        )
        for one in sorted(events, key=lambda one: one.onset_frame)
    )


def _lanes(pack: Pack, scores: Strip, events: Sequence[Event], highest: F32, labels: Sequence[str]) -> tuple[Lane, ...]:
    own = pack.manifest.name
    at = {label.id: index for index, label in enumerate(pack.labels)}
    keys: list[Key] = [(own, label) for label in labels]
    if not keys:
        active = {(own, event.label) for event in events}
        best = {(own, label.id): float(highest[index]) for index, label in enumerate(pack.labels) if not label.hidden}
        keys = choose(best, active, most=MOST_LANES)
    lanes = []
    for _, ident in keys:
        label = pack.labels[at[ident]]
        bars = [EventBar(one.onset_frame, one.offset_frame, one.peak) for one in events if one.label == ident]
        enter = label.enter or pack.manifest.segmentation.enter
        lanes.append(Lane(label.name, own, enter, scores.values[:, at[ident]].astype(np.float32), tuple(bars)))
    return tuple(lanes)


def _warn(problem: str) -> None:
    click.echo(f"streamclf: warning: {plain(problem)}", err=True)
