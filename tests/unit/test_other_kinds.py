"""Models in files of other kinds, and lists of labels as they come with them: read, or told what to do."""

from pathlib import Path

import pytest

from streamclf.errors import StreamclfError, UsageError
from streamclf.model.labellists import read_lines
from streamclf.model.library import install
from streamclf.model.loader import load_pack


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("best.pt", "holds weights, and not the net .* torch.onnx.export, then `streamclf models add MODEL.onnx`"),
        ("model.safetensors", "holds weights, and not the net .*`streamclf export FOLDER --out PACK`"),
        ("pytorch_model.bin", "holds weights, and not the net"),
        ("m.tflite", "is of TensorFlow; make an ONNX of it with tf2onnx"),
        ("m.keras", "is of TensorFlow"),
        ("m.joblib", "is a pickle, which may run anything and is not read"),
        ("m.onnx", "is a graph, not a pack; `streamclf models add` makes one of it"),
    ],
)
def test_a_model_of_another_kind_is_told_what_to_do_with_it(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")

    with pytest.raises(StreamclfError, match=said):
        load_pack(path)
    with pytest.raises(StreamclfError, match=said):
        install(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", b"0 bark\n1 rain\n2 big car\n"),
        ("l.txt", b"1: bark\n2: rain\n3: big car\n"),
        ("l.csv", b'"bark"\n"rain"\n"big car"\n'),
        ("l.csv", b"0,bark\n1,rain\n2,big car\n"),
        ("l.txt", "bark\r\nrain\r\nbig car\r\n".encode("utf-16")),
        ("l.txt", b"\xef\xbb\xbfbark\r\nrain\r\nbig car\r\n"),
    ],
)
def test_lists_of_labels(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert read_lines(tmp_path / name) == ("bark", "rain", "big car")


@pytest.mark.parametrize("lines", [("5 o'clock", "7 up", "car"), ("1 bark", "3 rain"), ("7",), ("0", "1")])
def test_labels_that_only_begin_with_a_number_keep_it(tmp_path: Path, lines: tuple[str, ...]) -> None:
    (tmp_path / "l.txt").write_text("\n".join(lines))

    assert read_lines(tmp_path / "l.txt") == lines


def test_labels_of_another_encoding_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("M\xf6nch\n".encode("latin-1"))

    with pytest.raises(UsageError, match="it is not UTF-8 text; save it as UTF-8"):
        read_lines(tmp_path / "l.txt")
