"""A pack out of somebody else's ONNX graph: BirdNET, Perch, or what torch.onnx.export has just written.

The graph is asked for what it says (`asked`), its user has said the rest, and its ends are made to fit (`ends`). What
fits all the same is told with the pack; what does not is a sentence, with the lines of pack.toml that are known by
then. Nothing of it ships with streamclf: whoever adds it has taken the graph and its labels from their own source, and
says under which licence.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from onnx import ModelProto, TensorProto

from streamclf.clock import FRAME_MS, hop_of
from streamclf.errors import PackError, UsageError
from streamclf.model.adopt import output
from streamclf.model.adopt.asked import (
    Asked,
    Ending,
    Recurrence,
    Value,
    ask,
    ending,
    inferred,
    inputs_of,
    outputs_of,
    scores_of,
)
from streamclf.model.adopt.ends import Ends
from streamclf.model.adopt.input import Fed, feed
from streamclf.model.adopt.said import Adoption
from streamclf.model.adopt.weights import read_model
from streamclf.model.geometry import frame_of_row
from streamclf.model.labellists import read_lines
from streamclf.model.labels import make_labels, printable, slug
from streamclf.model.loader import NAME
from streamclf.model.pack import Constant, Manifest, Segmentation, StateTensor, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.types import Label, Shape

_SPECIES = re.compile(r"[A-Z][a-z-]+ [a-z-]+[^_]*_.")
_PERCH_RATE, _PERCH_WINDOW = 32_000, 160_000
_PERCH = Waveform(normalise="mean-peak", gain=0.25)
"""As its authors' own code prepares a window."""
_SHOWN = {
    "shares": ("none", "its rows are 0 to 1 and add up to 1 for every sound that was tried", True),
    "probabilities": (
        "none", "its values are 0 to 1 for every sound that was tried; --activation says otherwise", False
    ),
    "logarithms": ("softmax", "its rows are logarithms of what adds up to 1, for every sound that was tried", True),
}  # fmt: skip
"""What a graph's numbers show of their kind (`probe.kind_of_numbers`) -> activation, why, whether one label holds."""
_CARD = """# {title}

Added from a local file by `streamclf models add`; streamclf neither ships nor vouches for it.

* graph: {graph} (sha256 {digest}), {changed}
* labels: {labels} ({count})
* licence, as stated by whoever added it: {licence}
* {geometry}
* activation: {activation}

{notes}The graph was not checked for what it was trained on or how good it is: `streamclf eval` measures it on your
recordings.
"""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What has become of it. why: where the activation comes from. notes: what was taken for granted, a sentence
    each."""

    manifest: Manifest
    why: str
    notes: tuple[str, ...]


class NotTakenError(PackError):
    """A graph that `models add` cannot take by itself. lines: of pack.toml, as far as they are known."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


def adopt(folder: Path, graph: Path, labels: Path, said: Adoption) -> Adopted:
    """Write the pack into `folder`. Raises `PackError` or `UsageError`: no such graph, other labels than classes, no
    exact 20 ms, too little said; `NotTakenError` where a hand-written pack would do."""
    model = read_model(graph)
    before = hashlib.sha256(graph.read_bytes()).hexdigest()
    names = read_lines(labels)
    hop_of(said.rate)
    try:
        adopted, changes = _manifest(model, graph, names, said)
    except UsageError as fault:
        raise UsageError(f"{graph}: {fault}") from None
    except PackError as fault:
        raise NotTakenError(f"{graph}: {fault}", draft(graph, said, inputs_of(model.graph))) from None
    content = model.SerializeToString()
    manifest = msgspec.structs.replace(adopted.manifest, version=hashlib.sha256(content).hexdigest()[:8])
    card = _CARD.format(
        title=manifest.title,
        graph=printable(graph.name),
        digest=before,
        changed=f"its ends made to fit ({', '.join(changes)})" if changes else "unchanged",
        labels=printable(labels.name),
        count=len(names),
        licence=said.licence,
        geometry=_geometry(manifest),
        activation=f"{manifest.activation} ({adopted.why})",
        notes="".join(f"{note[:1].upper()}{note[1:]}.\n" for note in adopted.notes) + "\n" * bool(adopted.notes),
    )
    write_pack(folder, manifest, model=content, labels=species_labels(names, group=said.group), card=card)
    return replace(adopted, manifest=manifest)


