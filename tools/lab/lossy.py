"""A day of sound over a bad network, simulated: are gaps exact to the sample?

    python -m tools.lab.lossy --hours 24 --loss 0.2 --reorder 4

Packets of 20 ms are lost at random, and in bursts now and then, are doubled, and overtake each other by up to
`--reorder` places; their time stamps wrap around 32 bits. All go through what the sources `udp:` and `push:` do with
them, into a ring, without a socket, by a clock of its own. What the ring says of every sample is compared with what was
sent: the exit code is 1 where a gap is off by one sample, or a sample is not the one that belongs there.
"""

import sys
import time

import click
import numpy as np

from streamclf.audio.ring import Hole, Ring
from streamclf.audio.rtp import Arrived, Packet, Reorder
from streamclf.audio.sources import base
from streamclf.audio.sources.push import PushSource
from streamclf.audio.sources.spec import parse_source
from streamclf.audio.wake import Wake
from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.types import F32

RATE = 16_000
SIZE = 320
CHUNK = 5000  # packets that are drawn at once
FIRST = 2**32 - 1_000_003  # where time stamps begin, so that they wrap


@click.command()
@click.option("--hours", default=24.0, show_default=True)
@click.option("--loss", default=0.01, show_default=True, help="Share of packets that never come.")
@click.option("--reorder", default=4, show_default=True, help="Places by which packets overtake each other.")
@click.option("--kind", type=click.Choice(["udp", "push"]), default="udp", show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(hours: float, loss: float, reorder: int, kind: str, seed: int) -> None:
    """See the module's text."""
    began_s = time.monotonic()
    count = round(hours * 3600 * RATE / SIZE)
    check = Checked(kind, reorder)
    rng = np.random.default_rng(seed)
    for first in range(0, count, CHUNK):
        numbers = np.arange(first, min(count, first + CHUNK))
        kept = rng.uniform(size=len(numbers)) >= loss
        if rng.uniform() < loss * 10:  # a burst
            at = rng.integers(0, len(numbers))
            kept[at : at + rng.integers(1, 200)] = False
        kept[[0, -1]] = True  # so that no gap reaches over what is drawn at once
        late = rng.uniform(0, reorder, len(numbers)) if kind == "udp" and reorder else np.zeros(len(numbers))
        late[[0, -1]] = 0, reorder
        order = numbers[np.argsort(np.arange(len(numbers)) + late, kind="stable")]
        check.send(order[kept[order - first]].tolist(), doubled=rng.uniform(size=len(numbers)) < loss / 10)
        check.expect(numbers, kept)
    lost, gaps = check.lost, check.gaps
    said = f"{kind}: {count} packets, {gaps} gaps, {lost} samples lost"
    if check.faults:
        click.echo(f"{said}; WRONG: {'; '.join(check.faults[:5])}")
        sys.exit(1)
    click.echo(f"{said}: every gap and every sample is exact ({hours:g} h in {time.monotonic() - began_s:.0f} s)")


class Checked:
    """What receives, and what it ought to have received."""

    def __init__(self, kind: str, reorder: int) -> None:
        self.lost = self.gaps = 0
        self.faults: list[str] = []
        self._ring = Ring(2 * CHUNK * SIZE)
        self._now_ns = 1
        self._push: PushSource | None = None
        self._order = Reorder(hold=(reorder + 2) * SIZE, far=RATE * 24 * 3600)
        if kind == "push":
            self._push = PushSource(parse_source(f"push:far,{RATE}"))
            self._push.start(self._ring, StreamClock(RATE), Wake(), lambda state, detail: None)
            self._push.connect()
            base.steady_ns = lambda: self._now_ns  # it tells silence by the clock, and a day passes in minutes here

    def send(self, numbers: list[int], *, doubled: np.ndarray) -> None:
        """These packets, in the order in which they come."""
        for place, number in enumerate(numbers):
            for _ in range(2 if doubled[place] else 1):
                self._take(number)
        if self._push is None:
            self._write_all(self._order.give_up())
        else:  # what is held, since the sender was silent before it, is settled by a new connection
            self._push.disconnect(left=False)
            self._push.connect(again=True)

    def expect(self, numbers: np.ndarray, kept: np.ndarray) -> None:
        """Compare what the ring says of these packets."""
        first, end = int(numbers[0]) * SIZE, (int(numbers[-1]) + 1) * SIZE
        if self._ring.written != end:
            self.faults.append(f"{self._ring.written} samples are there behind packet {numbers[-1]}, expected {end}")
            return
        wanted = np.where(np.repeat(kept, SIZE), _sound(first, end - first), 0)
        wrong = np.flatnonzero(wanted != self._ring.view(first, end))
        if len(wrong):
            self.faults.append(f"sample {first + wrong[0]} is not what was sent")
        edges = np.flatnonzero(np.diff(np.concatenate([[1], kept.astype(int), [1]])))
        gaps = [(first + int(a) * SIZE, first + int(b) * SIZE) for a, b in edges.reshape(-1, 2)]
        told = _merged([hole for hole in self._ring.holes if first <= hole.first < end])
        # the ring keeps the newest holes only
        if told and told != gaps[-len(told) :]:
            self.faults.append(f"gaps {told[:3]} … where {gaps[-len(told) :][:3]} … were")
        self.gaps += len(gaps)
        self.lost += sum(b - a for a, b in gaps)
        if self._ring.lost != self.lost:
            self.faults.append(f"{self._ring.lost} samples are told as lost, {self.lost} were")

    def _take(self, number: int) -> None:
        sound = _sound(number * SIZE, SIZE)
        self._now_ns = (number + 1) * SIZE * NS_PER_SECOND // RATE
        if self._push is not None:
            self._push.feed(number * SIZE, sound)
            return
        self._write_all(self._order.push(Packet((FIRST + number * SIZE) % 2**32, 1, sound[:, np.newaxis])))

    def _write_all(self, pieces: list[Arrived]) -> None:
        for piece in pieces:
            self._ring.skip(piece.lost, "lost")
            self._ring.write(piece.samples[:, 0])


def _sound(first: int, count: int) -> F32:
    """Samples that say where they belong, and are never 0."""
    sound: F32 = (np.arange(first, first + count) % 9973 + 1).astype(np.float32)
    return sound


def _merged(holes: list[Hole]) -> list[tuple[int, int]]:
    """Gaps that follow on each other as one."""
    out: list[tuple[int, int]] = []
    for hole in holes:
        if out and out[-1][1] == hole.first:
            out[-1] = out[-1][0], hole.end
        else:
            out.append((hole.first, hole.end))
    return out


if __name__ == "__main__":
    main()
