"""YAMNet as numbers, and the graph that is made of them, whichever release they come from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from streamclf.errors import PackError

Array = npt.NDArray[Any]

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
    new = _NetGraph()
    value = new.add("Unsqueeze", "log_mel", new.weight("axis1", np.array([1], np.int64)))
    edges = [new.weight("zero", np.float32(0))]
    if net.ceiling is not None:
        edges.append(new.weight("ceiling", np.float32(net.ceiling)))
    for number, one in enumerate(net.convolutions, start=1):
        kernel = new.kernel(f"conv{number}", one.kernel)
        bias = new.weight(f"conv{number}.bias", one.bias)
        size = list(one.kernel.values.shape[2:])
        value = new.add(
            "Conv", value, kernel, bias,
            group=one.groups, kernel_shape=size, pads=one.pads, strides=[one.stride, one.stride],
        )  # fmt: skip
        value = new.add("Clip", value, *edges)
    new.add("ReduceMean", value, name="embedding", axes=[2, 3], keepdims=0)
    bias = new.weight("classifier.bias", net.classifier_bias)
    logits = new.add("Gemm", "embedding", new.kernel("classifier", net.classifier), bias, transB=1)
    new.add("Sigmoid", logits, name="scores")
    return new.serialise()


class _NetGraph:
    """The graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def weight(self, name: str, value: Array | np.generic) -> str:
        self._weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def kernel(self, name: str, kernel: Kernel) -> str:
        dims = kernel.values.ndim
        scale = kernel.scale.reshape((-1,) + (1,) * (dims - 1)) if kernel.scale.ndim else kernel.scale
        as_float = self.add("Cast", self.weight(f"{name}.int8", kernel.values), to=TensorProto.FLOAT)
        return self.add("Mul", as_float, self.weight(f"{name}.scale", scale.astype(np.float32)))

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def serialise(self) -> bytes:
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *dims])
            for name, dims in (("log_mel", [FRAMES, BANDS]), ("scores", [CLASSES]), ("embedding", [EMBEDDING]))
        ]
        made = helper.make_graph(self._nodes, "yamnet", ends[:1], ends[1:], self._weights)
        opset = helper.make_opsetid("", 13)
        model = helper.make_model(made, opset_imports=[opset], ir_version=8, producer_name="streamclf")
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