def _manifest(model: ModelProto, graph: Path, names: Sequence[str], said: Adoption) -> tuple[Adopted, Sequence[str]]:
    """The manifest but for its version, and what was changed of the model for it."""
    asked = ask(model.graph, said.ends, rate=said.rate)
    stateful = bool(asked.states)
    said, heard = _as_perch(said, graph, asked.source)
    fed = feed(asked.source, said, stateful=stateful)
    scores = scores_of(outputs_of(model.graph), len(names), said.ends, asked.states)
    activation, why, exclusive = _activation(said, ending(model.graph, scores.name), len(names))
    sizes = scores.sizes
    if not sizes or None in sizes[1:]:
        sizes = inferred(model, {asked.source.name: fed.own}, scores.name) or sizes
    ends = Ends(model, asked.source.name, scores.name)
    constants = _fill(ends, asked, inputs_of(model.graph), fed)
    made = output.fit(ends, scores, sizes, len(names), fed=fed, rate=said.rate, stateful=stateful)
    fed.fit(ends)
    states = tuple(_state(one, asked.source) for one in asked.states)
    alone = any(one.given.sizes[state.batch_axis] == 1 for one, state in zip(asked.states, states, strict=True))
    shape = Shape.STATEFUL if stateful else Shape.WINDOW_FRAMES if made.framed else Shape.WINDOW_ROW
    manifest = Manifest(
        format=1,
        name=_name(said.name, graph),
        version="1",
        title=printable(graph.stem),
        licence=said.licence,
        source=f"local file {printable(graph.name)}",
        rate=said.rate,
        shape=shape,
        window=fed.window,
        step=fed.step if stateful else 0,
        look_ahead=_look_ahead(said, shape, fed.window, made.rows),
        features=fed.features,
        input=ends.source,
        input_layout=fed.layout,  # type: ignore[arg-type]  # one of its values: `feed` sees to it
        output=ends.output,
        activation=activation,  # type: ignore[arg-type]  # likewise
        exclusive=exclusive,
        rows_per_window=made.rows,
        batch=fed.batch and made.batch and not alone,
        state=states,
        constants=constants,
        segmentation=Segmentation(enter=said.enter, leave=0.7 * said.enter),
        files={},
    )
    if shape is Shape.WINDOW_ROW:
        manifest = msgspec.structs.replace(manifest, row_at=frame_of_row(manifest, hop_of(said.rate)))
    return Adopted(manifest, why, (*asked.notes, *heard, *fed.notes, *made.notes)), ends.changes


def _fill(ends: Ends, asked: Asked, inputs: Sequence[Value], fed: Fed) -> tuple[Constant, ...]:
    """Inputs that are the same in every run: those of one number stand in the manifest, the others in the graph."""
    kept = []
    for value in inputs:
        if value.name not in asked.constants:
            continue
        dtype, number = asked.constants[value.name]
        if not value.sizes and value.kind in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32):
            kept.append(Constant(value.name, dtype, number))  # type: ignore[arg-type]
            continue
        sizes: list[int | None] = []
        for axis, size in enumerate(value.sizes):
            if size is None and axis and axis >= len(fed.own):
                raise UsageError(f"{value.shown} has an axis of no known size; export it with the batch alone open")
            sizes.append(size or (fed.own[axis] if axis else None if fed.batch else 1))
        ends.fill_input(value.name, value.kind, number, sizes)
    return tuple(kept)


def _as_perch(said: Adoption, graph: Path, source: Value) -> tuple[Adoption, list[str]]:
    """With the samples as Perch wants them, where the file is called so and takes its 5 s at 32 kHz, and nothing else
    was said of them; and a note of that."""
    named = "perch" in graph.stem.lower() and said.features is None
    if not (named and said.rate == _PERCH_RATE and source.sizes[-1:] == (_PERCH_WINDOW,)):
        return said, []
    note = "it is called Perch and takes its window, so the mean of each is taken away and its peak brought to 0.25 "
    return replace(said, features=_PERCH), [note + "(--waveform normalise=none leaves samples as they are)"]


def draft(graph: Path, said: Adoption, inputs: Sequence[Value]) -> list[str]:
    """Lines of a pack.toml to go on from, with what is known of the graph."""
    return [
        "format = 1",
        f'name = "{_name(said.name, graph)}"',
        'version = "1"',
        f"title = {json.dumps(printable(graph.stem), ensure_ascii=False)}",
        f"licence = {json.dumps(printable(said.licence), ensure_ascii=False)}",
        f"source = {json.dumps(f'local file {printable(graph.name)}', ensure_ascii=False)}",
        f"rate = {said.rate}",
        'shape = "window-row"      # or window-frames, stateful',
        f"window = {round((said.window_ms or 1000) * said.rate / 1000)}            # samples of one input",
        f"look_ahead = {round((said.look_ahead_ms or 0) * said.rate / 1000)}            # samples that a row waits for",
        f'input = "{inputs[0].name if inputs else ""}"       # {", ".join(value.shown for value in inputs)}',
        f'activation = "{said.activation or "sigmoid"}"',
        "",
        "[features]",
        'kind = "waveform"         # or logmel, fbank, image',
    ]


