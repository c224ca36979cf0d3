"""What an export has proved and measured, for the terminal and for the pack's card."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamclf.clock import FRAME_MS
from streamclf.engine.pace import hop_frames
from streamclf.model.geometry import receptive_field
from streamclf.model.pack import Manifest
from streamclf.train.export.agreement import Agreement
from streamclf.train.export.parity import Parity
from streamclf.train.export.quantise import Loss
from streamclf.types import Shape


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Lengths in ms of the pack's audio, run time in ms of one core of this machine.

    receptive_field_ms: None where a recurrent state makes it unbounded. latency_ms: look-ahead and the 20 ms frame
    itself. label_ms: at worst, with the hop that this machine holds, and the run. loss: of a variant, else None.
    agreement: of running statistics, else None.
    """

    folder: Path
    name: str
    architecture: str
    classes: int
    activation: str
    parameters: int
    shape: str
    receptive_field_ms: float | None
    look_ahead_ms: float
    latency_ms: float
    label_ms: float
    run_ms: float
    hop_ms: float
    parity: Parity
    loss: Loss | None
    agreement: Agreement | None
    notes: tuple[str, ...]

    @property
    def rtf(self) -> float:
        """Run time over audio time, at the hop that this machine holds."""
        return self.run_ms / self.hop_ms

    def for_machines(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "folder": str(self.folder), "rtf": self.rtf}


def make_report(
    folder: Path,
    manifest: Manifest,
    *,
    architecture: str,
    classes: int,
    parameters: int,
    run_seconds: float,
    parity: Parity,
    loss: Loss | None,
    agreement: Agreement | None,
    notes: Sequence[str],
) -> ExportReport:
    """Work the times out from the manifest and the measured run."""
    field = receptive_field(manifest)
    look_ahead_ms = 1000 * manifest.look_ahead / manifest.rate
    if manifest.shape is Shape.STATEFUL:
        hop_ms = 1000 * manifest.step / manifest.rate
    else:
        hop_ms = float(FRAME_MS * hop_frames(run_seconds, streams=1, window_packs=1))
    return ExportReport(
        folder=folder,
        name=manifest.name,
        architecture=architecture,
        classes=classes,
        activation=manifest.activation,
        parameters=parameters,
        shape=manifest.shape.value,
        receptive_field_ms=None if field is None else 1000 * field / manifest.rate,
        look_ahead_ms=look_ahead_ms,
        latency_ms=look_ahead_ms + FRAME_MS,
        label_ms=look_ahead_ms + max(hop_ms, FRAME_MS) + run_seconds * 1000,
        run_ms=run_seconds * 1000,
        hop_ms=hop_ms,
        parity=parity,
        loss=loss,
        agreement=agreement,
        notes=tuple(notes),
    )


def lines(report: ExportReport) -> list[tuple[str, str]]:
    """(what, value) in the order that a person reads them."""
    field = report.receptive_field_ms
    by = "and the checkpoint's own extractor" if report.agreement is None else "by running statistics' definition"
    told = [
        ("pack", f"{report.name} in {report.folder.name}: {report.architecture}, {report.shape}"),
        ("classes", f"{report.classes} by {report.activation}"),
        ("parity", f"{report.parity.worst:.1e} over {report.parity.runs} runs and {report.parity.frames} frames"),
        ("  ONNX, batch 1", f"{report.parity.batch_1:.1e} from torch {by}"),
        ("  ONNX, batch 4", f"{report.parity.batch_4:.1e}"),
        ("  streaming", f"{report.parity.streaming:.1e} with odd blocks, every row and frame"),
        ("receptive field", "all of the past (recurrent)" if field is None else f"{field:g} ms"),
        ("look-ahead", f"{report.look_ahead_ms:g} ms"),
        ("algorithmic latency", f"{report.latency_ms:g} ms (look-ahead and the frame of {FRAME_MS} ms)"),
        ("parameters", f"{report.parameters:,}"),
        ("one run here", f"{report.run_ms:.2f} ms of one core"),
        ("hop held here", f"{report.hop_ms:g} ms (RTF {report.rtf:.3f})"),
        ("label at the latest", f"{report.label_ms:.0f} ms after its sound, with that hop and one run"),
    ]
    if report.loss is not None:
        one = report.loss
        told += [
            (
                one.variant,
                f"{one.megabytes:.2f} MB in place of {one.fp32_megabytes:.2f}; of {one.rows} rows, against fp32:",
            ),
            ("  same top class", f"{100 * one.top_1:.1f} %"),
            ("  probabilities", f"{one.mean:.1e} off in the mean, {one.worst:.1e} at worst"),
        ]
    if report.agreement is not None:
        held = report.agreement
        told += [
            (
                "running statistics",
                f"{held.rows} rows of {held.windows} windows in {held.seconds:.3g} s of "
                f"{held.recordings}, against the window run anew:",
            ),
            ("  same top class", f"{100 * held.top_1:.1f} %"),
            (
                "  probabilities",
                f"{held.mean:.1e} off in the mean, {held.worst:.1e} at worst; correlation {held.correlation:.3f}",
            ),
            ("  saves", f"{held.saves:.1f}x: {held.run_ms:.2f} ms in place of {held.anew_ms:.2f} ms"),
        ]
    told += [("note", note) for note in report.notes]
    return told


def card_section(report: ExportReport) -> str:
    """The same as Markdown, to stand under a pack's card."""
    rows = "\n".join(f"| {what.strip()} | {value.replace('|', '/')} |" for what, value in lines(report))
    return f"\n## Certificate\n\nMeasured where it was exported.\n\n| | |\n|---|---|\n{rows}\n"
