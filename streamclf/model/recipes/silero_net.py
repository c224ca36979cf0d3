"""Silero VAD's net for 16 kHz as a short chain of matrix products, out of the graph that its authors publish.

A run of the published graph is 512 new samples: four frames of a Fourier transform, four convolutions over these frames
and a recurrent cell. ONNX Runtime takes each convolution apart into columns, stream by stream; on so few frames that
costs more than the products themselves. Here frames are gathered, and each convolution is one product for the whole
batch: half the time for one stream, a quarter for each of 64 (`python tools/bench/peers.py --only graph`), and the same
values to 1e-6.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array, NetGraph

SAMPLES = 576
"""What a run takes: 512 new samples behind 64 that the net has seen before."""
HIDDEN = 128
STATE = 2 * HIDDEN
"""Numbers of a stream's state: the cell's output, and the cell."""

_REFLECTED = 64  # samples that follow the last ones, mirrored
_FRAME, _STEP, _FRAMES, _BINS = 256, 128, 4, 129
_SHAPES = {
    "stft.forward_basis_buffer": (2 * _BINS, 1, _FRAME),
    **{
        f"encoder.{layer}.reparam_conv.{what}": shape if what == "weight" else shape[:1]
        for layer, shape in enumerate([(128, _BINS, 3), (64, 128, 3), (64, 64, 3), (128, 64, 3)])
        for what in ("weight", "bias")
    },
    "decoder.rnn.weight_ih": (4 * HIDDEN, HIDDEN),
    "decoder.rnn.weight_hh": (4 * HIDDEN, HIDDEN),
    "decoder.rnn.bias_ih": (4 * HIDDEN,),
    "decoder.rnn.bias_hh": (4 * HIDDEN,),
    "decoder.decoder.2.weight": (1, HIDDEN, 1),
    "decoder.decoder.2.bias": (1,),
}


def graph(published: bytes, *, release: str) -> bytes:
    """The pack's graph: `input` (batch, 576) and `state` (batch, 256) to `output` (batch, 1) and `new_state`.

    The state holds the cell's output and the cell, 128 numbers each. Raises `PackError` where `published` is not the
    net of 16 kHz that is known here; release: what to get then.
    """
    weights = _weights(published, release)
    new = NetGraph()
    spectra = _spectra(new, weights["stft.forward_basis_buffer"])
    convolved = _encoder(new, spectra, weights)
    _decoder(new, convolved, weights)
    return new.serialise(
        "silero_vad",
        inputs={"input": ("batch", SAMPLES), "state": ("batch", STATE)},
        outputs={"output": ("batch", 1), "new_state": ("batch", STATE)},
        opset=13,
    )


def _weights(published: bytes, release: str) -> dict[str, Array]:
    model = onnx.ModelProto.FromString(published)
    kept = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {}
    for name, shape in _SHAPES.items():
        tensor = kept.get(f"model.{name}")
        if tensor is None or tuple(tensor.dims) != shape:
            found = "missing" if tensor is None else f"of shape {tuple(tensor.dims)}"
            raise PackError(f"in the model its weight {name} is {found}, expected one of shape {shape}; get {release}")
        weights[name] = numpy_helper.to_array(tensor)
    return weights


def _spectra(new: NetGraph, basis: Array) -> str:
    """Magnitudes of four frames, with a frame of zeros on each side: (batch, 6, 129)."""
    last = SAMPLES - 2  # the sample that a mirror at the last one shows first
    mirrored = new.add(
        "Slice", "input",
        *(new.weight(f"mirror.{what}", np.array([value], np.int64))
          for what, value in (("start", last), ("end", last - _REFLECTED), ("axis", 1), ("step", -1))),
    )  # fmt: skip
    sound = new.add("Concat", "input", mirrored, axis=1)
    steps = new.add("Reshape", sound, _shape(new, "steps", -1, _FRAMES + 1, _STEP))
    halves = np.arange(_FRAMES)[:, None] + np.arange(_FRAME // _STEP)
    frames = new.add("Gather", steps, new.weight("halves", halves), axis=1)
    frames = new.add("Reshape", frames, _shape(new, "frames", -1, _FRAMES, _FRAME))
    parts = new.add("MatMul", frames, new.weight("basis", basis[:, 0].T))
    real, imaginary = new.split(new.add("Mul", parts, parts), np.array([_BINS, _BINS]), axis=2)
    magnitudes = new.add("Sqrt", new.add("Add", real, imaginary))
    return new.add("Pad", magnitudes, new.weight("sides", np.array([0, 1, 0, 0, 1, 0], np.int64)))


def _encoder(new: NetGraph, spectra: str, weights: dict[str, Array]) -> str:
    """Four convolutions over three frames each; the second and third leave every other frame: (batch, 128).

    Each is one product of all its windows. The third has its two frames in one window, the fourth one frame alone.
    """
    value = _convolved(new, "conv0", spectra, [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5)], weights)
    value = new.add("Reshape", value, _shape(new, "encoded0", -1, _FRAMES, HIDDEN))
    value = new.add("Pad", value, new.weight("side", np.array([0, 1, 0, 0, 0, 0], np.int64)))
    value = _convolved(new, "conv1", value, [(0, 1, 2), (2, 3, 4)], weights)
    kernel, bias = _kernel(weights, "conv2", taps=slice(1, 3))
    value = new.add("Reshape", value, _shape(new, "encoded1", -1, len(kernel)))
    value = _layer(new, "conv2", value, kernel, bias)
    return _layer(new, "conv3", value, *_kernel(weights, "conv3", taps=slice(1, 2)))


def _convolved(new: NetGraph, name: str, frames: str, windows: list[tuple[int, ...]], weights: dict[str, Array]) -> str:
    """Frames (batch, frames, in) by windows of three, behind one another: (batch x windows, out)."""
    kernel, bias = _kernel(weights, name, taps=slice(0, 3))
    value = new.add("Gather", frames, new.weight(f"{name}.windows", np.array(windows)), axis=1)
    return _layer(new, name, new.add("Reshape", value, _shape(new, name, -1, len(kernel))), kernel, bias)


def _kernel(weights: dict[str, Array], name: str, *, taps: slice) -> tuple[Array, Array]:
    """A convolution's matrix (taps x in, out), of those taps that fall on frames, and its bias."""
    layer = f"encoder.{name[-1]}.reparam_conv"
    kernel = weights[f"{layer}.weight"][:, :, taps]  # (out, in, taps)
    return kernel.transpose(2, 1, 0).reshape(-1, len(kernel)), weights[f"{layer}.bias"]


