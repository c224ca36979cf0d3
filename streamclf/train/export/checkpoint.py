"""From a transformers checkpoint to an `Export`: its family's plan, the labels, what its rows are held against."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from streamclf.errors import PackError, RateError, StreamclfError, UsageError
from streamclf.model import geometry
from streamclf.model.labels import check_count, make_labels, printable
from streamclf.model.pack import Manifest, Waveform
from streamclf.train.export import agreement, parity
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.encoded import keep_encoder, running_rows
from streamclf.train.export.packing import TOGETHER, Agree, Export, Say, check_target, export_pack, pack_name
from streamclf.train.export.quantise import Variant
from streamclf.train.families import family_of
from streamclf.train.families.family import Plan, Wishes, manifest_of
from streamclf.train.pretrained import Checkpoint, CheckpointError, first_sentence, load_checkpoint
from streamclf.types import F32, Shape


def export_checkpoint(
    source: str | Path,
    out: Path,
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    wishes: Wishes | None = None,
    variant: Variant | None = None,
    licence: str | None = None,
    offline: bool = False,
    replace: bool = False,
    card: str = "",
    measure_on: Path | None = None,
    say: Say = lambda _: None,
) -> ExportReport:
    """Export the checkpoint `source` (a folder or a Hugging Face id) as a pack into the folder `out`.

    labels: names in the order of the output, in place of the checkpoint's. card: text to stand in CARD.md before the
    certificate. measure_on: recordings on which running statistics are held against the checkpoint; None takes the
    demo recording. say: told what is being done. Raises StreamclfError for what cannot be exported or shows no parity.
    """
    wishes = wishes or Wishes()
    check_target(out, replace=replace)
    if measure_on is not None and not wishes.running_statistics:
        raise UsageError("recordings to measure on belong to running statistics; ask for those, or leave them out")
    checkpoint = load_checkpoint(str(source), offline=offline)
    family = family_of(checkpoint)
    if (wishes.settings or wishes.image) and not family.takes_settings:
        asked = f"--feature {next(iter(wishes.settings))}" if wishes.settings else "--image"
        raise UsageError(f"{checkpoint.architecture} states its features itself; leave {asked} out")
    say(f"{checkpoint.origin}: {checkpoint.architecture} ({family.title}, {family.output})")
    with _stated(source, wishes):
        plan = family.plan(checkpoint, wishes)
        names = plan.names if labels is None else tuple(labels)
        called = name or pack_name(checkpoint.name, variant)
        manifest = _manifest(checkpoint, plan, wishes, called, licence or checkpoint.licence(), len(names))
        geometry.check(manifest)
    if labels is None:
        check_count(names, _classes(plan), f"`id2label` of {source}")
    else:
        check_count(names, _classes(plan), "the list of labels", fault=UsageError)
    export = _of_plan(plan, manifest, names, wishes, measure_on)
    export = dataclasses.replace(export, architecture=checkpoint.architecture, variant=variant)
    if checkpoint.adapter is not None:
        export = dataclasses.replace(
            export, notes=(*export.notes, "the adapter beside its weights is merged into them")
        )
    return export_pack(dataclasses.replace(export, card=card) if card else export, out, replace=replace, say=say)


@contextlib.contextmanager
def _stated(source: str | Path, wishes: Wishes) -> Iterator[None]:
    """What does not fit is the user's fault where the user stated the features, else the checkpoint's."""
    fault = UsageError if wishes.settings or wishes.image else CheckpointError
    try:
        yield
    except RateError as reason:
        raise fault(f"{source} cannot be placed on 20 ms frames: {reason}") from None
    except PackError as reason:
        raise fault(f"{source} cannot become a pack: {reason}") from None


def _manifest(checkpoint: Checkpoint, plan: Plan, wishes: Wishes, name: str, licence: str, classes: int) -> Manifest:
    return manifest_of(
        plan,
        wishes,
        name=name,
        title=f"{printable(checkpoint.name)}: {classes} classes",
        licence=licence,
        source=f"{printable(checkpoint.origin)} ({checkpoint.architecture})",
    )


def _of_plan(whole: Plan, manifest: Manifest, names: Sequence[str], wishes: Wishes, measure_on: Path | None) -> Export:
    """An export of a planned checkpoint, its encoder kept where that can be."""
    parameters = sum(weight.numel() for weight in whole.module.parameters())
    plan, cut = keep_encoder(whole, wishes)
    manifest = msgspec.structs.replace(manifest, features=plan.features, input_layout=plan.layout)
    expected: parity.Expected = partial(_windowed, plan, manifest)
    agree: Agree | None = None
    if cut is not None and wishes.running_statistics:
        heard = agreement.recordings(measure_on, plan.rate, window=plan.window)
        agree = partial(agreement.measure, heard=heard, exact=plan.reference, undivided=cut.undivided)
        expected = running_rows(cut, manifest, normalise=whole.features == Waveform(normalise="window"))
    return Export(
        module=plan.module,
        manifest=manifest,
        labels=make_labels(names, hidden=plan.hidden),
        expected=expected,
        architecture="",
        parameters=parameters,
        card=_card(manifest),
        exact=plan.exact,
        notes=plan.notes,
        encoder=None if cut is None else cut.onnx(),
        agree=agree,
        beside=plan.beside,
    )


def _windowed(plan: Plan, manifest: Manifest, audio: F32) -> F32:
    """Rows of every window by the checkpoint itself."""
    parts = list(parity.windows(manifest, audio))
    logits = [plan.reference(np.stack(parts[at : at + TOGETHER])) for at in range(0, len(parts), TOGETHER)]
    return parity.probabilities(np.concatenate(logits), plan.activation)


def _classes(plan: Plan) -> int:
    """How many classes the reference gives for one window of the plan; checks its rows on the way."""
    try:
        rows = plan.reference(parity.signal(plan.rate, plan.window)[None])
    except Exception as fault:  # models say in their own ways that an input is too small or has another shape
        raise StreamclfError(
            f"the model cannot run on a window of {1000 * plan.window / plan.rate:g} ms: {first_sentence(fault)}; "
            "ask for another window, or correct the checkpoint's preprocessor_config.json"
        ) from fault
    if rows.shape[1] != plan.rows:
        what = "rows" if plan.shape is Shape.WINDOW_FRAMES else "row"
        raise StreamclfError(
            f"the model gives {rows.shape[1]} rows for a window of {plan.window} samples and {plan.rows} {what} were "
            "expected; checkpoints that thin their frames out (adapters) cannot be exported"
        )
    return int(rows.shape[2])


def _card(manifest: Manifest) -> str:
    return (
        f"# {manifest.title}\n\nExported from {manifest.source}.\n\nLicence: {manifest.licence}. What it was trained "
        "on, and what it must not be used for, is told by the checkpoint's own card.\n"
    )
