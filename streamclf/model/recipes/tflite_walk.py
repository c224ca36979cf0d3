"""A TensorFlow Lite graph as ONNX: one walk over its operators, each turned into nodes of the same meaning.

Values of four axes are (batch, height, width, channels) there and (batch, channels, height, width) here, all along the
graph, so that nothing is transposed. Shapes are carried through the walk with a batch of -1, which is what ONNX's
Reshape takes for an open axis; what is computed from shapes alone is computed in the walk and leaves no node. Numbers
stored as float16 become float32. What the walk does not know is an error, never a guess.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array

if TYPE_CHECKING:
    import tflite

OPEN = -1
"""The batch, in shapes."""
_CHANNELS_SECOND = (0, 2, 3, 1)
"""Where an axis of theirs lies in a value of four axes here."""
_SAME = 0
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 6: np.bool_}
_ARITHMETIC: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "ADD": ("Add", np.add),
    "SUB": ("Sub", np.subtract),
    "MUL": ("Mul", np.multiply),
    "DIV": ("Div", np.divide),
    "POW": ("Pow", np.power),
    "MAXIMUM": ("Max", np.maximum),
    "GREATER": ("Greater", np.greater),
    "LESS": ("Less", np.less),
}
_ALONE = {"LOGISTIC": "Sigmoid", "SIN": "Sin"}


class Walk:
    """The first subgraph of a .tflite file. half: what is float16 there stays so, and is made float32 where it runs."""

    def __init__(self, content: bytes, *, half: bool = False) -> None:
        import tflite

        self._lib: Any = tflite
        self._names = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)
        self._nodes: list[NodeProto] = []
        self._weights: dict[str, TensorProto] = {}
        self._shapes: dict[int, list[int]] = {}
        self._half = half
        self._known: dict[int, Array] = {}
        self.inputs: list[int] = list(self._graph.InputsAsNumpy())
        self.outputs: list[int] = list(self._graph.OutputsAsNumpy())
        for number in self.inputs:
            self._shapes[number] = [OPEN, *self.stated(number)[1:]]

    @property
    def operators(self) -> "list[tuple[str, tflite.Operator]]":
        """Name and operator, in the order of the graph."""
        found = [self._graph.Operators(i) for i in range(self._graph.OperatorsLength())]
        return [(self._names[self._model.OperatorCodes(one.OpcodeIndex()).BuiltinCode()], one) for one in found]

    def stated(self, number: int) -> list[int]:
        """The shape that the file states of a value, its batch as 1."""
        tensor = self._graph.Tensors(number)
        return [int(size) for size in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def constant(self, number: int) -> Array | None:
        """What is stored of a value, or was computed of shapes; None of one that comes with a run."""
        if number in self._known:
            return self._known[number]
        tensor = self._graph.Tensors(number)
        stored = self._model.Buffers(tensor.Buffer())
        if not stored.DataLength():
            # an empty list has no bytes, and is a constant all the same
            return np.zeros(0, np.int32) if self.stated(number) == [0] else None
        dtype = _TYPES.get(tensor.Type())
        if dtype is None:
            raise PackError("a stored number of the graph has a type that the walk does not know; get the pinned file")
        values: Array = np.frombuffer(stored.DataAsNumpy().tobytes(), dtype).reshape(self.stated(number))
        return values.astype(np.float32) if dtype is np.float16 else values

    def put(self, number: int, shape: Sequence[int], op: str, *inputs: str, **attributes: Any) -> None:
        """Give a value by a node of one's own. shape: as theirs, the batch open."""
        self._shapes[number] = list(shape)
        self._nodes.append(helper.make_node(op, list(inputs), [self.name(number)], **attributes))

    def node(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        """A node between two values of the walk; returns its output's name."""
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def weight(self, name: str, value: Array | np.generic) -> str:
        """Store a number; returns its name."""
        value = np.asarray(value, order="C")
        if self._half and value.dtype == np.float32 and value.size > 1:
            short = value.astype(np.float16)
            if f"{name}.half" in self._weights:
                return name
            if np.array_equal(short, value):
                self._weights[f"{name}.half"] = numpy_helper.from_array(short, f"{name}.half")
                return self.node(name, "Cast", f"{name}.half", to=TensorProto.FLOAT)
        self._weights[name] = numpy_helper.from_array(value, name)
        return name

    def name(self, number: int) -> str:
        """What a value is called here."""
        return f"v{number}"

    def run(self, skip: frozenset[int] = frozenset()) -> None:
        """Walk. skip: indexes of operators whose values nobody needs, or that `put` has given.

        Raises `PackError` for an operator that is not known.
        """
        for index, (kind, operator) in enumerate(self.operators):
            if index not in skip:
                self._one(kind, operator)

    def graph(self, name: str, source: str, ends: Mapping[str, int], *, by: Mapping[str, str] | None = None) -> bytes:
        """The ONNX file. source: what the input is to be called. ends: what outputs are to be called, and which.

        by: of an output the node of one's own that gives it in place of that value. Weights that no node takes are
        left out.
        """
        given = self.name(self.inputs[0])
        begin = helper.make_node("Identity", [source], [given])
        close = [helper.make_node("Identity", [(by or {}).get(end, self.name(number))], [end])
                 for end, number in ends.items()]  # fmt: skip
        nodes = [begin, *self._nodes, *close]
        used = {one for node in nodes for one in node.input}
        weights = [tensor for key, tensor in self._weights.items() if key in used]

        def value(called: str, number: int) -> Any:
            return helper.make_tensor_value_info(called, TensorProto.FLOAT, ["batch", *self._shapes[number][1:]])

        made = helper.make_graph(
            nodes,
            name,
            [value(source, self.inputs[0])],
            [value(end, number) for end, number in ends.items()],
            weights,
        )
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(made, opset_imports=[opset], ir_version=8, producer_name="streamclf")
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    # -- operators --

    def _one(self, kind: str, operator: "tflite.Operator") -> None:
        inputs = [int(number) for number in operator.InputsAsNumpy()]
        out = int(operator.OutputsAsNumpy()[0])
        if self._folded(kind, operator, inputs, out):
            return
        if kind in _ARITHMETIC:
            self._arithmetic(_ARITHMETIC[kind][0], operator, inputs, out)
        elif kind in _ALONE:
            self.put(out, self._shapes[inputs[0]], _ALONE[kind], self.name(inputs[0]))
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self._convolution(operator, inputs, out, depthwise=kind.startswith("DEPTH"))
        elif (rule := getattr(self, f"_{kind.lower()}", None)) is not None:
            rule(operator, inputs, out)
        else:
            raise PackError(f"the graph has the operator {kind}, which the walk does not know; get the pinned file")

    def _folded(self, kind: str, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> bool:
        """Whether it was computed here: what is made of constants and shapes alone."""
        if kind == "SHAPE":
            self._known[out] = np.array(self._shapes[inputs[0]], np.int64)
            return True
        values = [self.constant(number) for number in inputs]
        known = [value for value in values if value is not None]
        if len(known) != len(values):
            return False
        if kind == "DEQUANTIZE":
            self._known[out] = known[0]
        elif kind == "STRIDED_SLICE":
            value, begin, end, _ = known
            taken = value[int(begin[0]) : int(end[0])]
            self._known[out] = taken[0] if self.stated(out) == [] else taken
        elif kind == "PACK":
            self._known[out] = np.stack(known)
        elif kind in _ARITHMETIC:
            self._known[out] = np.asarray(_ARITHMETIC[kind][1](*known))
        else:
            raise PackError(f"the graph computes {kind} of stored numbers, which the walk does not know")
        return True

    def _value(self, number: int, *, axes: int) -> str:
        """The name of an operand; a stored one is laid out for a result of so many axes."""
        stored = self.constant(number)
        if stored is None:
            return self.name(number)
        if axes == 4 and stored.ndim:
            stored = stored.reshape((1,) * (4 - stored.ndim) + stored.shape).transpose(0, 3, 1, 2)
        return self.weight(f"{self.name(number)}.{axes}", stored)

    def _arithmetic(self, op: str, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        options = self._plain(operator)
        shapes = [self._shapes.get(number, self.stated(number)) for number in inputs]
        shape = [OPEN if OPEN in pair else max(pair) for pair in _aligned(*shapes)]
        self._active(options, out)(shape, op, *(self._value(number, axes=len(shape)) for number in inputs))

    def _plain(self, operator: "tflite.Operator", options: str = "") -> Any:
        """The options of an operator that must have no activation of its own."""
        table = operator.BuiltinOptions()
        if table is None:
            return None
        known = {type_: name for name, type_ in vars(self._lib.BuiltinOptions).items() if isinstance(type_, int)}
        read = getattr(self._lib, options or known[operator.BuiltinOptionsType()])()
        read.Init(table.Bytes, table.Pos)
        activation = getattr(read, "FusedActivationFunction", None)
        if activation is not None and activation() not in (0, 1):
            raise PackError("an operator of the graph has an activation that the walk does not know")
        return read

    def _active(self, options: Any, out: int) -> Callable[..., None]:
        """Like `put`, with the ReLU that an operator may hold."""

        def put(shape: Sequence[int], op: str, *inputs: str, **attributes: Any) -> None:
            if getattr(options, "FusedActivationFunction", int)() == 1:
                before = self.node(f"{self.name(out)}.before", op, *inputs, **attributes)
                self.put(out, shape, "Relu", before)
            else:
                self.put(out, shape, op, *inputs, **attributes)

        return put

    def _convolution(self, operator: "tflite.Operator", inputs: Sequence[int], out: int, *, depthwise: bool) -> None:
        options = self._plain(operator, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
        source, kernel, bias = inputs
        values = self._stored(kernel)
        # theirs is (out, height, width, in), and (1, height, width, out) of a depthwise one
        values = values.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        batch, high, wide, _ = self._shapes[source]
        size, strides = values.shape[2:], (options.StrideH(), options.StrideW())
        pads, sides = _places((high, wide), size, strides, same=options.Padding() == _SAME)
        self._active(options, out)(
            [batch, *sides, len(values)], "Conv", self.name(source),
            self.weight(self.name(kernel), values), self.weight(self.name(bias), self._stored(bias)),
            group=len(values) if depthwise else 1, kernel_shape=list(size), strides=list(strides), pads=pads,
        )  # fmt: skip

    def _pool(self, op: str, operator: "tflite.Operator", inputs: Sequence[int], out: int, **more: int) -> None:
        options = self._plain(operator, "Pool2DOptions")
        batch, high, wide, channels = self._shapes[inputs[0]]
        size, strides = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
        pads, sides = _places((high, wide), size, strides, same=options.Padding() == _SAME)
        self.put(
            out, [batch, *sides, channels], op, self.name(inputs[0]),
            kernel_shape=list(size), strides=list(strides), pads=pads, **more,
        )  # fmt: skip

    def _average_pool_2d(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        self._pool("AveragePool", operator, inputs, out, count_include_pad=0)

    def _max_pool_2d(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        self._pool("MaxPool", operator, inputs, out)

    def _fully_connected(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        options = self._plain(operator, "FullyConnectedOptions")
        values = self._stored(inputs[1])
        operands = [self.name(inputs[0]), self.weight(self.name(inputs[1]), values)]
        if inputs[2:] and inputs[2] >= 0:
            operands.append(self.weight(self.name(inputs[2]), self._stored(inputs[2])))
        self._active(options, out)([self._shapes[inputs[0]][0], len(values)], "Gemm", *operands, transB=1)

    def _pad(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        by = self._stored(inputs[1])
        shape = [size + int(pair.sum()) if size != OPEN else size
                 for size, pair in zip(self._shapes[inputs[0]], by, strict=True)]  # fmt: skip
        pads = by[[0, 3, 1, 2]].T.ravel().astype(np.int64)
        self.put(out, shape, "Pad", self.name(inputs[0]), self.weight(f"{self.name(out)}.pads", pads))

    def _mean(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        keep = self._plain(operator, "ReducerOptions").KeepDims()
        shape = self._shapes[inputs[0]]
        axes = [int(axis) % len(shape) for axis in self._stored(inputs[1]).ravel()]
        left = [1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes]
        own = [_CHANNELS_SECOND[axis] for axis in axes] if len(shape) == 4 else axes
        self.put(out, left, "ReduceMean", self.name(inputs[0]), axes=own, keepdims=int(keep))

    def _reshape(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        shape = [int(size) for size in self._stored(inputs[1])]
        if len(shape) == 4 and shape[1:3] != [1, 1]:
            raise PackError("the graph makes a picture by a reshape, which the walk does not know")
        own = [shape[0], shape[3], 1, 1] if len(shape) == 4 else shape
        put = self.weight(f"{self.name(out)}.shape", np.array(own, np.int64))
        self.put(out, shape, "Reshape", self.name(inputs[0]), put)

    def _expand_dims(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        shape = list(self._shapes[inputs[0]])
        axis = int(self._stored(inputs[1])) % (len(shape) + 1)
        shape.insert(axis, 1)
        if len(shape) == 4:
            raise PackError("the graph makes a picture by a new axis, which the walk does not know")
        axes = self.weight(f"{self.name(out)}.axes", np.array([axis], np.int64))
        self.put(out, shape, "Unsqueeze", self.name(inputs[0]), axes)

    def _concatenation(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        shape = list(self._shapes[inputs[0]])
        axis = self._plain(operator, "ConcatenationOptions").Axis() % len(shape)
        shape[axis] = sum(self._shapes[number][axis] for number in inputs)
        own = _CHANNELS_SECOND[axis] if len(shape) == 4 else axis
        self.put(out, shape, "Concat", *map(self.name, inputs), axis=own)

    def _strided_slice(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        """Of a value of two axes one column, which is all that is asked for here."""
        column = int(self._stored(inputs[1])[1])
        if len(self._shapes[inputs[0]]) != 2 or len(self.stated(out)) != 1:
            raise PackError("the graph takes a slice that the walk does not know")
        at = self.weight(f"{self.name(out)}.at", np.int64(column))
        self.put(out, [OPEN], "Gather", self.name(inputs[0]), at, axis=1)

    def _select_v2(self, operator: "tflite.Operator", inputs: Sequence[int], out: int) -> None:
        shape = self._shapes[inputs[0]]
        self.put(out, shape, "Where", *(self._value(number, axes=len(shape)) for number in inputs))

    def _stored(self, number: int) -> Array:
        found = self.constant(number)
        if found is None:
            raise PackError("the graph computes what the walk expects to be stored; get the pinned file")
        return found


def _aligned(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes of two shapes that are broadcast, axis by axis."""
    most = max(len(first), len(second))
    long = [[1] * (most - len(one)) + list(one) for one in (first, second)]
    return list(zip(*long, strict=True))


def _places(
    sides: Sequence[int], size: Sequence[int], strides: Sequence[int], *, same: bool
) -> tuple[list[int], list[int]]:
    """Pads as ONNX wants them, and the sides of what comes out. TensorFlow's SAME puts the odd cell behind."""
    if not same:
        return [0, 0, 0, 0], [(one - wide) // step + 1 for one, wide, step in zip(sides, size, strides, strict=True)]
    out = [-(-one // step) for one, step in zip(sides, strides, strict=True)]
    need = [
        max(0, (many - 1) * step + wide - one) for many, step, wide, one in zip(out, strides, size, sides, strict=True)
    ]
    return [*(one // 2 for one in need), *(one - one // 2 for one in need)], out
