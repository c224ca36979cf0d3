"""BirdNET's graphs as ONNX: the net of species, and the model of place and week.

The net begins with two spectrograms: frames times a window, the real part of their discrete Fourier transform, a bank
of bands, squared, to a power. That power is steep at zero, so that what is rounded before it counts: the transform is
computed in float64 and rounded to float32, as the original does. A cosine is even, so samples n and N - n of a frame
are added first; at N / 2 - n it is the same for even bins and the opposite for odd ones, so these are added, or taken
away. Each of both halves the product; and only bins that some band takes are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array
from streamclf.model.recipes.tflite_walk import OPEN, Walk

WINDOW, CLASSES, EMBEDDING = 144_000, 6522, 1024


@dataclass(frozen=True, slots=True)
class Spectrum:
    """window: (frame, ). bands: (bands, bins). hop: samples. power: of the squared band. value: what it gives.

    first, last: operators that make it.
    """

    window: Array
    bands: Array
    hop: int
    power: Array
    first: int
    last: int
    value: int

    @property
    def frames(self) -> int:
        """How many the net's window holds."""
        return (WINDOW - len(self.window)) // self.hop + 1

    def put(self, walk: Walk, sound: str, number: int) -> None:
        """Its nodes. sound: (batch, samples). Its value becomes (batch, 1, bands, frames), the highest band first."""

        def called(name: str) -> str:
            return f"{name}{number}"

        size, half, quarter = len(self.window), len(self.window) // 2, len(self.window) // 4
        at = np.arange(quarter + 1)
        # of each side where it begins in a frame, which samples it weighs, and which of them another side has
        sides = {
            "first": (0, False, at, at < 0),
            "last": (size, True, (size - at) % size, at == 0),
            "before": (half, True, half - at, at == quarter),
            "behind": (half, False, half + at, (at == 0) | (at == quarter)),
        }
        doubles = {}
        for side, (begin, mirrored, which, had) in sides.items():
            taken = self._side(walk, sound, called(side), begin=begin, mirrored=mirrored)
            window = walk.weight(called(f"{side}.window"), np.where(had, np.float32(0), self.window[which]))
            seen = walk.node(called(f"{side}.seen"), "Mul", taken, window)
            doubles[side] = walk.node(called(f"{side}.double"), "Cast", seen, to=TensorProto.DOUBLE)
        outer = walk.node(called("outer"), "Add", doubles["first"], doubles["last"])
        inner = walk.node(called("inner"), "Add", doubles["before"], doubles["behind"])
        used = np.flatnonzero(self.bands.any(axis=0))
        order, parts = [], []
        for odd, how in enumerate(("Add", "Sub")):
            own = used[used % 2 == odd]
            order += own.tolist()
            folded = walk.node(called(f"folded{odd}."), how, outer, inner)
            cosines = walk.weight(called(f"cosines{odd}."), np.cos(2 * np.pi * (np.outer(at, own) % size) / size))
            parts.append(walk.node(called(f"bins{odd}."), "MatMul", folded, cosines))
        doubled = walk.node(called("bins.double"), "Concat", *parts, axis=2)
        bins = walk.node(called("bins"), "Cast", doubled, to=TensorProto.FLOAT)
        # the bands are turned round here: the picture begins with the highest
        bank = walk.weight(called("bank"), self.bands[::-1, order].T)
        bands = walk.node(called("bands"), "MatMul", bins, bank)
        squared = walk.node(called("squared"), "Mul", bands, bands)
        power = walk.node(called("power"), "Pow", squared, walk.weight(called("exponent"), self.power))
        turned = walk.node(called("turned"), "Transpose", power, perm=[0, 2, 1])
        axis = walk.weight("axis1", np.array([1], np.int64))
        walk.put(self.value, [OPEN, len(self.bands), self.frames, 1], "Unsqueeze", turned, axis)

    def _side(self, walk: Walk, sound: str, name: str, *, begin: int, mirrored: bool) -> str:
        """(batch, frames, a quarter of a frame and one): of each frame the samples from `begin` on, or mirrored those
        from there back. In blocks of a hop, which are copied whole: to gather samples takes as long as the rest of the
        net.
        """

        def cut(what: str, source: str, axis: int, first: int, end: int, step: int = 1) -> str:
            numbers = {"from": first, "to": end, "axis": axis, "step": step}
            bounds = [walk.weight(f"{what}.{key}", np.array([value], np.int64)) for key, value in numbers.items()]
            return walk.node(what, "Slice", source, *bounds)

        count, frames, hop = len(self.window) // 4 + 1, self.frames, self.hop
        each = -(-count // hop)
        length = (frames + each - 1) * hop
        behind = (frames - 1) * hop + begin
        bounds = (behind, behind - length, -1) if mirrored else (begin, begin + length, 1)
        line = cut(f"{name}.line", sound, 1, *bounds)
        shape = walk.weight(f"{name}.shape", np.array([0, frames + each - 1, hop], np.int64))
        blocks = walk.node(f"{name}.blocks", "Reshape", line, shape)
        parts = [cut(f"{name}.part{at}", blocks, 1, at, at + frames) for at in range(each)]
        whole = cut(f"{name}.cut", walk.node(f"{name}.whole", "Concat", *parts, axis=2), 2, 0, count)
        if not mirrored:
            return whole
        # a line that is mirrored begins with the last frame
        return walk.node(name, "Gather", whole, walk.weight(f"{name}.order", np.arange(frames)[::-1].copy()), axis=1)


def species_graph(content: bytes) -> bytes:
    """The net: `samples` (batch, 144000) to `scores` (batch, 6522), logits, and `embedding` (batch, 1024).

    Raises `PackError` where it is another graph.
    """
    walk = Walk(content)
    kinds = [kind for kind, _ in walk.operators]
    begin = kinds.index("SHAPE")
    spectra = _spectra(walk, kinds)
    scaled = int(walk.operators[begin][1].InputsAsNumpy()[0])
    _scale(walk, scaled)
    for number, one in enumerate(spectra, start=1):
        one.put(walk, walk.name(scaled), number)
    walk.run(skip=frozenset(range(spectra[-1].last + 1)))
    (out,) = walk.outputs
    embedding = int(walk.operators[-1][1].InputsAsNumpy()[0])
    return walk.graph("birdnet", "samples", {"scores": out, "embedding": embedding})


def range_graph(content: bytes, species: Sequence[bool]) -> bytes:
    """The model of place and week: `place` (batch, 3), latitude, longitude (degrees) and week, 1 to 48, to `likely`
    (batch, 6522), how likely each label is there and then, in [0, 1].

    species: of each label whether it is one; the others are 1 everywhere. Weights stay float16, as they are stored.
    """
    walk = Walk(content, half=True)
    walk.run()
    (out,) = walk.outputs
    least = walk.weight("least", np.array([[0.0 if one else 1.0 for one in species]], np.float32))
    likely = walk.node("likely.all", "Max", walk.name(out), least)
    return walk.graph("birdnet_range", "place", {"likely": out}, by={"likely": likely})


def _scale(walk: Walk, scaled: int) -> None:
    """The operators before the spectrograms: from the window's least to its largest sample becomes -1 to 1."""
    first = walk.inputs[0]
    least = walk.node("least", "ReduceMin", walk.name(first), axes=[1], keepdims=1)
    over = walk.node("over", "Sub", walk.name(first), least)
    most = walk.node("most", "ReduceMax", over, axes=[1], keepdims=1)
    span = walk.node("span", "Add", most, walk.weight("tiny", np.float32(1e-6)))
    unit = walk.node("unit", "Div", over, span)
    middle = walk.node("middle", "Sub", unit, walk.weight("half", np.float32(0.5)))
    walk.put(scaled, [OPEN, WINDOW], "Mul", middle, walk.weight("two", np.float32(2)))


def _spectra(walk: Walk, kinds: list[str]) -> list[Spectrum]:
    """Both spectrograms, by what stands around their transforms."""
    found = []
    first = kinds.index("SHAPE")
    for at in (index for index, kind in enumerate(kinds) if kind == "RFFT2D"):
        before = max(i for i in range(at) if kinds[i] == "MUL")
        starts = max(i for i in range(at) if kinds[i] == "RANGE") + 1
        cut = max(i for i in range(starts) if kinds[i] == "STRIDED_SLICE") + 1
        bank, power, last = (kinds.index(kind, at) for kind in ("FULLY_CONNECTED", "POW", "EXPAND_DIMS"))
        parts = [_operand(walk, index) for index in (before, starts, bank, power)]
        window, step, bands, exponent = parts
        # frames are gathered out of blocks of samples: the hop is so many blocks
        block = walk.stated(int(walk.operators[cut][1].OutputsAsNumpy()[0]))[-1]
        value = int(walk.operators[last][1].OutputsAsNumpy()[0])
        found.append(Spectrum(window, bands, int(step) * block, exponent, first, last, value))
    if [(len(one.window), one.hop) for one in found] != [(2048, 278), (1024, 280)]:
        raise PackError("the graph has other spectrograms than BirdNET 2.4's; get the pinned wheel")
    return found


def _operand(walk: Walk, index: int) -> Array:
    """The stored operand of an operator."""
    value = walk.constant(int(walk.operators[index][1].InputsAsNumpy()[1]))
    if value is None:
        raise PackError("a spectrogram of the graph is made otherwise than BirdNET 2.4's; get the pinned wheel")
    return value
