"""An ONNX file with the weights that lie beside it, as torch.onnx.export writes them today, as one model."""

from pathlib import Path

from onnx import ModelProto, TensorProto
from onnx.external_data_helper import load_external_data_for_tensor

from streamclf.errors import PackError
from streamclf.model.graph import is_external, parsed, tensors_of
from streamclf.model.loader import FILE_NAME, MODEL_CAP, read_regular
from streamclf.text import one_line


def read_model(path: Path) -> ModelProto:
    """The model of `path` with all weights inside. Raises `PackError`: no such file, weights missing, over 2 GiB."""
    if not path.is_file() or path.stat().st_size > MODEL_CAP:
        raise PackError(f"{path} is not an ONNX file of at most 2 GiB; give the model's .onnx")
    return with_weights(path, read_regular(path.resolve(), cap=MODEL_CAP))


def with_weights(path: Path, content: bytes) -> ModelProto:
    """The model in `content`, the bytes of `path`, with the weights of the files beside it. Raises `PackError`."""
    model = parsed(content)
    if not model.graph.node:
        raise PackError(f"{path} is not an ONNX file; a TFLite or SavedModel has to be converted first (tf2onnx)")
    beside = [tensor for tensor in tensors_of(model) if is_external(tensor)]
    size = len(content) + sum(_bytes(tensor) for tensor in beside)
    if size > MODEL_CAP:
        raise PackError(f"{path} and the weights beside it come to {size} bytes; at most {MODEL_CAP} are expected")
    for tensor in beside:
        _take_in(tensor, path)
    return model


def weights_beside(content: bytes) -> set[str]:
    """Names of the files in which a graph keeps weights; none where the file is not a graph."""
    tensors = tensors_of(parsed(content))
    entries = (entry for tensor in tensors if is_external(tensor) for entry in tensor.external_data)
    return {entry.value for entry in entries if entry.key == "location"}


def _take_in(tensor: TensorProto, path: Path) -> None:
    """Its weights, out of a plain file in the folder of `path` and no other."""
    named = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
    where = path.parent / named
    if not FILE_NAME.fullmatch(named):
        raise PackError(
            f"{path} keeps weights in {one_line(named)[:80]!r}; expected a plain file beside it, so export it again"
        )
    if not where.is_file() or where.is_symlink():
        raise PackError(f"{path} keeps weights in {named}, which is not beside it; put that file into {path.parent}")
    try:
        load_external_data_for_tensor(tensor, str(path.parent))
    except Exception as fault:  # onnx raises half a dozen unrelated types for a file that is too short
        raise PackError(f"{where} does not hold the weights of {path}: {one_line(str(fault))}; copy both") from None
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT


def _bytes(tensor: TensorProto) -> int:
    length = {entry.key: entry.value for entry in tensor.external_data}.get("length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0
