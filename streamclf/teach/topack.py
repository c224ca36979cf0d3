"""What was taught as a pack of its own: the host's graph with the heads behind it, which runs where no store is."""

from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.engine.embed import Host
from streamclf.engine.heads import Heads
from streamclf.engine.taughtpack import segmentation_of
from streamclf.errors import PackError
from streamclf.model.packwriter import write_pack
from streamclf.types import Label

_OUTPUT = "taught_scores"
_CARD = """# {name}

What somebody has taught by example, as a pack: {count} classes on the embeddings of {host} ({title}).

The weights before the heads are those of {host}, under its licence: {licence}. The heads are fitted to the examples of
one place; how well they know its sounds elsewhere nobody has measured.
"""


def write_taught(folder: Path, name: str, host: Host, heads: Heads, labels: list[Label]) -> Path:
    """Write the pack into `folder`. labels: of the heads' columns. Raises `PackError` where there are none."""
    if not labels:
        raise PackError("nothing that was taught can be used, so there is no pack to write; `streamclf teach list`")
    graph = host.graph.manifest
    manifest = msgspec.structs.replace(
        graph,
        name=name,
        version=f"{graph.version}+{len(labels)}",
        title=f"Taught by example: {', '.join(label.name for label in labels)}"[:200],
        source=f"examples shown to streamclf, on {graph.name} {graph.version}",
        output=_OUTPUT,
        embedding="",
        activation="none",
        exclusive=False,
        segmentation=msgspec.structs.replace(segmentation_of(host), lag_ms=0),  # nothing lags in a pack of its own
    )
    card = _CARD.format(name=name, count=len(labels), host=graph.name, title=graph.title, licence=graph.licence)
    extra = {"encoder.onnx": host.graph.encoder} if host.graph.encoder else None
    return write_pack(folder, manifest, model=_graph(host, heads), labels=labels, card=card, extra=extra)


def _graph(host: Host, heads: Heads) -> bytes:
    """As `heads.normalised` and `Heads` compute it."""
    model = onnx.ModelProto()
    model.ParseFromString(host.graph.model)
    graph, manifest = model.graph, host.graph.manifest
    weights, bias = heads.weights
    constants = {"taught.weights": weights, "taught.bias": bias}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = (
        ("Sign", [manifest.embedding], "taught.sign"),
        ("Abs", [manifest.embedding], "taught.size"),
        ("Sqrt", ["taught.size"], "taught.root"),
        ("Mul", ["taught.sign", "taught.root"], "taught.roots"),
        ("LpNormalization", ["taught.roots"], "taught.unit"),
        ("MatMul", ["taught.unit", "taught.weights"], "taught.product"),
        ("Add", ["taught.product", "taught.bias"], "taught.logits"),
        ("Sigmoid", ["taught.logits"], _OUTPUT),
    )
    for operator, inputs, output in nodes:
        attributes: dict[str, Any] = {"axis": -1, "p": 2} if operator == "LpNormalization" else {}
        graph.node.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
    frames = [manifest.rows_per_window] if manifest.framed else []
    batch = "batch" if manifest.batch else 1
    dims = [batch, *frames, weights.shape[1]]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, dims))
    content: bytes = model.SerializeToString(deterministic=True)
    return content
