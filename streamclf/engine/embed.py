"""Sound in numbers: the embeddings that a pack's graph gives beside its scores, live and of a sound that is at hand.

A pack names the output in its manifest. A *host* is a graph that has one: that of a pack, or of a member of a fused
one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from streamclf.clock import hop_of
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.strand import Strand
from streamclf.model.pack import Manifest, Pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider, Shape

LEAD_DB = -75.0
"""Of full scale: how loud the faint noise is that is heard around a sound that is at hand."""


@dataclass(frozen=True, slots=True)
class Host:
    """A graph that gives embeddings. graph: that alone as a pack, of a fused one the member as it runs there.

    name: of the pack that it runs in. identity: the same wherever the same sound gives the same numbers.
    """

    name: str
    at: int
    graph: Pack
    identity: str


def hosts_of(packs: Sequence[Pack]) -> list[Host]:
    """Of each pack the graph that gives embeddings, one of windows if there is one; packs without are left out.

    Those of windows come first: a stateful net's numbers say most of what it was trained to tell apart.
    """
    found = []
    for pack in packs:
        graphs = [(at, graph) for at, graph in enumerate(pack.graphs) if graph.manifest.embedding]
        if graphs:
            at, graph = min(graphs, key=lambda one: _stateful(one[1]))
            found.append(Host(pack.manifest.name, at, graph, identity_of(graph)))
    return sorted(found, key=lambda host: _stateful(host.graph))


def _stateful(graph: Pack) -> bool:
    return graph.manifest.shape is Shape.STATEFUL


def identity_of(graph: Pack) -> str:
    """A hash (16 hex digits) over all that makes the numbers: weights, features, and how windows are cut."""
    manifest = graph.manifest
    cut = (manifest.rate, manifest.shape, manifest.window, manifest.step, manifest.rows_per_window, manifest.embedding)
    whole = hashlib.sha256(graph.model)
    whole.update(graph.encoder or b"")
    whole.update(msgspec.json.encode((manifest.features, cut)))
    return whole.hexdigest()[:16]


def frame_of(manifest: Manifest, start: int, row: int = 0) -> int:
    """The frame whose score row comes of row `row` of a run that begins at sample `start` (of the pack's rate)."""
    hop = hop_of(manifest.rate)
    if manifest.shape is Shape.WINDOW_FRAMES:
        return start // hop + row
    span = manifest.step if manifest.shape is Shape.STATEFUL else manifest.window
    return -(-(start + span + row * hop - manifest.look_ahead) // hop) - 1


class Embedder:
    """Runs a host's graph over sound that is at hand, in an engine of its own, as the live one would hear it.

    graph: as in `Host`. hop_frames: between two windows. One thread uses it at a time. Raises as `Session` does.
    """

    def __init__(self, graph: Pack, *, hop_frames: int = 5) -> None:
        self.graph = graph
        runner = PackRunner(graph, Session(graph, provider=Provider.CPU, threads=1, max_batch=16))
        runner.set_hop(hop_frames)
        runner.graphs[0].tap = self._take
        self._engine = Engine([runner])
        self._frames: list[int] = []
        self._rows: list[F32] = []

    def __call__(self, samples: F32, rate: int) -> tuple[np.ndarray, F32]:
        """samples: (n, ) float32 at `rate` (Hz). A window's length of faint noise is heard before it.

        Returns the frames (20 ms, from the first sample on) that embeddings belong to, and those, (n, numbers) float32.
        """
        manifest = self.graph.manifest
        lead_frames = -(-manifest.window // hop_of(manifest.rate))
        count = lead_frames * hop_of(rate)
        noise = np.random.default_rng(0).standard_normal(count).astype(np.float32) * np.float32(10 ** (LEAD_DB / 20))
        self._frames, self._rows = [], []
        for _ in run_blocks(self._engine, "sound", rate=rate, blocks=[noise, np.asarray(samples, dtype=np.float32)]):
            pass
        frames = np.array(self._frames, dtype=np.int64) - lead_frames
        rows = np.array(self._rows, dtype=np.float32).reshape(len(frames), -1)
        return frames[frames >= 0], rows[frames >= 0]

    def _take(self, strands: Sequence[Strand], embedded: F32) -> None:
        (strand,) = strands
        for row, numbers in enumerate(embedded[0]):
            self._frames.append(frame_of(self.graph.manifest, strand.start, row))
            self._rows.append(numbers.copy())
