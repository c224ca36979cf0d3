"""From a torch module to the bytes of an ONNX graph: batch axis free, nothing in it of the machine it was made on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from streamclf.errors import StreamclfError
from streamclf.train.pretrained import first_sentence, quiet

_SCOPES = "pkg.torch.onnx.name_scopes"
_GIVEN = "streamclf_given_"
_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Graph:
    """model: the ONNX file. exact: names of the nodes whose arithmetic must stay float32 in every variant."""

    model: bytes
    exact: tuple[str, ...] = ()


def to_onnx(
    module: Any,
    examples: Sequence[Any],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    batch_axes: Sequence[int],
    exact: Sequence[str] = (),
) -> Graph:
    """Export `module` (in eval mode, plain positional parameters) by torch's graph capture.

    examples: one tensor an input, of batch size 2. batch_axes: which of each one's axes counts the batch. exact:
    submodules, by attribute path, whose nodes are to be named. Raises StreamclfError where torch cannot capture it.
    """
    import torch

    try:
        with torch.no_grad(), quiet():
            program = torch.onnx.export(
                module,
                tuple(examples),
                input_names=list(inputs),
                output_names=[f"{_GIVEN}{name}" for name in outputs],
                dynamic_shapes=tuple({axis: "batch"} for axis in batch_axes),
                dynamo=True,
                verbose=False,
                external_data=False,
            )
            assert program is not None
            proto = program.model_proto
    except Exception as fault:  # the capture and the translation raise what they like
        raise StreamclfError(
            f"torch cannot export {type(module).__name__} to ONNX: {first_sentence(fault)}; "
            "report it with the checkpoint's config.json"
        ) from fault
    kept = _scoped(proto, exact)
    _rename_outputs(proto)
    clean(proto)
    if proto.ByteSize() > _LIMIT:
        raise StreamclfError(
            f"the graph has {proto.ByteSize() / 1e9:.1f} GB, more than the 2 GB that one ONNX file can hold; "
            "take a smaller checkpoint"
        )
    return Graph(proto.SerializeToString(deterministic=True), kept)


def clean(proto: onnx.ModelProto) -> None:
    """Remove what a graph does not need: stale shapes, and notes of paths and source lines."""
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    proto.doc_string = ""
    graph = proto.graph
    del graph.metadata_props[:]
    graph.doc_string = ""
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _rename_outputs(proto: onnx.ModelProto) -> None:
    """Give outputs their names, and another one to what bears one of them inside: the model's parts name themselves."""
    graph = proto.graph
    given = {output.name: output.name.removeprefix(_GIVEN) for output in graph.output}
    inside = {name for node in graph.node for name in node.output} | {value.name for value in graph.initializer}
    names = {**{name: f"{name}_within" for name in inside & set(given.values())}, **given}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (*graph.initializer, *graph.output):
        value.name = names.get(value.name, value.name)


def _scoped(proto: onnx.ModelProto, paths: Sequence[str]) -> tuple[str, ...]:
    """Names of the nodes that come from one of the submodules."""
    found = []
    for node in proto.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
        if any(f"'{path}'" in scopes for path in paths):
            found.append(node.name)
    return tuple(found)
