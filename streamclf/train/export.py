"""From a model in torch to a verified pack: graph, pack, parity with the original, certificate.

`export_checkpoint` takes a transformers checkpoint, `write_torch_pack` a module of our own whose manifest is known.
Both go the same way, and nothing is written to where the user asked until parity has been shown.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import Any

import msgspec
import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import RateError, StreamclfError, UsageError
from streamclf.model import geometry
from streamclf.model.loader import ENCODER, NAME, load_pack
from streamclf.model.pack import Encoded, Manifest, Pack, Waveform
from streamclf.model.session import Session
from streamclf.model.writer import write_pack
from streamclf.train import parity
from streamclf.train.certificate import ExportReport, card_section, make_report
from streamclf.train.families import family_of
from streamclf.train.families.family import Plan, Wishes, manifest_geometry
from streamclf.train.labels import check_count, make_labels, printable, slug
from streamclf.train.onnxgraph import Graph, to_onnx
from streamclf.train.pretrained import CheckpointError, first_sentence, load_checkpoint
from streamclf.train.quantise import Loss, Variant, batches, loss, make_variant
from streamclf.train.rows import module_rows
from streamclf.train.split_encoder import obstacle, split
from streamclf.types import F32, Label, Provider, Shape

Say = Callable[[str], None]
_TOGETHER = 4


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
    say: Say = lambda _: None,
) -> ExportReport:
    """Export the checkpoint `source` (a folder or a Hugging Face id) as a pack into the folder `out`.

    labels: names in the order of the output, in place of the checkpoint's. card: text to stand in CARD.md before the
    certificate. say: told what is being done. Raises StreamclfError for what cannot be exported or shows no parity.
    """
    wishes = wishes or Wishes()
    check_target(out, replace=replace)
    checkpoint = load_checkpoint(str(source), offline=offline)
    family = family_of(checkpoint)
    if wishes.settings and not family.takes_settings:
        raise UsageError(
            f"{checkpoint.architecture} states its features itself; leave --feature {next(iter(wishes.settings))} out"
        )
    say(f"{checkpoint.origin}: {checkpoint.architecture} ({family.title}, {family.output})")
    try:
        plan = family.plan(checkpoint, wishes)
        placed = manifest_geometry(plan, wishes)
    except RateError as fault:
        raise CheckpointError(f"{source} cannot be placed on 20 ms frames: {fault}") from None
    parameters = sum(weight.numel() for weight in plan.module.parameters())
    names = plan.names if labels is None else tuple(labels)
    check_count(names, _classes(plan), f"`id2label` of {source}" if labels is None else "the list of labels")
    plan, encoder = (plan, None) if wishes.one_graph else _kept_encoder(plan)
    manifest = Manifest(
        format=1,
        name=name or pack_name(checkpoint.name, variant),
        version="1",
        title=f"{printable(checkpoint.name)}: {len(names)} classes",
        licence=licence or checkpoint.licence(),
        source=f"{printable(checkpoint.origin)} ({checkpoint.architecture})",
        rate=plan.rate,
        shape=plan.shape,
        window=plan.window,
        features=plan.features,
        input="features",
        output="scores",
        activation=plan.activation,
        files={},
        input_layout=plan.layout,
        exclusive=plan.exclusive,
        **placed,
    )

    def expected(audio: F32) -> F32:
        parts = list(parity.windows(manifest, audio))
        logits = [plan.reference(np.stack(parts[at : at + _TOGETHER])) for at in range(0, len(parts), _TOGETHER)]
        return parity.probabilities(np.concatenate(logits), plan.activation)

    return _finish(
        plan.module,
        manifest,
        make_labels(names, hidden=plan.hidden),
        out,
        expected=expected,
        architecture=checkpoint.architecture,
        card=card or _card(manifest),
        variant=variant,
        exact=plan.exact,
        notes=plan.notes,
        parameters=parameters,
        encoder=encoder,
        replace=replace,
        say=say,
    )


def write_torch_pack(
    model: Any,
    *,
    manifest: Manifest,
    labels: Sequence[Label],
    out: Path,
    card: str,
    variant: Variant | None = None,
    notes: Sequence[str] = (),
    exact: Sequence[str] = (),
    replace: bool = False,
    say: Say = lambda _: None,
) -> ExportReport:
    """Export a torch module of our own as a pack into the folder `out`.

    model: `forward(features, *states)` with plain positional parameters, features as the manifest's layout has them
    (B first), states in the order and shapes of `manifest.state`; gives logits (or probabilities where the activation
    is `none`), (B, C) or, of several rows a run, (B, F, C), and behind them the new states, as a tuple. manifest:
    complete but for `files`. card: CARD.md before the certificate. Raises StreamclfError where it cannot be exported
    or shows no parity.
    """
    check_target(out, replace=replace)
    model = model.eval()
    return _finish(
        model,
        manifest,
        labels,
        out,
        expected=lambda audio: module_rows(model, manifest, audio),
        architecture=type(model).__name__,
        card=card,
        variant=variant,
        exact=tuple(exact),
        notes=tuple(notes),
        parameters=sum(weight.numel() for weight in model.parameters()),
        replace=replace,
        say=say,
    )


def check_target(out: Path, *, replace: bool) -> None:
    """Raises UsageError where a pack cannot be put at `out`."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / "pack.toml").is_file():
        raise UsageError(f"{out} exists and is no pack; name a folder that does not exist yet")
    if not replace:
        raise UsageError(f"{out} holds a pack already; add --replace to put this one in its place")


def pack_name(text: str, variant: Variant | None = None) -> str:
    """A pack's name made from somebody's text, with the variant at its end."""
    ending = f"-{variant}" if variant else ""
    name = slug(text, limit=60 - len(ending)).replace("_", "-") or "model"
    return ("" if name[0].isalpha() else "m-") + name + ending


