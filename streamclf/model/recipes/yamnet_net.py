"""YAMNet as numbers, and the graph that is made of them, whichever release they come from."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array, NetGraph

CONVOLUTIONS = 27
FRAMES, BANDS, EMBEDDING, CLASSES = 96, 64, 1024, 521


@dataclass(frozen=True, slots=True)
class Kernel:
    """int8 values, and the float32 scales that make them weights: one, or one for each output channel."""

    values: Array
    scale: Array


@dataclass(frozen=True, slots=True)
class Convolution:
    """kernel: (out, in, height, width). pads: before and behind each of the two axes, as ONNX wants them."""

    kernel: Kernel
    bias: Array
    stride: int
    groups: int

    @property
    def pads(self) -> list[int]:
        """TensorFlow's SAME: for an even number of cells a stride of 2 needs one cell, behind them."""
        if self.kernel.values.shape[-1] == 1:
            return [0, 0, 0, 0]
        return [0, 0, 1, 1] if self.stride == 2 else [1, 1, 1, 1]


@dataclass(frozen=True, slots=True)
class Net:
    """classifier: (classes, embedding). ceiling: what an activation is cut at, None where only at zero."""

    convolutions: tuple[Convolution, ...]
    classifier: Kernel
    classifier_bias: Array
    ceiling: float | None


def graph(net: Net, *, release: str) -> bytes:
    """The pack's graph: `log_mel` (batch, 96, 64) to `scores` (batch, 521) and their `embedding` (batch, 1024).

    Weights stay int8 behind Cast and Mul, which fold to float when the graph is loaded: a quarter of the size on
    disk, and the speed of float. (Behind DequantizeLinear they would not fold.) Raises `PackError` where `net` is not
    YAMNet; release: what to get then.
    """
    shape = len(net.convolutions), *net.classifier.values.shape
    if shape != (CONVOLUTIONS, CLASSES, EMBEDDING):
        raise PackError(
            f"the model has {shape[0]} convolutions and a classifier of {shape[1:]}, expected {CONVOLUTIONS} and "
            f"({CLASSES}, {EMBEDDING}) as in YAMNet; get {release}"
        )
    new = NetGraph()
    value = new.add("Unsqueeze", "log_mel", new.weight("axis1", np.array([1], np.int64)))
    edges = [new.weight("zero", np.float32(0))]
    if net.ceiling is not None:
        edges.append(new.weight("ceiling", np.float32(net.ceiling)))
    for number, one in enumerate(net.convolutions, start=1):
        kernel = _kernel(new, f"conv{number}", one.kernel)
        bias = new.weight(f"conv{number}.bias", one.bias)
        size = list(one.kernel.values.shape[2:])
        value = new.add(
            "Conv", value, kernel, bias,
            group=one.groups, kernel_shape=size, pads=one.pads, strides=[one.stride, one.stride],
        )  # fmt: skip
        value = new.add("Clip", value, *edges)
    new.add("ReduceMean", value, name="embedding", axes=[2, 3], keepdims=0)
    bias = new.weight("classifier.bias", net.classifier_bias)
    logits = new.add("Gemm", "embedding", _kernel(new, "classifier", net.classifier), bias, transB=1)
    new.add("Sigmoid", logits, name="scores")
    return new.serialise(
        "yamnet",
        inputs={"log_mel": ("batch", FRAMES, BANDS)},
        outputs={"scores": ("batch", CLASSES), "embedding": ("batch", EMBEDDING)},
        opset=13,
    )


def _kernel(new: NetGraph, name: str, kernel: Kernel) -> str:
    dims = kernel.values.ndim
    scale = kernel.scale.reshape((-1,) + (1,) * (dims - 1)) if kernel.scale.ndim else kernel.scale
    as_float = new.add("Cast", new.weight(f"{name}.int8", kernel.values), to=TensorProto.FLOAT)
    return new.add("Mul", as_float, new.weight(f"{name}.scale", scale.astype(np.float32)))
