"""An ONNX graph of float32 that a recipe puts together, node by node."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = npt.NDArray[Any]


class NetGraph:
    """The graph under construction. Names of values are strings, as in ONNX."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def weight(self, name: str, value: Array | np.generic) -> str:
        """Take a tensor in; returns its name."""
        self._weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one output, which is returned; it bears `name`, or one of its own."""
        output = name or f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def split(self, value: str, sizes: Array, axis: int) -> list[str]:
        """Parts of `value` of these sizes along an axis."""
        parts = [f"{value}.{number}" for number in range(len(sizes))]
        sizes_of = self.weight(f"{value}.sizes", sizes)
        self._nodes.append(helper.make_node("Split", [value, sizes_of], parts, axis=axis))
        return parts

    def serialise(
        self,
        name: str,
        *,
        inputs: dict[str, tuple[str | int, ...]],
        outputs: dict[str, tuple[str | int, ...]],
        opset: int,
    ) -> bytes:
        """The bytes of the model; they are the same at each call. inputs, outputs: name -> dimensions."""
        made = helper.make_graph(self._nodes, name, _ends(inputs), _ends(outputs), self._weights)
        model = helper.make_model(
            made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="streamclf"
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _ends(dims_of: dict[str, tuple[str | int, ...]]) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(end, TensorProto.FLOAT, dims) for end, dims in dims_of.items()]
