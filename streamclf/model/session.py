"""One ONNX Runtime session per pack, run for many streams at once.

Every stream has a *slot*, which names its recurrent state here. A run takes the rows of the active slots alone,
compacted: their states are seated beside each other, where they stay while the same slots run; one slot alone has its
state read and written where it lies. A slot that is not in the run is not touched, so companions never influence each
other. All memory that a run reads or writes is allocated beforehand and bound to the
graph; bindings are kept: two for each size of a group, and two for each slot that runs alone.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from streamclf.errors import NotServedError, PackError
from streamclf.model.activation import probabilities
from streamclf.model.encoder import Encoder
from streamclf.model.fusion import Head
from streamclf.model.geometry import as_rows, layout_dims, row_shape
from streamclf.model.pack import Encoded, Pack
from streamclf.model.providers import FATAL_ONLY, load_graph, open_graph
from streamclf.model.state import Bench, Places, SlotStates
from streamclf.text import words_of
from streamclf.types import F32, Provider

if TYPE_CHECKING:
    from streamclf.model.kserve import InferenceServer

Array = npt.NDArray[Any]

_FEW = 4096
_TOGETHER_BYTES = 512 << 20  # of weights, times the windows in one run on a processor


class Brake:
    """Ends the runs of one session from another thread, for good.

    ONNX Runtime looks at it between two nodes of a graph, and of a loop's body: a node that never comes back does not
    heed it. The run raises, as does every later one.
    """

    def __init__(self) -> None:
        self.pulled = False
        self.more: Callable[[], object] | None = None
        """Ends what goes on elsewhere: a run on a server, a trial."""
        self.options = ort.RunOptions()
        self.options.log_severity_level = FATAL_ONLY
        # its default; where it is not said, each run raises and catches an exception, which takes 36 us
        self.options.add_run_config_entry("gpu_graph_id", "0")

    def pull(self) -> None:
        """From any thread."""
        self.pulled = True
        self.options.terminate = True
        if (more := self.more) is not None:
            more()

    @contextlib.contextmanager
    def holding(self, end: Callable[[], object]) -> Iterator[None]:
        """What goes on inside is ended with it, which `end` does."""
        self.more = end
        if self.pulled:
            end()
        try:
            yield
        finally:
            self.more = None


class Session:
    """See the module's text. One thread uses it at a time.

    max_batch: rows in one run of the graph; more are run in several goes. brake: what ends its runs, also the first.
    head: of a member of a fused pack, what makes its share of what the graph gives; else that becomes probabilities.
    server: where the graph runs, in place of here. Raises `ProviderError` where the asked-for provider does not work,
    `NotServedError` where the server does not run it, `PackError` where the graph does not run.
    """

    def __init__(
        self,
        pack: Pack,
        *,
        provider: Provider = Provider.AUTO,
        threads: int = 1,
        max_batch: int = 64,
        brake: Brake | None = None,
        head: Head | None = None,
        server: "InferenceServer | None" = None,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {max_batch}")
        manifest = pack.manifest
        self.classes = len(pack.labels)
        self.input_shape = row_shape(manifest)
        self.brake = brake or Brake()
        self.bad_rows = 0
        """Rows in which the model gave NaN or infinity; they left as zeros, shares as NaN; their state was reset."""
        self.bad: list[int] = []
        """Those of the last run."""
        self._manifest = manifest
        taken, most = self._open(pack, provider, threads, server)
        max_batch = min(max_batch, most)
        self.max_batch = max_batch
        self.elsewhere = threads > 1 or taken is not Provider.CPU or server is not None
        """Whether runs are computed by more than the calling thread."""
        self.run_seconds: float | None = None
        """What `warm_up` has measured last."""
        self.took_s = 0.0
        """Time of the last run; of several that followed one another, their mean."""
        self.together = max_batch
        """Windows that gain by one run. A large net computes long enough by itself, and many take memory for each."""
        if self.provider == Provider.CPU:
            self.together = max(1, min(max_batch, _TOGETHER_BYTES // max(1, len(pack.model))))
        self._goes_of = max_batch if manifest.batch else 1
        self._plain = head is None
        self._head = head if head and head.embedded is not None else None
        self._told = head or partial(probabilities, activation=manifest.activation)
        self._bad_value = 0.0 if head is None else np.nan
        self._told_dims = (manifest.rows_per_window, self.classes if head is None else head.width)
        row_dims = (manifest.rows_per_window, self.classes)
        self._output_dims = row_dims if manifest.framed else (self.classes,)
        self._output = np.zeros((self._goes_of, *row_dims), dtype=np.float32)
        self._constants = {c.name: np.array(c.value, dtype=c.dtype) for c in manifest.constants}
        width = self._graph.width(manifest.embedding) if manifest.embedding else 0
        self._embedding_dims = (*self._output_dims[:-1], width) if width else ()
        self._embeddings = np.zeros((0, *self._embedding_dims), dtype=np.float32)
        self.embedded = self._embeddings
        """(rows, [F,] numbers) float32 of the last run while they are asked for, see `embed`; until the next one."""
        self.encode: Encoder | None = None
        """What runs the pack's encoder, on the same provider; None where its features need none."""
        if isinstance(manifest.features, Encoded):
            self.encode = open_encoder(pack, manifest.features, provider=taken, threads=threads, brake=self.brake)
        self._states = SlotStates(manifest.state)
        self._bindings: dict[tuple[int, ...], _Binding] = {}
        self._allocate(max_batch)
        self.embed(False)
        self._prove(pack)

    def _open(
        self, pack: Pack, provider: Provider, threads: int, server: "InferenceServer | None"
    ) -> tuple[Provider, int]:
        """What runs here, and the most rows of a run that the graph takes."""
        self._graph: GraphBackend
        if server is None:
            session, taken = open_graph(pack, provider, threads)
            self._graph, self.provider = _OwnGraph(session, self.brake), taken.value
            return taken, sys.maxsize
        served = server.graph(pack, self.brake)
        self._graph, self.provider = served, server.public
        return Provider.CPU, served.max_batch

    def input_rows(self, count: int) -> F32:
        """The buffer to fill before `run`: (count, *input_shape) float32, the same memory at every call."""
        if count > len(self._rows):
            self._allocate(count)
        return self._rows[:count]

    def run(self, slots: Sequence[int]) -> F32:
        """Run rows [0, len(slots)) of `input_rows`, row i with the state of slots[i].

        slots: none twice if it has state. Returns (len(slots), F, classes) float32 in [0, 1], or shares; new memory.
        """
        count, began_s = len(slots), perf_counter()
        self.bad = []
        if 0 < count <= self._goes_of:
            told, self.embedded = self._go(0, slots), self._embeddings[:count]
            self.took_s = perf_counter() - began_s
            return told
        result, embedded = np.empty((count, *self._told_dims), dtype=np.float32), []
        for start in range(0, count, self._goes_of):
            some = slots[start : start + self._goes_of]
            result[start : start + self._goes_of] = self._go(start, some)
            embedded.append(self._embeddings[: len(some)].copy())
        self.embedded = np.concatenate([self._embeddings[:0], *embedded])
        self.took_s = perf_counter() - began_s
        return result

    def follow(self, slot: int, count: int) -> F32:
        """Run rows [0, count) of `input_rows` behind one another, each on from the state that the one before has left
        in `slot`. Gives what as many calls of `run` would, in one array; nothing is embedded."""
        began_s, self.bad = perf_counter(), []
        result = np.empty((count, *self._output.shape[1:]), dtype=np.float32)
        for at in range(count):
            if at:
                self._input[0] = self._input[at]
            binding = self._run_alone(0, slot)
            if not _finite(binding):
                self._reset_bad(binding.output, [slot], at)
            result[at] = binding.output[0]
        # products of a head's many rows are not those of each
        told = self._told(result) if self._plain else np.concatenate([self._told(row[None]) for row in result])
        if self.bad:
            told[self.bad] = self._bad_value
        self.took_s = (perf_counter() - began_s) / count
        return told

    def embed(self, on: bool) -> None:
        """Have runs of up to `max_batch` rows give embeddings too, or not (to a head always), if it names them."""
        on = on or self._head is not None
        if self._embedding_dims and on != bool(len(self._embeddings)):
            rows = self._goes_of if on else 0
            self._embeddings = np.zeros((rows, *self._embedding_dims), dtype=np.float32)
            self._bindings.clear()

    def reset(self, slot: int) -> None:
        """Zero the state of `slot`, as at a stream's start."""
        self._reach(slot)
        self._states.reset(slot)

    def warm_up(self, clock: Callable[[], float] = perf_counter) -> float:
        """Median time of one single-row run, in seconds of `clock`; no slot's state changes.

        Makes at least 3 runs and at most 20, and no more than half a second of them where they are long.
        """
        self.runtime(1)
        times: list[float] = []
        while len(times) < 3 or (len(times) < 20 and sum(times) < 0.5):
            begin = clock()
            self.runtime(1)
            times.append(clock() - begin)
        self.run_seconds = float(np.median(times))
        return self.run_seconds

    def runtime(self, rows: int) -> None:
        """One run of so many rows and nothing else; no slot's state changes."""
        if (key := (0, rows)) not in self._bindings:
            self._keep(key, self._bind(*key, self._states.scratch(rows)))
        self._bindings[key].run()

    @property
    def members(self) -> "tuple[Session, ...]":
        """The sessions of a pack's members: itself, where it is not fused."""
        return (self,)

    def _go(self, start: int, slots: Sequence[int]) -> F32:
        states = self._states
        if not states.tensors:
            binding = self._bound(start, len(slots))
            binding.run()
        elif len(slots) == 1:
            binding = self._run_alone(start, slots[0])
        else:
            self._reach(max(slots))
            bench, moved = states.seat(slots)
            if moved:
                self._bindings.clear()
            binding = self._bound(start, len(slots), bench)
            binding.run()
            bench.turn ^= 1
        if _finite(binding):
            return self._heard(binding.output)
        bad = self._reset_bad(binding.output, slots, start)
        rows = self._heard(binding.output)
        rows[bad] = self._bad_value
        return rows

    def _heard(self, raw: F32) -> F32:
        return self._told(raw) if self._head is None else self._head(raw, self._embeddings[: len(raw)])

    def _run_alone(self, start: int, slot: int) -> "_Binding":
        """Row `start` of the input, with the slot's own state."""
        binding = self._bound_alone(start, slot)
        binding.run()
        self._states.turn(slot)
        return binding

    def _reset_bad(self, raw: F32, slots: Sequence[int], start: int) -> list[int]:
        """Zero rows that are not finite, and the states of their slots. Returns which of `raw` they are."""
        bad: list[int] = np.flatnonzero(~np.isfinite(raw).all(axis=(1, 2))).tolist()
        self.bad_rows += len(bad)
        self.bad += [start + row for row in bad]
        raw[bad] = 0.0
        for row in bad:
            self.reset(slots[row])
        return bad

    def _allocate(self, rows: int) -> None:
        self._input = np.zeros((rows, *layout_dims(self._manifest)), dtype=np.float32)
        self._rows = as_rows(self._input, self._manifest)
        self._bindings.clear()

    def _reach(self, slot: int) -> None:
        if self._states.reach(slot):
            self._bindings.clear()

    def _bound(self, start: int, count: int, bench: Bench | None = None) -> "_Binding":
        """Rows [start, start + count) of the input, and the states of as many slots on that bench."""
        key = (start, count) if bench is None else (start, count, bench.number, bench.turn)
        if key in self._bindings:
            return self._bindings[key]
        return self._keep(key, self._bind(start, count, self._states.together(bench, count) if bench else []))

    def _bound_alone(self, start: int, slot: int) -> "_Binding":
        """One row of the input, and the slot's own state."""
        self._reach(slot)
        self._states.rise(slot)
        key = (start, slot, self._states.turns[slot])
        return self._bindings.get(key) or self._keep(key, self._bind(start, 1, self._states.alone(slot)))

    def _keep(self, key: tuple[int, ...], binding: "_Binding") -> "_Binding":
        # bound: all are dropped together once they are many; each holds views, no buffers
        if len(self._bindings) > 4 * self.max_batch:
            self._bindings.clear()
        self._bindings[key] = binding
        return binding

    def _bind(self, start: int, count: int, states: Places) -> "_Binding":
        output = self._output[:count]
        inputs = {self._manifest.input: self._input[start : start + count], **self._constants}
        outputs = {self._manifest.output: output.reshape(count, *self._output_dims)}
        if len(self._embeddings):
            outputs[self._manifest.embedding] = self._embeddings[:count]
        for tensor, (before, after) in zip(self._states.tensors, states, strict=True):
            inputs[tensor.input], outputs[tensor.output] = before, after
        return _Binding(self._graph, inputs, outputs, output)

    def _prove(self, pack: Pack) -> None:
        """Run 1 row, and 2 where rows are batched: a wrong shape shows here and not in the middle of a stream."""
        for count in sorted({1, min(2, self._goes_of)}):
            try:
                self._bind(0, count, self._states.scratch(count)).run()
            except NotServedError:
                raise
            except Exception as error:  # onnxruntime raises a dozen unrelated types
                advice = "state `batch = false` in its manifest" if count > 1 else "export it again"
                raise PackError(
                    f"the model of pack {pack.manifest.name} does not run with a batch of {count}: {words_of(error)}; "
                    f"{advice}"
                ) from error


