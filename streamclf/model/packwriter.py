"""Writes a model pack: labels.csv, the files' hashes and pack.toml, in one fixed order and spelling.

The same content always gives the same bytes, so that two people who build a pack get the same digest.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from streamclf.model.pack import OF_GRAPH, Manifest
from streamclf.types import Label, Shape

LABEL_COLUMNS = ("id", "name", "group", "enter", "hidden")
SENSITIVITY_COLUMNS = ("enter_low", "enter_high")
DURATION_COLUMNS = ("min_on_ms", "min_off_ms")
MORE_COLUMNS = SENSITIVITY_COLUMNS + DURATION_COLUMNS
"""Stand behind the others, in this order, as far as a label has thresholds or durations of its own."""


def labels_csv(labels: Sequence[Label]) -> bytes:
    """The text of labels.csv (UTF-8, one row a class in the order of the graph's output)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    more = [
        column
        for pair in (SENSITIVITY_COLUMNS, DURATION_COLUMNS)
        if any(getattr(label, column) is not None for label in labels for column in pair)
        for column in pair
    ]
    rows.writerow([*LABEL_COLUMNS, *more])
    for label in labels:
        row = [label.id, label.name, label.group, _number(label.enter), "true" if label.hidden else "false"]
        rows.writerow([*row, *(_number(getattr(label, column)) for column in more)])
    return text.getvalue().encode()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def manifest_toml(manifest: Manifest) -> bytes:
    """The text of pack.toml: scalars first, then tables; keys that hold their default are left out."""
    values = _without_defaults(manifest)
    if manifest.shape is Shape.FUSED:
        values = {key: value for key, value in values.items() if key not in OF_GRAPH}
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *_table(value, key)]
        elif isinstance(value, list) and _is_table(value):
            for entry in value:
                lines += ["", f"[[{key}]]", *_table(entry, key)]
    return ("\n".join(lines) + "\n").encode()


def write_pack(
    folder: Path,
    manifest: Manifest,
    *,
    model: bytes,
    labels: Sequence[Label],
    card: str,
    golden: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a whole pack into `folder` (made if absent) and return it; `manifest.files` is filled in here.

    extra: further files to store and hash, such as a licence text, by plain file name.
    """
    files = {"model.onnx": model, "labels.csv": labels_csv(labels), "CARD.md": card.encode(), **(extra or {})}
    if golden is not None:
        files["golden.npz"] = golden
    return write_files(folder, manifest, files)


def write_files(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write a pack of these files into `folder` (made if absent) and return it; `manifest.files` is filled in here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    (folder / "pack.toml").write_bytes(manifest_toml(msgspec.structs.replace(manifest, files=hashes)))
    return folder


def _without_defaults(struct: msgspec.Struct) -> dict[str, object]:
    builtins: dict[str, object] = msgspec.to_builtins(struct)
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if not field.required and value == field.default:
            del builtins[field.encode_name]
        elif isinstance(value, msgspec.Struct):
            tag = {key: text for key, text in msgspec.to_builtins(value).items() if key == "kind"}
            builtins[field.encode_name] = tag | _without_defaults(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            builtins[field.encode_name] = [_without_defaults(entry) for entry in value]
    return builtins


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _table(values: Mapping[str, object], name: str) -> list[str]:
    """Lines of the table `name`, and behind them those of the tables in it."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}.{key}]", *_table(value, f"{name}.{key}")]
    return lines


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # JSON's strings, integers and booleans are TOML's too
    return json.dumps(value, ensure_ascii=False)
