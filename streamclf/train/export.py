"""From a model in torch to a verified pack: graph, pack, parity with the original, certificate.

`export_checkpoint` takes a transformers checkpoint, `write_torch_pack` a module of our own whose manifest is known.
Both go the same way, and nothing is written to where the user asked until parity has been shown.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import Any

import msgspec
import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import PackError, RateError, StreamclfError, UsageError
from streamclf.features.frontend import make_frontend
from streamclf.model import geometry, swap
from streamclf.model.labels import check_count, make_labels, printable, slug
from streamclf.model.loader import ENCODER, NAME, load_pack
from streamclf.model.pack import Encoded, Manifest, Pack, Waveform
from streamclf.model.session import Session
from streamclf.model.writer import write_pack
from streamclf.train import agreement, parity
from streamclf.train.agreement import Agreement
from streamclf.train.certificate import ExportReport, card_section, make_report
from streamclf.train.families import family_of
from streamclf.train.families.family import Plan, Wishes, manifest_geometry
from streamclf.train.kept import keep_encoder, running_rows
from streamclf.train.onnxgraph import Graph, to_onnx
from streamclf.train.pretrained import CheckpointError, first_sentence, load_checkpoint
from streamclf.train.quantise import Loss, Variant, batches, loss, make_variant
from streamclf.train.rows import module_rows
from streamclf.types import F32, Label, Provider, Shape

Say = Callable[[str], None]
Agree = Callable[..., Agreement]
"""`agreement.measure` but for the pack, its session and what a run of it takes."""
_TOGETHER = 4
# a probability that moves by less over the whole parity signal
_STILL = 0.01


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
    if wishes.settings and not family.takes_settings:
        raise UsageError(
            f"{checkpoint.architecture} states its features itself; leave --feature {next(iter(wishes.settings))} out"
        )
    say(f"{checkpoint.origin}: {checkpoint.architecture} ({family.title}, {family.output})")
    stated = UsageError if wishes.settings else CheckpointError
    try:
        plan = family.plan(checkpoint, wishes)
        names = plan.names if labels is None else tuple(labels)
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
            **manifest_geometry(plan, wishes),
        )
        geometry.check(manifest)
    except RateError as fault:
        raise stated(f"{source} cannot be placed on 20 ms frames: {fault}") from None
    except PackError as fault:
        raise stated(f"{source} cannot become a pack: {fault}") from None
    if labels is None:
        check_count(names, _classes(plan), f"`id2label` of {source}")
    else:
        check_count(names, _classes(plan), "the list of labels", fault=UsageError)
    parameters = sum(weight.numel() for weight in plan.module.parameters())
    normalise = plan.features == Waveform(normalise="window")
    plan, cut = keep_encoder(plan, wishes)
    manifest = msgspec.structs.replace(manifest, features=plan.features, input_layout=plan.layout)

    def windowed(audio: F32) -> F32:
        parts = list(parity.windows(manifest, audio))
        logits = [plan.reference(np.stack(parts[at : at + _TOGETHER])) for at in range(0, len(parts), _TOGETHER)]
        return parity.probabilities(np.concatenate(logits), plan.activation)

    expected: parity.Expected = windowed
    agree: Agree | None = None
    if cut is not None and wishes.running_statistics:
        heard = agreement.recordings(measure_on, plan.rate, window=plan.window)
        agree = partial(agreement.measure, heard=heard, exact=plan.reference, undivided=cut.undivided)
        expected = running_rows(cut, manifest, normalise=normalise)
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
        encoder=None if cut is None else cut.onnx(),
        agree=agree,
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
    if out.name:
        swap.recover(out)
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
    agree: Agree | None = None,
) -> ExportReport:
    if not NAME.fullmatch(manifest.name):
        raise UsageError(
            f"the name {manifest.name!r} cannot be used; take up to 64 of a-z, 0-9, '.', '_', '-', a letter first"
        )
    geometry.check(manifest)
    with _staging(out) as folder:
        say("writing the graph")
        graph = _graph(module, manifest, exact)
        making = Path(folder) / "pack"
        extra = {} if encoder is None else {ENCODER: encoder.model}
        pack, session = _open(making, manifest, graph.model, labels, extra)
        run_seconds = _run_seconds(session, manifest)
        audio = parity.signal(manifest.rate, parity.signal_length(manifest, run_seconds))
        say("comparing torch, ONNX and streaming")
        rows = expected(audio)
        measured = parity.measure(pack, session, audio, rows)
        parity.require(measured, manifest.name)
        if np.ptp(rows, axis=(0, 1)).max() < _STILL:
            notes = (
                *notes,
                "its probabilities hardly move over the parity signal, so that parity proves little; make sure that "
                "its features are those it was trained with",
            )
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
        held: Agreement | None = None
        if agree is not None:
            say("measuring the agreement with the checkpoint")
            held = agree(pack, session, run_seconds=run_seconds)
        report = make_report(
            out,
            manifest,
            architecture=architecture,
            classes=len(labels),
            parameters=parameters,
            run_seconds=run_seconds,
            parity=measured,
            loss=lost,
            agreement=held,
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
    """CPU time of one run of the graph, and of the encoder on the frame that is new at each hop.

    What a run takes of this machine must not depend on what else it is doing.
    """
    seconds = session.warm_up(time.thread_time)
    if session.encode is None or not isinstance(manifest.features, Encoded):
        return seconds
    frontend = make_frontend(manifest.features, manifest.rate, history=manifest.window, encode=session.encode)
    frontend.push(np.zeros(manifest.window, dtype=np.float32))
    new = np.zeros(hop_of(manifest.rate), dtype=np.float32)
    times = repeat(partial(frontend.push, new), timer=time.thread_time, number=1, repeat=20)
    return seconds + float(np.median(times))


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
        swap.put(making, out)
    except OSError as fault:
        raise UsageError(f"the pack cannot be put at {out}: {fault.strerror}; choose another --out") from None


def _card(manifest: Manifest) -> str:
    return (
        f"# {manifest.title}\n\nExported from {manifest.source}.\n\nLicence: {manifest.licence}. What it was trained "
        "on, and what it must not be used for, is told by the checkpoint's own card.\n"
    )
