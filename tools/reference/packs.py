"""docs/reference/pack-toml.md: every table and key of pack.toml, and an example of each shape."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamclf.clock import hop_of
from streamclf.errors import PackError
from streamclf.fields import Key, first_paragraph, keys_of
from streamclf.model import complete, geometry, loader
from streamclf.model import pack as packs
from streamclf.model.pack import (
    Constant,
    Encoded,
    Fbank,
    Image,
    LevelControl,
    LogMel,
    Manifest,
    Member,
    Segmentation,
    StateTensor,
    Waveform,
)
from streamclf.model.packwriter import LABEL_COLUMNS, MORE_COLUMNS
from streamclf.model.terms import TERM_COLUMNS
from streamclf.types import Shape
from tools.reference.markdown import block, code, page, paragraphs, prose, table

EXAMPLES = Path(__file__).with_name("examples")
_TABLES = {"features", "files", "state", "constants", "members", "segmentation"}
_HEAD = ("Key", "Type", "Default", "What it is")
_COLUMNS = {
    "id": "What programs call the class: 1 to 64 of a-z, 0-9 and `_`, each once.",
    "name": "What people read, up to 200 characters.",
    "group": "What it belongs to, such as `bird`; may be empty.",
    "enter": "Probability at which an event of it begins, over 0 up to 1; empty takes `segmentation.enter`.",
    "hidden": "`true` for one that is too generic to show, else `false`.",
    "enter_low": "What takes the place of `enter` at `--sensitivity low`, at least as high; empty shifts it.",
    "enter_high": "The same at `--sensitivity high`, at most as high.",
    "min_on_ms": "How long it must last to be an event; empty takes `segmentation.min_on_ms`.",
    "min_off_ms": "How long it must be away to be over; empty takes `segmentation.min_off_ms`.",
}
_TERMS = {
    "label": "Id of the label, as in the pack's labels.csv.",
    "member": "Name of the member; empty for the label's bias.",
    "labels": "Ids of the member's labels, a space between two: the largest of their logits counts. Empty for a bias.",
    "weight": "What that logit is multiplied by; of a bias the number itself. From -1000 to 1000.",
}
_FUSION = """label,member,labels,weight
bird,edges,bird,0.3
bird,names,bird chirp_tweet owl,1
bird,names,cat,-0.2
bird,,,0.5"""


FOLDERS = tuple(shape for shape in Shape if shape is not Shape.DERIVED)
"""Shapes that a folder can have."""


def text() -> str:
    """The page."""
    return page(
        "pack.toml",
        "A pack is a folder; `pack.toml` in it states everything that the engine has to know about the model. A key "
        "that is missing is an error, never a guess, and so is one that is not known.",
        _told(packs.__doc__ or ""),
        "## A pack by hand",
        "Write `pack.toml` as in one of the examples below, put `model.onnx` (all weights inside) and `labels.csv` "
        "beside it, and let the rest be filled in:",
        block("streamclf models complete FOLDER\nstreamclf models verify FOLDER\nstreamclf run --model FOLDER", "sh"),
        prose(_second(complete.__doc__ or "")),
        "* `format`, `input`, `output`, `batch`, of waveforms `window`, of window-frames `rows_per_window`, and of "
        "states `shape` and `dtype`: from the graph, where it leaves no choice.\n"
        "* `row_at` out of `look_ahead`, or the other way round. Where neither is known, it is measured with "
        "`--sounds FOLDER`, a folder with a folder of recordings of sudden sounds for each label (such as `dog/`).\n"
        "* `labels.csv`: a plain list of names, one a line in the order of the graph's output, gets ids; a table may "
        "lack columns, have them in another order, and bear a column `index` that gives the order of its rows.\n"
        "* `[files]`: the sha256 of every file. `--golden` adds `golden.npz`, what comes out here, so that "
        "`models verify` can compare on another machine.",
        "Comments and order stay. Nothing is written unless all of it fits; `--out FOLDER` leaves yours as it is.",
        "## Examples",
        "As written by hand, before `models complete`.",
        *(_example(shape) for shape in FOLDERS),
        "## Top level",
        _manifest(),
        "## [features]",
        f"{prose(_sentence(LogMel, 'All lengths'))} `kind` says which:",
        *(_features(kind) for kind in (LogMel, Fbank, Waveform, Image, Encoded)),
        "### [features.level]",
        f"Of `logmel` features. {_struct(LevelControl)}",
        "## [[state]]",
        _struct(StateTensor),
        "## [[constants]]",
        _struct(Constant),
        "## [[members]]",
        _struct(Member),
        "## [segmentation]",
        _struct(Segmentation),
        "## [files]",
        "Every file but `pack.toml` with its sha256; `models complete` writes it. At least `model.onnx` and "
        "`labels.csv`, with `encoded` features `encoder.onnx` as well; of a fused pack `fusion.csv` and `labels.csv`, "
        "and not what is in its members, which say so themselves; at most "
        f"{loader.MAX_FILES} plain names, regular files all of them.",
        block('[files]\n"labels.csv" = "64 hex digits"\n"model.onnx" = "64 hex digits"', "toml"),
        "## labels.csv",
        f"UTF-8 with the head `{','.join(LABEL_COLUMNS)}`, then one line for each class in the order of the graph's "
        f"output. `{','.join(MORE_COLUMNS)}` may stand behind them, as far as they are wanted.",
        table(
            ("Column", "What it is"),
            ((code(name), prose(_COLUMNS[name])) for name in (*LABEL_COLUMNS, *MORE_COLUMNS)),
        ),
        "## fusion.csv",
        f"Of a fused pack: UTF-8 with the head `{','.join(TERM_COLUMNS)}`, then one line for each term. Each label "
        "needs a term of a member at least, each member a term of a label.",
        table(("Column", "What it is"), ((code(name), prose(_TERMS[name])) for name in TERM_COLUMNS)),
        block(_FUSION, "text"),
    )


def example(shape: Shape) -> str:
    """The text of an example."""
    return (EXAMPLES / f"{shape.value}.toml").read_text(encoding="utf-8")


def needed() -> dict[str, list[Shape]]:
    """Key -> shapes whose packs cannot be loaded without it: found by leaving it out."""
    found: dict[str, list[Shape]] = {}
    for shape in FOLDERS:
        whole = _whole(shape)
        _check(whole)
        for key in whole:
            try:
                _check({name: value for name, value in whole.items() if name != key})
            except PackError:
                found.setdefault(key, []).append(shape)
    return found


def _whole(shape: Shape) -> dict[str, Any]:
    """An example with what `models complete` adds to it."""
    values = tomllib.loads(example(shape))
    if shape is Shape.FUSED:
        values |= {"format": 1, "rate": 16_000, "window": 3200, "look_ahead": 0}
        values["files"] = dict.fromkeys((loader.FUSION, loader.LABELS), "0" * 64)
        for member in values["members"]:
            member["sha256"] = "0" * 64
        return values
    hop = hop_of(values["rate"])
    files = dict.fromkeys((loader.MODEL, loader.LABELS), "0" * 64)
    values |= {"format": 1, "input": "features", "output": "scores", "files": files}
    if shape is Shape.STATEFUL:
        values["state"][0]["shape"] = [0, 6]
    if shape is Shape.WINDOW_ROW:
        values["row_at"] = values["window"] - values["look_ahead"] - hop
    if shape is Shape.WINDOW_FRAMES:
        values["rows_per_window"] = values["window"] // hop
    return values


def _check(values: Mapping[str, Any]) -> None:
    geometry.check(loader.manifest_of_values(values))


def _manifest() -> str:
    required = needed()
    rows = []
    for key in keys_of(Manifest):
        shapes = required.get(key.name, [])
        who = "**all**" if len(shapes) == len(FOLDERS) else ", ".join(shape.value for shape in shapes)
        if key.name == "input_layout":  # whatever the shape is
            who = "features but waveforms"
        what = f"{prose(key.text)}{' A table: see below.' if key.name in _TABLES else ''}"
        rows.append((code(key.name), _type(key), _default(key), who, what))
    return table(("Key", "Type", "Default", "Needed by", "What it is"), rows)


def _features(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    return "\n\n".join([f"### {tag}", block(f'[features]\nkind = "{tag}"', "toml"), _struct(kind)])


def _struct(kind: type[msgspec.Struct]) -> str:
    rows = ((code(key.name), _type(key), _default(key), prose(key.text)) for key in keys_of(kind))
    return "\n\n".join([prose(first_paragraph(kind)), table(_HEAD, rows)])


def _example(shape: Shape) -> str:
    return f"### {shape.value}\n\n{block(example(shape), 'toml')}"


def _type(key: Key) -> str:
    kind = "table" if key.name in _TABLES else key.kind
    return f"{kind}{f', {key.limits}' if key.limits else ''}"


def _default(key: Key) -> str:
    if key.name in _TABLES:
        return ""
    return "**required**" if key.default is None else code(key.default) if key.default else ""


def _told(text: str) -> str:
    """A module's text without its first sentence, which the page has said."""
    return paragraphs("\n\n".join(text.split("\n\n")[1:]).replace(" (`Manifest` below is its schema)", ""))


def _second(text: str) -> str:
    return " ".join(text.split("\n\n")[1].split())


def _sentence(kind: type[msgspec.Struct], begins: str) -> str:
    """The sentence of a class's docstring that begins so."""
    said = first_paragraph(kind)
    return said[said.index(begins) :]
