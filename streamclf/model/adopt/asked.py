"""What a graph says of itself: its inputs, which of them are states, which output is the scores, how it ends.

Nothing of it is run.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, shape_inference

from streamclf.errors import PackError, UsageError
from streamclf.model.adopt.said import NamedEnds
from streamclf.text import one_line

Sizes = tuple[int | None, ...]
"""Sizes of a value's axes, None for one that the graph leaves open."""
Ending = Literal["sigmoid", "softmax", "open"]
"""What the graph does to its scores at last; open: nothing that is known to make probabilities."""

_SOUND: set[int] = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT16}
_STATES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
_WHOLE: dict[int, str] = {TensorProto.INT64: "int64", TensorProto.INT32: "int32"}
_RATE = re.compile(r"(sr|fs|rate|sample_?rate|sampling_?rate|sample_?freq\w*)", re.IGNORECASE)
_PLACES = re.compile(r"(?<![a-z])(in|out|input|output|new|next|old|prev|previous|cur|current|n)(?![a-z])")
# what may follow a sigmoid or a softmax without making anything else of a probability
_WHOLE_PIXELS = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32)
_HARMLESS = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Cast", "Slice", "Gather", "Clip",
             "ReduceMean", "ReduceMax", "GlobalAveragePool", "AveragePool", "MaxPool", "Dropout"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output. axes: the name that the graph gives an open axis, "" for none."""

    name: str
    kind: int
    sizes: Sizes
    axes: tuple[str, ...]

    @property
    def shown(self) -> str:
        """For people."""
        sizes = (str(size) if size else name or "any" for size, name in zip(self.sizes, self.axes, strict=True))
        return f"{one_line(self.name)[:60]} ({', '.join(sizes)})"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A state: the graph's input and output of it."""

    given: Value
    made: Value


@dataclass(frozen=True, slots=True)
class Asked:
    """What the graph takes and gives. constants: name -> type of pack.toml and value. notes: what was concluded."""

    source: Value
    states: tuple[Recurrence, ...]
    constants: Mapping[str, tuple[str, int | float]]
    notes: tuple[str, ...]


def inputs_of(graph: GraphProto) -> tuple[Value, ...]:
    """In the graph's order, without weights."""
    stored = {tensor.name for tensor in graph.initializer}
    return tuple(_value(one) for one in graph.input if one.name not in stored)


def outputs_of(graph: GraphProto) -> tuple[Value, ...]:
    """In the graph's order."""
    return tuple(_value(one) for one in graph.output)


def ask(graph: GraphProto, said: NamedEnds, *, rate: int) -> Asked:
    """Which input is which. rate: in Hz, for a graph that asks for it. Raises `PackError` or `UsageError`."""
    inputs = {value.name: value for value in inputs_of(graph)}
    outputs = {value.name: value for value in outputs_of(graph)}
    _check_names(said, inputs, outputs)
    notes: list[str] = []
    constants = _constants(inputs, said, rate, notes)
    open_inputs = [value for name, value in inputs.items() if name not in constants and value.kind in _SOUND]
    strange = [value.shown for name, value in inputs.items() if name not in constants and value.kind not in _SOUND]
    pictures = [
        value.shown
        for name, value in inputs.items()
        if name not in constants and value.kind in _WHOLE_PIXELS and len(value.sizes) == 4
    ]
    if pictures:
        raise PackError(f"{pictures[0]} takes whole numbers, as of an image file; export it with an input of float32, "
                        "which --image KEY=VALUE fills (bytes=true for values of 0 to 255)")  # fmt: skip
    if strange and not open_inputs:
        raise UsageError(f"{strange[0]} takes whole numbers, of which nothing says how loud they are; export it with "
                         "an input of float32 (-1 to 1) or int16")  # fmt: skip
    if strange:
        raise UsageError(f"nothing says what goes into {strange[0]}; state a value that is the same in every run with "
                         f"--constant {strange[0].split(' ')[0]}=VALUE (of a mask 1; of a length that of a window, in "
                         "its own unit; of a switch 0 or 1)")  # fmt: skip
    states = [Recurrence(inputs[a], outputs[b]) for a, b in said.states.items()]
    left = [value for value in open_inputs if value.name not in said.states]
    if len(left) > 1:
        source, more = _told_apart(left, [v for v in outputs.values() if v.name != said.output], said, notes)
        states += more
    elif left:
        (source,) = left
    else:
        raise PackError("the graph takes nothing that sound could go into; export one that takes a waveform or a "
                        "spectrogram")  # fmt: skip
    for state in states:
        if state.given.kind not in _STATES:
            raise PackError(f"the state {state.given.shown} is neither float32 nor float16; export it so")
    return Asked(source, tuple(states), constants, tuple(notes))


def scores_of(outputs: Sequence[Value], classes: int, said: NamedEnds, states: Sequence[Recurrence]) -> Value:
    """The output that has a score for each of so many labels. Raises `PackError` or `UsageError`."""
    for value in outputs:
        if not value.kind and (not said.output or value.name == said.output):
            raise UsageError(
                f"its output {value.name} is a list or a table of names, as scikit-learn's converter writes it; export "
                "it with options={'zipmap': False}, or name another with --output"
            )
    made = {state.made.name for state in states}
    free = [value for value in outputs if value.name not in made and (not said.output or value.name == said.output)]
    fits = [value for value in free if classes in value.sizes[1:] or value.sizes == (classes,)] or [
        value
        for value in free
        if None in value.sizes[1:] or not value.sizes or (classes == 1 and len(value.sizes) == 1)
    ]
    if len(fits) > 1:
        named = [value for value in fits if re.search(r"prob|score|logit|pred|label|class", value.name, re.IGNORECASE)]
        fits = named if len(named) == 1 else fits
    if len(fits) == 1:
        return fits[0]
    shown = ", ".join(value.shown for value in free)
    if not fits:
        raise UsageError(f"it gives {shown or 'nothing'}, and the file of labels has {classes} labels; they have to be "
                         "the same model's")  # fmt: skip
    raise UsageError(f"{len(fits)} of its outputs could be the scores: {shown}; name the one that is with --output")


