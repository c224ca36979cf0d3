"""Models in files of other kinds than packs: what to do with each, so that it becomes one."""

from pathlib import Path

_WEIGHTS = (
    "holds weights, and not the net that they belong to; a checkpoint of transformers is the folder with its "
    "config.json (`streamclf export FOLDER --out PACK`); of any other net make the model in your own code, load them "
    "into it, and write it with torch.onnx.export, then `streamclf models add MODEL.onnx`"
)
_TENSORFLOW = "is of TensorFlow; make an ONNX of it with tf2onnx, then `streamclf models add MODEL.onnx`"
_PICKLE = (
    "is a pickle, which may run anything and is not read; of scikit-learn make an ONNX with skl2onnx, then `streamclf "
    "models add MODEL.onnx`"
)
_ADVICE = {
    ".pt": _WEIGHTS,
    ".pth": _WEIGHTS,
    ".ckpt": _WEIGHTS,
    ".bin": _WEIGHTS,
    ".safetensors": _WEIGHTS,
    ".pt2": "is a program of torch; load it there and write it with torch.onnx.export, then `streamclf models add "
    "MODEL.onnx`",
    ".tflite": _TENSORFLOW,
    ".pb": _TENSORFLOW,
    ".h5": _TENSORFLOW,
    ".hdf5": _TENSORFLOW,
    ".keras": _TENSORFLOW,
    ".pkl": _PICKLE,
    ".joblib": _PICKLE,
    ".ort": "is ONNX Runtime's own format; take the ONNX that it was made of: `streamclf models add MODEL.onnx`",
    ".mlmodel": "is of Core ML; take the net that it was made of, as ONNX: `streamclf models add MODEL.onnx`",
    ".onnx": "is a graph, not a pack; `streamclf models add` makes one of it, and `streamclf try` hears with it",
}


def advice(path: Path) -> str:
    """What a model's file is and what to do with it, as the rest of a sentence; "" for a kind that is not known."""
    return _ADVICE.get(path.suffix.lower(), "") if path.is_file() else ""
