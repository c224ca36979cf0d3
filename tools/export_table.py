#!/usr/bin/env python
"""Exports small checkpoints of the most used classes; prints the table of docs/developers/export.md.

    nice python tools/export_table.py [--classes NAME,NAME]

The checkpoints are the test suite's, with random weights: parity is the largest difference of any probability, over
all windows and frames, between torch behind the checkpoint's own extractor and ONNX at batch 1, at batch 4 and
streaming. The project's own causal nets stand at the end. The table is Markdown.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from streamclf.clock import FRAME_MS
from streamclf.engine.verify import verify
from streamclf.model.loader import load_pack
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families import families
from streamclf.train.pretrained import quiet
from tools.lab.checkpoints import COMMON, OWN, own_pack, save_checkpoint


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One pack: what its row of the table shares with others, and its own name and parity."""

    family: str
    rows: str
    look_ahead: str
    kept: str
    name: str
    parity: float


def main() -> None:
    """Export, then print the table, one row for all classes of a family that differ in parity alone."""
    asked = argparse.ArgumentParser(description="Export a small checkpoint of each class; print the table of them.")
    asked.add_argument("--classes", help="Only these, separated by commas; the project's own nets by their --arch.")
    options = asked.parse_args()
    names = options.classes.split(",") if options.classes else [*COMMON, *OWN]
    table: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            line = (_own if name in OWN else _exported)(name, Path(scratch))
        print(line, file=sys.stderr)
        shared = (line.family, line.rows, line.look_ahead, line.kept)
        table.setdefault(shared, []).append(f"`{line.name}` {line.parity:.0e}")
    print("| family | classes, each with its parity | rows | look-ahead | what of the past is kept |")
    print("|---|---|---|---|---|")
    for (family, rows, look_ahead, kept), members in table.items():
        print(f"| {family} | {', '.join(members)} | {rows} | {look_ahead} | {kept} |")


def _exported(name: str, folder: Path) -> ExportLine:
    family = next(one for one in families() if name in one.classes)
    with quiet():
        checkpoint = save_checkpoint(name, folder / name)
    return _line(family.title, family.output, name, export_checkpoint(checkpoint, folder / "pack"))


def _own(arch: str, folder: Path) -> ExportLine:
    _, report = own_pack(arch, folder / arch)
    together = OWN[arch] // FRAME_MS
    rows = "a row every 20 ms" + (f", {together} at once" if together > 1 else "")
    return _line("causal nets of `streamclf train`", rows, arch, report)


def _line(family: str, rows: str, name: str, report: ExportReport) -> ExportLine:
    kept = verify(load_pack(report.folder)).reuse.partition(":")[0]
    return ExportLine(family, rows, f"{report.look_ahead_ms:g} ms", kept, name, report.parity.worst)


if __name__ == "__main__":
    main()
