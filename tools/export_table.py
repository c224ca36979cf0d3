#!/usr/bin/env python
"""Exports a small checkpoint of every class and prints what README says of each: parity, look-ahead, what is kept.

    nice python tools/export_table.py [--classes NAME,NAME]

The checkpoints are the test suite's, with random weights: parity is the largest difference of any probability, over
all windows and frames, between torch behind the checkpoint's own extractor and ONNX at batch 1, at batch 4 and
streaming. A speech encoder that normalises over time, or whose input is normalised, is exported as it is and in the
form where its rows can be kept. The project's own causal nets stand at the end. The table is Markdown.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from streamclf.engine.verify import verify
from streamclf.model.loader import load_pack
from streamclf.train.certificate import ExportReport
from streamclf.train.data import Task
from streamclf.train.export import export_checkpoint
from streamclf.train.families import families
from streamclf.train.ours import OwnNet, Shaping
from streamclf.train.pretrained import PREPROCESSOR, quiet
from tests.support.checkpoints import LABELS, classes, edit, save_checkpoint

OWN = {"crnn": Shaping(), "tcn": Shaping(), "transformer": Shaping(chunk_ms=100)}
# classes without a convolutional encoder of samples, and those without a choice of its norm
_SPECTRAL = ("ResNet", "ConvNext", "ViT", "AST", "Whisper", "Wav2Vec2Bert")
_LAYER_NORM = (*_SPECTRAL, "Data2VecAudio")


@dataclass(frozen=True, slots=True)
class Line:
    """One pack: what its row of the table shares with others, and its own name and parity."""

    family: str
    rows: str
    look_ahead: str
    kept: str
    name: str
    parity: float


def main() -> None:
    """Export, then print the table, one row for all classes of a family that differ in parity alone."""
    asked = argparse.ArgumentParser(description="Export a small checkpoint of every class; print README's table.")
    asked.add_argument("--classes", help="Only these, separated by commas; the project's own nets by their --arch.")
    options = asked.parse_args()
    names = options.classes.split(",") if options.classes else [*classes(), *OWN]
    table: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        print(name, file=sys.stderr)
        for line in _own(name) if name in OWN else _exported(name):
            shared = (line.family, line.rows, line.look_ahead, line.kept)
            table.setdefault(shared, []).append(f"`{line.name}` {line.parity:.0e}")
    print("| family | classes, each with its parity | rows | look-ahead | what of the past is kept |")
    print("|---|---|---|---|---|")
    for (family, rows, look_ahead, kept), members in table.items():
        print(f"| {family} | {', '.join(members)} | {rows} | {look_ahead} | {kept} |")


def _exported(name: str) -> Iterator[Line]:
    family = next(one for one in families() if name in one.classes)
    for whole in (True,) if name.startswith(_SPECTRAL) else (True, False):
        norm: dict[str, Any] = (
            {} if name.startswith(_LAYER_NORM) else {"feat_extract_norm": "group" if whole else "layer"}
        )
        with tempfile.TemporaryDirectory() as scratch:
            with quiet():
                folder = save_checkpoint(name, Path(scratch) / name, **norm)
            if not name.startswith(_SPECTRAL):
                edit(folder / PREPROCESSOR, do_normalize=whole)
            yield _line(family.title, family.output, name, export_checkpoint(folder, Path(scratch) / "pack"))


def _own(arch: str) -> Iterator[Line]:
    torch.manual_seed(0)
    task = Task(labels=LABELS[:3], exclusive=False)
    net = OwnNet(arch, task, window_s=4.0, shaping=OWN[arch])
    with tempfile.TemporaryDirectory() as scratch:
        report = net.export(Path(scratch) / "pack", task, name=arch, licence="", card="", say=lambda _: None)
        chunk = OWN[arch].chunk_ms
        rows = "a row every 20 ms" + (f", {chunk // 20} at once" if chunk > 20 else "")
        yield _line("causal nets of `streamclf train`", rows, arch, report)


def _line(family: str, rows: str, name: str, report: ExportReport) -> Line:
    kept = verify(load_pack(report.folder)).reuse.partition(":")[0]
    return Line(family, rows, f"{report.look_ahead_ms:g} ms", kept, name, report.parity.worst)


if __name__ == "__main__":
    main()