def species_labels(names: Sequence[str], *, group: str) -> list[Label]:
    """Labels of lines such as `Turdus merula_Eurasian Blackbird`: id of the first part, both parts to read.

    So they are read where half of the lines or more begin with a genus and a species; in `dog_bark` a `_` is a space.
    """
    of_species = 2 * sum(_SPECIES.match(name) is not None for name in names) >= len(names)
    split = [name.partition("_") if of_species else (name, "", "") for name in names]
    parts = [(first.strip(), second.strip()) for first, _, second in split]
    made = make_labels([first for first, _ in parts])
    return [
        Label(label.id, label.name if second in ("", first) else printable(f"{second} ({first})"), group)
        for label, (first, second) in zip(made, parts, strict=True)
    ]


def _activation(said: Adoption, end: Ending, classes: int) -> tuple[str, str, bool]:
    """(activation, why, whether exactly one class holds at a time)."""
    if said.activation:
        if said.activation != "none" and end != "open":
            raise UsageError(
                f"--activation {said.activation} would be a second one: the graph ends with a {end}; leave it out"
            )
        return said.activation, "as stated", (said.activation == "softmax" or end == "softmax") and classes > 1
    if end != "open":
        return "none", f"the graph ends with a {end}", end == "softmax" and classes > 1
    if said.shown:
        return _SHOWN[said.shown]
    return (
        "sigmoid",
        "the graph ends without one, and a sigmoid for each label is usual; --activation says otherwise",
        False,
    )


def _look_ahead(said: Adoption, shape: Shape, window: int, rows_per_window: int) -> int:
    hop = hop_of(said.rate)
    if said.look_ahead_ms is not None and said.row_at_ms is not None:
        raise UsageError("--look-ahead-ms and --row-at-ms say the same; give one of them")
    if said.row_at_ms is not None:
        if shape is not Shape.WINDOW_ROW or not 0 <= said.row_at_ms * said.rate / 1000 <= window - hop:
            raise UsageError("--row-at-ms is where in its window a graph's one row belongs; give a place inside of it")
        return window - hop - round(said.row_at_ms * said.rate / 1000)
    if said.look_ahead_ms is not None:
        return round(said.look_ahead_ms * said.rate / 1000)
    return {Shape.WINDOW_ROW: window // 2, Shape.STATEFUL: (rows_per_window - 1) * hop}.get(shape, 0)


def _state(one: Recurrence, source: Value) -> StateTensor:
    """With a 0 where the batch stands. Raises `UsageError` where that is open."""
    sizes, axes = one.given.sizes, one.given.axes
    named = [axis for axis, name in enumerate(axes) if name and source.axes and name == source.axes[0]]
    free = [axis for axis, size in enumerate(sizes) if size is None]
    ones = [axis for axis, size in enumerate(sizes) if size == 1]
    at = named[:1] or (free if len(free) == 1 else []) or ([] if free else ones[:1])
    shape = tuple(0 if axis in at else size for axis, size in enumerate(sizes))
    if not at or None in shape:
        raise PackError(f"the state {one.given.shown} has axes of no fixed size; export it with the batch alone open")
    dtype = "float16" if one.given.kind == TensorProto.FLOAT16 else "float32"
    return StateTensor(one.given.name, one.made.name, tuple(size or 0 for size in shape), dtype)  # type: ignore[arg-type]


def _name(wanted: str, graph: Path) -> str:
    name = wanted or slug(graph.stem).replace("_", "-") or "model"
    return name if NAME.fullmatch(name) or wanted else f"model-{name}"


def _geometry(manifest: Manifest) -> str:
    rate = manifest.rate
    window = f"a window of {manifest.window} samples at {rate} Hz"
    if manifest.shape is Shape.WINDOW_ROW:
        return f"{window}; its row comes {1000 * manifest.look_ahead / rate:.0f} ms after the frame that it stands for"
    if manifest.shape is Shape.STATEFUL:
        return f"{window}, {manifest.step} of them new; its state is kept from run to run"
    return f"{window}, {manifest.rows_per_window} rows of {FRAME_MS} ms each"
