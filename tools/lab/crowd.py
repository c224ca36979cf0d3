"""Twenty streams of all kinds through one engine, and what comes out, to the byte.

    python -m tools.lab.crowd [--packs FOLDER ...] [--alone]

Prints a digest of the rows, events, gaps, levels and spectrum columns. Run it before a change and behind it: a change
that makes the engine faster must leave them as they are. `--alone`: each stream in an engine of its own, and no more
than one row in a run of a graph, as with `--ones`; these two print the same.

Three rates; blocks of 20 ms, of any size and of half a second; lost samples, pauses, a fixed and a normalised gain,
a constant offset, streams that end and that are drawn for a while only.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.engine.track import TrackOptions
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.types import F32, Event, FrameScores, Gap, Levels, Output, Picture, Provider, Sound

STREAMS = 20
TURNS = 400  # of 20 ms
DEFAULT_PACK = Path(__file__).resolve().parents[2] / "models" / "default"
_RATES = (16_000, 48_000, 22_050)
_GAINS = ("off", "off", "off", "off", "off", "normalise", "+6dB")


@dataclass(frozen=True, slots=True)
class Voice:
    """One stream of the crowd: `sound` comes in `blocks`, a number of samples for each turn."""

    name: str
    rate: int
    gain: str
    sound: F32
    blocks: tuple[int, ...]
    lost: dict[int, int]
    """Turn -> samples that are lost before its block."""
    paused: range
    drawn: range
    tapped: range
    ends: int


def crowd(streams: int = STREAMS, turns: int = TURNS) -> list[Voice]:
    """The same ones each time."""
    return [_member(number, turns) for number in range(streams)]


def _member(number: int, turns: int) -> Voice:
    random = np.random.default_rng(number)
    rate = _RATES[number % 3] if number % 4 else 16_000
    hop = rate // 50
    # of four streams two have blocks as microphones give them, one has any, and one a few long ones
    kind = number % 4
    if kind < 2:
        blocks = [hop] * turns
        for turn in random.integers(0, turns, 6):  # two at once now and then
            if turn + 1 < turns:
                blocks[turn + 1] += blocks[turn]
                blocks[turn] = 0
    elif kind == 2:
        blocks = [int(n) for n in random.integers(0, 2 * hop, turns)]
    else:
        blocks = [25 * hop if turn % 25 == 24 else 0 for turn in range(turns)]
    ends = turns - 1 if number % 5 else turns * 3 // 4
    lost = {int(turn): int(random.integers(1, 3 * hop)) for turn in random.integers(10, turns, number % 3)}
    drawn = range(turns) if number % 3 else range(turns // 5, turns // 2)
    paused = range(turns // 2, turns // 2 + 30) if number % 7 == 3 else range(0)
    tapped = range(turns // 3, turns // 2) if number % 6 == 1 else range(0)
    gain = _GAINS[number % len(_GAINS)]
    sound = _sound(random, rate, sum(blocks[: ends + 1]))
    if number % 8 == 6:
        sound += np.float32(0.05)
    return Voice(f"s{number}", rate, gain, sound, tuple(blocks), lost, paused, drawn, tapped, ends)


def _sound(random: np.random.Generator, rate: int, samples: int) -> F32:
    """Noise, sweeps and silence in turns, so that events begin and end."""
    at = np.arange(samples) / rate
    loud = (np.sin(2 * np.pi * at / random.uniform(1.0, 3.0)) > 0.2) * 0.3 + 0.002
    tone = np.sin(2 * np.pi * (random.uniform(200, 900) * at + random.uniform(20, 400) * at**2))
    sound = loud * (0.4 * random.standard_normal(samples) + tone * (np.sin(at * 3) > 0))
    sound[samples // 4 : samples // 4 + rate // 3] = 0.0
    return np.asarray(sound.clip(-1, 1), dtype=np.float32)


def engine_of(packs: Sequence[Path], *, max_batch: int = 64, hop: int = 1) -> Engine:
    """Of these packs, on the CPU."""
    runners = []
    for folder in packs:
        pack = load_pack(folder)
        runner = PackRunner(pack, open_session(pack, provider=Provider.CPU, max_batch=max_batch))
        runner.set_hop(hop)
        runners.append(runner)
    # thresholds that many labels reach, so that there is much to compare
    low = {"*": {"enter": 0.1, "leave": 0.06, "min_on": 3, "min_off": 4, "reach_back": 10}}
    return Engine(runners, options=TrackOptions(latency_ms=200), per_label=low)


def heard(engine: Engine, members: Sequence[Voice], *, turns: int = TURNS) -> dict[str, list[Output]]:
    """Of each voice all that the engine tells, in order."""
    told: dict[str, list[Output]] = {member.name: [] for member in members}

    def keep(outputs: Sequence[Output]) -> None:
        for output in outputs:
            told[output.levels.stream if isinstance(output, Picture) else output.stream].append(output)

    at = {}
    for member in members:
        engine.add(Stream(member.name, rate=member.rate, ring=Ring(4 * member.rate), gain=member.gain, levels=True))
        at[member.name] = 0
    for turn in range(turns):
        for member in members:
            if turn <= member.ends:
                keep(_turn(engine, member, turn, at))
        keep(engine.tick())
        for member in members:
            if turn == member.ends:
                keep(engine.finish(member.name))
    return told


def _turn(engine: Engine, member: Voice, turn: int, at: dict[str, int]) -> list[Output]:
    stream, told = engine.streams[member.name], []
    if turn in (member.drawn.start, member.drawn.stop):
        stream.draw(turn in member.drawn)
    if member.tapped and turn in (member.tapped.start, member.tapped.stop):
        stream.tap(turn in member.tapped)
    if member.paused and turn == member.paused.start:
        told += engine.pause(member.name)
    if member.paused and turn == member.paused.stop:
        told += engine.resume(member.name)
    stream.ring.skip(member.lost.get(turn, 0), "xrun")
    begin = at[member.name]
    at[member.name] = begin + member.blocks[turn]
    stream.ring.write(member.sound[begin : at[member.name]])
    return told


def canonical(told: Sequence[Output]) -> dict[str, list[Any]]:
    """What one stream told, as bytes and numbers. Of levels, columns and sound, how many came at once says nothing."""
    decided: list[Any] = []
    seen: dict[tuple[str, int], bytes] = {}
    for output in told:
        if isinstance(output, FrameScores):
            said = (output.pack, output.first_frame, output.final, output.newest_sample, output.rows.tobytes())
            decided.append(("rows", *said))
        elif isinstance(output, Event | Gap):
            decided.append((type(output).__name__, repr(output)))
        elif isinstance(output, Levels):
            _by_frame(seen, "levels", output.first_frame, np.stack([output.rms, output.peak], axis=1))
        elif isinstance(output, Picture):
            levels = output.levels
            _by_frame(seen, "drawn levels", levels.first_frame, np.stack([levels.rms, levels.peak], axis=1))
            _by_frame(seen, "columns", levels.first_frame, output.columns)
        elif isinstance(output, Sound):
            _by_frame(seen, "sound", output.first_frame, output.samples)
    return {"decided": decided, "seen": sorted(seen.items())}


def _by_frame(seen: dict[tuple[str, int], bytes], kind: str, first: int, values: np.ndarray) -> None:
    for frame, value in enumerate(values, first):
        assert (kind, frame) not in seen, f"{kind} of frame {frame} came twice"
        seen[kind, frame] = value.tobytes()


def digests(told: dict[str, list[Output]]) -> dict[str, str]:
    """Of each kind of output of all streams, and how many there are."""
    found: dict[str, Any] = {}
    for name in sorted(told):
        made = canonical(told[name])
        for entry in made["decided"]:
            found.setdefault(entry[0], []).append((name, entry))
        found.setdefault("order", []).append((name, [entry[0] for entry in made["decided"]]))
        for (kind, frame), value in made["seen"]:
            found.setdefault(kind, []).append((name, frame, value))
    return {
        kind: f"{len(some)} {hashlib.sha256(repr(some).encode()).hexdigest()[:16]}"
        for kind, some in sorted(found.items())
    }


def main() -> None:
    """Print the digests."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument(
        "--packs", type=Path, nargs="+", default=[DEFAULT_PACK], help="folders; default: the one shipped"
    )
    asked.add_argument("--hop", type=int, default=1, help="frames between two window runs")
    asked.add_argument("--ones", action="store_true", help="one row in a run of a graph, in one engine")
    asked.add_argument("--alone", action="store_true", help="the same with an engine for each stream")
    chosen = asked.parse_args()
    members = crowd()
    told: dict[str, list[Output]] = {}
    for some in [[member] for member in members] if chosen.alone else [members]:
        batch = 1 if chosen.ones or chosen.alone else 64
        told |= heard(engine_of(chosen.packs, max_batch=batch, hop=chosen.hop), some)
    print(json.dumps(digests(told), indent=1))


if __name__ == "__main__":
    main()