def open_encoder(
    pack: Pack, features: Encoded, *, provider: Provider = Provider.CPU, threads: int = 1, brake: Brake | None = None
) -> Encoder:
    """What runs the encoder of `pack` on frames of `features`."""
    assert pack.encoder is not None
    graph = load_graph(pack, pack.encoder, provider, threads)
    return Encoder(features, partial(graph.run, run_options=(brake or Brake()).options))


class GraphBackend(Protocol):
    """What computes a pack's graph."""

    def width(self, output: str) -> int:
        """Numbers in the last dimension of that output."""
        ...

    def bind(self, inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], None]:
        """What computes these outputs of these inputs. Who asks for it holds the arrays."""
        ...


class _OwnGraph:
    """A graph in this process."""

    def __init__(self, session: ort.InferenceSession, brake: Brake) -> None:
        self._session = session
        self._options = brake.options
        self._asked = {value.name for value in session.get_inputs()}  # constants may be inside

    def width(self, output: str) -> int:
        return int(next(value.shape[-1] for value in self._session.get_outputs() if value.name == output))

    def bind(self, inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], None]:
        binding = self._session.io_binding()
        for name, array in ((name, array) for name, array in inputs.items() if name in self._asked):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return partial(self._session.run_with_iobinding, binding, self._options)


class _Binding:
    """Memory bound to the graph for one batch size. Holds the arrays: the graph knows only their addresses.

    output: (count, F, classes) float32.
    """

    def __init__(self, graph: GraphBackend, inputs: dict[str, Array], outputs: dict[str, Array], output: F32) -> None:
        self.output = output
        self.flat_output = output.reshape(-1)
        self._arrays = (inputs, outputs)
        self._run = graph.bind(inputs, outputs)

    def run(self) -> None:
        self._run()


def _finite(binding: _Binding) -> bool:
    """Whether all that the graph gave is."""
    flat = binding.flat_output
    # no sum that holds NaN or infinity is finite; BLAS is quickest over few numbers, but starts threads over many
    return isfinite(flat.dot(flat) if len(flat) < _FEW else np.add.reduce(flat))