def _finish(
    module: Any,
    manifest: Manifest,
    labels: Sequence[Label],
    out: Path,
    *,
    expected: Callable[[F32], F32],
    architecture: str,
    card: str,
    variant: Variant | None,
    exact: tuple[str, ...],
    notes: tuple[str, ...],
    parameters: int,
    replace: bool,
    say: Say,
    encoder: Graph | None = None,
) -> ExportReport:
    if not NAME.fullmatch(manifest.name):
        raise UsageError(
            f"the name {manifest.name!r} cannot be used; take up to 64 of a-z, 0-9, '.', '_', '-', a letter first"
        )
    geometry.check(manifest)
    say("writing the graph")
    graph = _graph(module, manifest, exact)
    with _staging(out) as folder:
        making = Path(folder) / "pack"
        extra = {} if encoder is None else {ENCODER: encoder.model}
        pack, session = _open(making, manifest, graph.model, labels, extra)
        run_seconds = _run_seconds(session, manifest)
        audio = parity.signal(manifest.rate, parity.signal_length(manifest, run_seconds))
        say("comparing torch, ONNX and streaming")
        rows = expected(audio)
        measured = parity.measure(pack, session, audio, rows)
        parity.require(measured, manifest.name)
        lost: Loss | None = None
        if variant is not None:
            say(f"making the {variant} variant")
            model = make_variant(graph, variant)
            manifest = msgspec.structs.replace(manifest, batch=manifest.batch and batches(variant))
            fp32_size = len(graph.model) + sum(map(len, extra.values()))
            if encoder is not None and variant != "int8":
                extra = {ENCODER: make_variant(encoder, variant)}
            pack, session = _open(making, manifest, model, labels, extra)
            run_seconds = _run_seconds(session, manifest)
            wide, rows = rows, parity.stream(pack, session, audio).native
            lost = loss(variant, wide, rows, size=len(model) + sum(map(len, extra.values())), fp32_size=fp32_size)
        report = make_report(
            out,
            manifest,
            architecture=architecture,
            classes=len(labels),
            parameters=parameters,
            run_seconds=run_seconds,
            parity=measured,
            loss=lost,
            notes=notes,
        )
        golden = parity.golden_file(audio, rows)
        text = card.rstrip() + "\n" + card_section(report)
        write_pack(making, manifest, model=pack.model, labels=labels, card=text, golden=golden, extra=extra)
        load_pack(making)
        _place(making, out, replace=replace)
    return report


def _staging(out: Path) -> "tempfile.TemporaryDirectory[str]":
    """A folder beside `out`, so that what is made there can be moved into place whole."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".streamclf-", dir=out.parent)
    except OSError as fault:
        raise UsageError(f"nothing can be written beside {out}: {fault.strerror}; choose another --out") from None


def _run_seconds(session: Session, manifest: Manifest) -> float:
    """One run of the graph, and of the encoder on the frame that is new at each hop."""
    seconds = session.warm_up()
    if session.encode is None or not isinstance(manifest.features, Encoded):
        return seconds
    frame = np.zeros((1, manifest.features.frame_length), dtype=np.float32)
    return seconds + float(np.median(repeat(partial(session.encode, frame), number=1, repeat=20)))


def _graph(module: Any, manifest: Manifest, exact: tuple[str, ...]) -> Graph:
    import torch

    shape = (2, *geometry.layout_dims(manifest))
    features = torch.from_numpy(parity.signal(manifest.rate, int(np.prod(shape)))).reshape(shape)
    states = [torch.zeros([size or 2 for size in tensor.shape]) for tensor in manifest.state]
    return to_onnx(
        module.eval(),
        [features, *states],
        inputs=[manifest.input, *(tensor.input for tensor in manifest.state)],
        outputs=[manifest.output, *(tensor.output for tensor in manifest.state)],
        batch_axes=[0, *(tensor.batch_axis for tensor in manifest.state)],
        exact=exact,
    )


def _open(
    folder: Path, manifest: Manifest, model: bytes, labels: Sequence[Label], extra: Mapping[str, bytes]
) -> tuple[Pack, Session]:
    """Write, load and check a pack, and a session on it."""
    pack = load_pack(write_pack(folder, manifest, model=model, labels=labels, card="", extra=extra))
    return pack, Session(pack, provider=Provider.CPU, max_batch=_TOGETHER)


def _kept_encoder(plan: Plan) -> tuple[Plan, Graph | None]:
    """The plan with its encoder in a graph of its own, whose rows are kept, where every row is its frame's alone."""
    model = getattr(plan.module, "model", None)
    if not isinstance(plan.features, Waveform) or obstacle(model, normalise=plan.features.normalise == "window"):
        return plan, None
    cut = split(model, normalise=False)
    if hop_of(plan.rate) % cut.features.frame_shift:
        return plan, None
    note = "its encoder has a graph of its own: each 20 ms is encoded once and kept"
    kept = dataclasses.replace(
        plan, module=cut.head, features=cut.features, layout="time-bands", notes=(*plan.notes, note)
    )
    return kept, Graph(cut.graph())


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


def _place(making: Path, out: Path, *, replace: bool) -> None:
    check_target(out, replace=replace)
    try:
        if out.exists():
            shutil.rmtree(out)
        making.rename(out)
    except OSError as fault:
        raise UsageError(f"the pack cannot be put at {out}: {fault.strerror}; choose another --out") from None


def _card(manifest: Manifest) -> str:
    return (
        f"# {manifest.title}\n\nExported from {manifest.source}.\n\nLicence: {manifest.licence}. What it was trained "
        "on, and what it must not be used for, is told by the checkpoint's own card.\n"
    )
