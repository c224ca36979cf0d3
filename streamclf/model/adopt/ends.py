"""The ends of a graph made to fit: a channel of its own for the waveform, scores with an axis too many or turned.

Operators are put before the graph's input or behind its output; what lies between stays as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

_SOUND, _SCORES = "streamclf_sound", "streamclf_scores"
_FULL_SCALE = 32767.0


class Ends:
    """A model, its input and its output, changed in place. changes: what was done, a few words each."""

    def __init__(self, model: ModelProto, source: str, output: str) -> None:
        self.model = model
        self.source = source
        self.output = output
        self.changes: list[str] = []
        self._made = 0

    def shape_input(self, shape: Sequence[int], sizes: Sequence[int | str]) -> None:
        """The graph gets the new input, of `sizes`, reshaped; 0 keeps an axis, -1 takes what is left."""
        self._before("Reshape", sizes, self._constant(np.array(shape, np.int64)))

    def turn_input(self, order: Sequence[int], sizes: Sequence[int | str]) -> None:
        """The graph gets the axes of the new input, of `sizes`, in this order."""
        self._before("Transpose", sizes, perm=list(order))

    def cast_input(self, kind: int, sizes: Sequence[int | str]) -> None:
        """The graph takes values of another type; whole ones are those of int16."""
        if kind == TensorProto.INT16:
            self._before("Cast", sizes, to=kind)
            self._before("Mul", sizes, self._constant(np.array(_FULL_SCALE, np.float32)))
        else:
            self._before("Cast", sizes, to=kind)

    def fill_input(self, name: str, kind: int, value: float, sizes: Sequence[int | None]) -> None:
        """The input `name` is `value` everywhere. sizes: its own; None for that of the batch, axis 0 of the source."""
        graph = self.model.graph
        graph.input.remove(next(one for one in graph.input if one.name == name))
        whole = self._constant(np.full((), value, helper.tensor_dtype_to_np_dtype(kind)))
        nodes = []
        parts = []
        for size in sizes:
            if size is None:
                shape, part = self._name("streamclf_shape"), self._name("streamclf_batch")
                nodes += [
                    helper.make_node("Shape", [self.source], [shape]),
                    helper.make_node("Gather", [shape, self._constant(np.array([0], np.int64))], [part], axis=0),
                ]
                parts.append(part)
            else:
                parts.append(self._constant(np.array([size], np.int64)))
        if parts:
            axes = self._name("streamclf_axes")
            nodes += [
                helper.make_node("Concat", parts, [axes], axis=0),
                helper.make_node("Expand", [whole, axes], [name]),
            ]
        else:
            nodes.append(helper.make_node("Identity", [whole], [name]))
        for node in reversed(nodes):
            graph.node.insert(0, node)
        self.changes.append(f"{name} filled with {value:g}")

    def cast_output(self, sizes: Sequence[int | str]) -> None:
        """Scores become float32."""
        self._behind("Cast", sizes, to=TensorProto.FLOAT)

    def turn_output(self, order: Sequence[int], sizes: Sequence[int | str]) -> None:
        """Scores with their axes in this order."""
        self._behind("Transpose", sizes, perm=list(order))

    def shape_output(self, shape: Sequence[int], sizes: Sequence[int | str]) -> None:
        """Scores reshaped; 0 keeps an axis, -1 takes what is left."""
        self._behind("Reshape", sizes, self._constant(np.array(shape, np.int64)))

    def pick_rows(self, rows: Sequence[int], sizes: Sequence[int | str]) -> None:
        """Of axis 1 of the scores these rows."""
        self._behind("Gather", sizes, self._constant(np.array(rows, np.int64)), axis=1)

    def average_rows(self, rows: int, times: int, classes: int, sizes: Sequence[int | str]) -> None:
        """`rows` rows, each the mean of `times` of axis 1 of the scores."""
        self.pick_rows(range(rows * times), [sizes[0], rows * times, classes])
        self.shape_output([0, rows, times, classes], [sizes[0], rows, times, classes])
        self._behind("ReduceMean", sizes, *self._reduced(2), keepdims=0, **self._reduced_before(2))

    def _before(self, kind: str, sizes: Sequence[int | str], *inputs: str, **attributes: Any) -> None:
        graph, old = self.model.graph, self.source
        value = next(one for one in graph.input if one.name == old)
        new = self._name(_SOUND)
        graph.node.insert(0, helper.make_node(kind, [new, *inputs], [old], **attributes))
        at = list(graph.input).index(value)
        graph.input.remove(value)
        graph.input.insert(at, helper.make_tensor_value_info(new, TensorProto.FLOAT, list(sizes)))
        self.source = new
        self.changes.append(f"{kind} before its input")

    def _behind(self, kind: str, sizes: Sequence[int | str], *inputs: str, **attributes: Any) -> None:
        graph, old = self.model.graph, self.output
        value = next(one for one in graph.output if one.name == old)
        new = self._name(_SCORES)
        graph.node.append(helper.make_node(kind, [old, *inputs], [new], **attributes))
        at = list(graph.output).index(value)
        element = TensorProto.FLOAT if kind == "Cast" else value.type.tensor_type.elem_type
        graph.output.remove(value)
        graph.output.insert(at, helper.make_tensor_value_info(new, element, list(sizes)))
        self.output = new
        self.changes.append(f"{kind} behind its output")

    def _reduced(self, axis: int) -> list[str]:
        """Axes are an input of ReduceMean since opset 18, and an attribute before."""
        return [self._constant(np.array([axis], np.int64))] if self._opset >= 18 else []

    def _reduced_before(self, axis: int) -> dict[str, Any]:
        return {} if self._opset >= 18 else {"axes": [axis]}

    @property
    def _opset(self) -> int:
        return max((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), default=0)

    def _constant(self, value: npt.NDArray[Any]) -> str:
        name = self._name("streamclf_constant")
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _name(self, stem: str) -> str:
        self._made += 1
        return f"{stem}_{self._made}"
