"""From a model in torch to a verified pack: graph, pack, parity with the original, certificate.

`write_torch_pack` takes a module of our own whose manifest is known; `checkpoint.py` makes an `Export` of a checkpoint
of transformers. Both go the same way, and nothing is written to where the user asked until parity has been shown.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import Any

import msgspec
import numpy as np

from streamclf.clock import hop_of
from streamclf.engine.verify import hears_out
from streamclf.errors import UsageError
from streamclf.features.frontend import make_frontend
from streamclf.model import geometry, swap
from streamclf.model.labels import slug
from streamclf.model.loader import ENCODER, NAME, load_pack
from streamclf.model.pack import Encoded, Manifest, Pack
from streamclf.model.packwriter import write_pack
from streamclf.model.session import Session
from streamclf.train.export import parity
from streamclf.train.export.agreement import Agreement
from streamclf.train.export.certificate import ExportReport, card_section, make_report
from streamclf.train.export.onnxgraph import Graph, to_onnx
from streamclf.train.export.quantise import Loss, Variant, batches, loss, make_variant
from streamclf.train.export.torchrows import module_rows
from streamclf.types import F32, Label, Provider

Say = Callable[[str], None]
Agree = Callable[..., Agreement]
"""`agreement.measure` but for the pack, its session and what a run of it takes."""
TOGETHER = 4
# a probability that moves by less over the whole parity signal
_STILL = 0.01


@dataclass(frozen=True, slots=True)
class Export:
    """A model on its way to a pack, and what its rows are held against.

    module: gives logits, see `write_torch_pack`. expected: rows by torch. exact: beginnings of the names of weights
    that a variant must not round. encoder: graph of its own, None where there is none. agree: measures the agreement
    of running statistics with the checkpoint, None where they are not used. card: of CARD.md, before the certificate.
    beside: names of what `module` gives behind the logits, for those who read the graph themselves.
    """

    module: Any
    manifest: Manifest
    labels: Sequence[Label]
    expected: parity.Expected
    architecture: str
    parameters: int
    card: str
    variant: Variant | None = None
    exact: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    encoder: Graph | None = None
    agree: Agree | None = None
    beside: tuple[str, ...] = ()


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
    is `none`), (B, C) or, of several rows a run, (B, F, C), and behind them the new states, as a tuple; last of all
    what the manifest's `embedding` names, if it does. manifest: complete but for `files`. card: CARD.md before the
    certificate. Raises StreamclfError where it cannot be exported
    or shows no parity.
    """
    check_target(out, replace=replace)
    model = model.eval()
    export = Export(
        module=model,
        manifest=manifest,
        labels=labels,
        expected=lambda audio: module_rows(model, manifest, audio),
        architecture=type(model).__name__,
        parameters=sum(weight.numel() for weight in model.parameters()),
        card=card,
        variant=variant,
        exact=tuple(exact),
        notes=tuple(notes),
        beside=(manifest.embedding,) if manifest.embedding else (),
    )
    return export_pack(export, out, replace=replace, say=say)


def check_target(out: Path, *, replace: bool) -> None:
    """Raises UsageError where a pack cannot be put at `out`."""
    if out.name:
        swap.recover(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / "pack.toml").is_file():
        raise UsageError(f"{out} exists and is not a pack; name a folder that does not exist yet")
    if beside := sorted(entry.name for entry in out.iterdir() if entry.is_dir()):
        raise UsageError(f"{out} holds the folder {beside[0]}, which is not part of a pack; name another folder")
    if not replace:
        raise UsageError(f"{out} holds a pack already; add --replace to put this one in its place")


def pack_name(text: str, variant: Variant | None = None) -> str:
    """A pack's name made from somebody's text, with the variant at its end."""
    ending = f"-{variant}" if variant else ""
    name = slug(text, limit=60 - len(ending)).replace("_", "-") or "model"
    return ("" if name[0].isalpha() else "m-") + name + ending


def export_pack(export: Export, out: Path, *, replace: bool, say: Say) -> ExportReport:
    """Make the pack beside `out`, prove it, and put it there. Raises StreamclfError where it shows no parity."""
    if not NAME.fullmatch(export.manifest.name):
        raise UsageError(
            f"the name {export.manifest.name!r} cannot be used; take up to 64 of a-z, 0-9, '.', '_', '-', a letter "
            "first"
        )
    geometry.check(export.manifest)
    with _staging(out) as folder:
        making = Path(folder) / "pack"
        made = _proved(export, making, say)
        if export.variant is not None:
            made = _varied(export, made, making, export.variant, say)
        held: Agreement | None = None
        if export.agree is not None:
            say("measuring the agreement with the checkpoint")
            held = export.agree(made.pack, made.session, run_seconds=made.run_seconds)
        report = make_report(
            out,
            made.manifest,
            architecture=export.architecture,
            classes=len(export.labels),
            parameters=export.parameters,
            run_seconds=made.run_seconds,
            parity=made.parity,
            loss=made.loss,
            agreement=held,
            notes=made.notes,
        )
        write_pack(
            making,
            made.manifest,
            model=made.pack.model,
            labels=export.labels,
            card=export.card.rstrip() + "\n" + card_section(report),
            golden=parity.golden_file(made.audio, made.rows),
            extra=made.extra,
        )
        hears_out(load_pack(making), made.session)
        _place(making, out, replace=replace)
    return report