def inferred(model: ModelProto, fixed: Mapping[str, Sequence[int]], name: str) -> Sizes | None:
    """Sizes of output `name` once the inputs have these sizes; None where ONNX cannot tell."""
    small = ModelProto()
    small.CopyFrom(model)
    for value in small.graph.input:
        if value.name in fixed:
            dims = value.type.tensor_type.shape.dim
            for dim, size in zip(dims, fixed[value.name], strict=False):
                dim.dim_value = size
    del small.graph.value_info[:]
    for value in small.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        known = shape_inference.infer_shapes(small, data_prop=True)
    except Exception:  # onnx raises unrelated types; a model over 2 GiB, operators that it does not know
        return None
    found = next(value for value in known.graph.output if value.name == name)
    return _value(found).sizes if found.type.tensor_type.HasField("shape") else None


def ending(graph: GraphProto, output: str) -> Ending:
    """What makes the values of `output` probabilities, as far back as nothing else happens to them."""
    makers = {name: node for node in graph.node for name in node.output}
    while (node := makers.get(output)) is not None:
        if node.op_type in ("Sigmoid", "HardSigmoid"):
            return "sigmoid"
        if node.op_type == "Softmax":
            return "softmax"
        if node.op_type not in _HARMLESS:
            break
        output = node.input[0]
    return "open"


def _value(value: ValueInfoProto) -> Value:
    kind = value.type.tensor_type
    dims = kind.shape.dim
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)
    return Value(value.name, kind.elem_type, sizes, tuple(dim.dim_param for dim in dims))


def _check_names(said: NamedEnds, inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> None:
    for option, wanted, there in (
        ("--input", [said.input] if said.input else [], inputs),
        ("--output", [said.output] if said.output else [], outputs),
        ("--state", list(said.states), inputs),
        ("--state", list(said.states.values()), outputs),
        ("--constant", list(said.constants), inputs),
    ):
        for name in wanted:
            if name not in there:
                what = "input" if there is inputs else "output"
                shown = ", ".join(value.shown for value in there.values())
                raise UsageError(f"{option} names {name!r}, and the graph has no such {what}, only {shown}; correct it")


def _constants(
    inputs: Mapping[str, Value], said: NamedEnds, rate: int, notes: list[str]
) -> dict[str, tuple[str, int | float]]:
    found: dict[str, tuple[str, int | float]] = {}
    for name, value in inputs.items():
        if name in said.constants:
            dtype = _WHOLE.get(value.kind, "float32")
            found[name] = (dtype, said.constants[name] if dtype == "float32" else int(said.constants[name]))
        elif value.kind in _WHOLE and _RATE.fullmatch(name) and value.sizes in ((), (1,)):
            found[name] = (_WHOLE[value.kind], rate)
            notes.append(f"its input {name} is taken for the sample rate and gets {rate}")
    return found


def _told_apart(
    left: Sequence[Value], outputs: Sequence[Value], said: NamedEnds, notes: list[str]
) -> tuple[Value, list[Recurrence]]:
    """The input that takes the sound, and the states: the inputs that an output of the same shape answers."""
    answers = {value.name: [out for out in outputs if _alike(value, out)] for value in left}
    deaf = [value for value in left if not answers[value.name]]
    if said.input:
        (source,) = (value for value in left if value.name == said.input)
    elif len(deaf) == 1:
        source = deaf[0]
    elif not deaf and len(left) == len(outputs):
        # as many inputs as outputs, one of which is the scores: exports name the sound first
        source = left[0]
        notes.append(f"its first input {source.name} is taken for the sound, and the others for states")
    else:
        shown = ", ".join(value.shown for value in left)
        raise UsageError(f"several inputs could take the sound: {shown}; name it with --input, and each state with "
                         "--state INPUT=OUTPUT")  # fmt: skip
    states: list[Recurrence] = []
    for value in left:
        if value is source:
            continue
        free = [out for out in answers[value.name] if out not in [state.made for state in states]]
        if not free:
            raise UsageError(f"no output answers the input {value.shown}; state it as --state INPUT=OUTPUT, or as "
                             "--constant INPUT=VALUE where it is the same in every run (1 of a mask)")  # fmt: skip
        close = sorted(free, key=lambda out: -_similar(value.name, out.name))
        made = close[0] if _similar(value.name, close[0].name) > 0.5 else free[0]
        states.append(Recurrence(value, made))
        notes.append(f"the state {value.name} is what {made.name} gave before")
    return source, states


def _alike(given: Value, made: Value) -> bool:
    """Whether one could be the state that the other gives; sizes that are open fit all."""
    if given.kind != made.kind:
        return False
    if not made.sizes:
        return True
    pairs = list(zip(given.sizes, made.sizes, strict=False))
    return len(given.sizes) == len(made.sizes) and all(a == b or a is None or b is None for a, b in pairs)


def _similar(a: str, b: str) -> float:
    first, second = (_PLACES.sub("", re.sub(r"[\W_.:]+", " ", name.lower())).strip() for name in (a, b))
    return difflib.SequenceMatcher(None, first, second).ratio()