def _decoder(new: NetGraph, encoded: str, weights: dict[str, Array]) -> None:
    """A long short-term memory cell (Hochreiter and Schmidhuber, 1997), and its output as one probability."""
    hidden, cell = new.split("state", np.array([HIDDEN, HIDDEN]), axis=1)
    # gates stand as input, forget, candidate, output; the three that a sigmoid makes come together here
    order = np.r_[0 : 2 * HIDDEN, 3 * HIDDEN : 4 * HIDDEN, 2 * HIDDEN : 3 * HIDDEN]
    both = np.concatenate([weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]], axis=1)
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    joined = new.add("Concat", encoded, hidden, axis=1)
    linear = new.add("Gemm", joined, new.weight("cell", both[order].T), new.weight("cell.bias", bias[order]))
    opening, candidate = new.split(linear, np.array([3 * HIDDEN, HIDDEN]), axis=1)
    gates = new.add("Sigmoid", opening)
    taken, kept, shown = new.split(gates, np.full(3, HIDDEN), axis=1)
    new_cell = new.add("Add", new.add("Mul", kept, cell), new.add("Mul", taken, new.add("Tanh", candidate)))
    new_hidden = new.add("Mul", shown, new.add("Tanh", new_cell))
    new.add("Concat", new_hidden, new_cell, axis=1, name="new_state")
    head, bias = weights["decoder.decoder.2.weight"], weights["decoder.decoder.2.bias"]
    logit = new.add(
        "Gemm", new.add("Relu", new_hidden), new.weight("head", head[:, :, 0].T), new.weight("head.bias", bias)
    )
    new.add("Sigmoid", logit, name="output")


def _layer(new: NetGraph, name: str, value: str, matrix: Array, bias: Array) -> str:
    return new.add("Relu", new.add("Gemm", value, new.weight(name, matrix), new.weight(f"{name}.bias", bias)))


def _shape(new: NetGraph, name: str, *dims: int) -> str:
    return new.weight(f"shape.{name}", np.array(dims, np.int64))