@dataclass(frozen=True, slots=True)
class _Made:
    """A pack that has been written and run. audio, rows: the parity signal and what the pack gives for it."""

    manifest: Manifest
    graph: Graph
    extra: Mapping[str, bytes]
    pack: Pack
    session: Session
    run_seconds: float
    audio: F32
    rows: F32
    parity: parity.Parity
    notes: tuple[str, ...]
    loss: Loss | None = None


def _proved(export: Export, making: Path, say: Say) -> _Made:
    """The pack in full precision, its rows those of torch. Raises StreamclfError where they are not."""
    manifest = export.manifest
    say("writing the graph")
    graph = _graph(export.module, manifest, export.exact, export.beside)
    extra = {} if export.encoder is None else {ENCODER: export.encoder.model}
    pack, session = _open(making, manifest, graph.model, export.labels, extra)
    run_seconds = _run_seconds(session, manifest)
    audio = parity.signal(manifest.rate, parity.signal_length(manifest, run_seconds))
    say("comparing torch, ONNX and streaming")
    rows = export.expected(audio)
    measured = parity.measure(pack, session, audio, rows)
    parity.require(measured, manifest.name)
    notes = export.notes
    if np.ptp(rows, axis=(0, 1)).max() < _STILL:
        notes = (
            *notes,
            "its probabilities hardly move over the parity signal, so that parity proves little; make sure that "
            "its features are those it was trained with",
        )
    return _Made(manifest, graph, extra, pack, session, run_seconds, audio, rows, measured, notes)


def _varied(export: Export, wide: _Made, making: Path, variant: Variant, say: Say) -> _Made:
    """The pack in less precision, and what that costs."""
    say(f"making the {variant} variant")
    model, extra = make_variant(wide.graph, variant), wide.extra
    manifest = msgspec.structs.replace(wide.manifest, batch=wide.manifest.batch and batches(variant))
    if export.encoder is not None and variant != "int8":
        extra = {ENCODER: make_variant(export.encoder, variant)}
    pack, session = _open(making, manifest, model, export.labels, extra)
    rows = parity.stream(pack, session, wide.audio).native
    fp32_size = len(wide.graph.model) + sum(map(len, wide.extra.values()))
    return dataclasses.replace(
        wide,
        manifest=manifest,
        extra=extra,
        pack=pack,
        session=session,
        run_seconds=_run_seconds(session, manifest),
        rows=rows,
        loss=loss(variant, wide.rows, rows, size=len(model) + sum(map(len, extra.values())), fp32_size=fp32_size),
    )


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


def _graph(module: Any, manifest: Manifest, exact: tuple[str, ...], beside: tuple[str, ...]) -> Graph:
    import torch

    shape = (2, *geometry.layout_dims(manifest))
    features = torch.from_numpy(parity.signal(manifest.rate, int(np.prod(shape)))).reshape(shape)
    states = [torch.zeros([size or 2 for size in tensor.shape]) for tensor in manifest.state]
    return to_onnx(
        module.eval(),
        [features, *states],
        inputs=[manifest.input, *(tensor.input for tensor in manifest.state)],
        outputs=[manifest.output, *(tensor.output for tensor in manifest.state), *beside],
        batch_axes=[0, *(tensor.batch_axis for tensor in manifest.state)],
        exact=exact,
    )


def _open(
    folder: Path, manifest: Manifest, model: bytes, labels: Sequence[Label], extra: Mapping[str, bytes]
) -> tuple[Pack, Session]:
    """Write, load and check a pack, and a session on it."""
    pack = load_pack(write_pack(folder, manifest, model=model, labels=labels, card="", extra=extra))
    return pack, Session(pack, provider=Provider.CPU, max_batch=TOGETHER)


def _place(making: Path, out: Path, *, replace: bool) -> None:
    check_target(out, replace=replace)
    try:
        swap.put(making, out)
    except OSError as fault:
        raise UsageError(f"the pack cannot be put at {out}: {fault.strerror}; choose another --out") from None
