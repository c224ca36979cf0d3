"""A pack's graph on a server that speaks KServe v2 over gRPC, such as Triton, in place of one in this process.

What stays here: features, recurrent state, which travels with each run, and what is made of the outputs. So a server
holds nothing of a stream, any of several serves the next run, and it batches the runs of all who ask.

Theory of operation. A model is asked for by name *and version*: the version is a number made of the pack's digest
(`version_of`). A server that has other weights under the name refuses each single run, also where it was exchanged a
moment ago. Where it tells its configuration (Triton does), the whole digest stands there and is compared. What a run
gives is looked at before it counts: its version, names, types and shapes.

Each run has a time limit; one that is over it has failed, as has any that the server refuses. Nothing is asked again
here: whoever runs the session loses it and makes another one, with a connection of its own (engine/mend.py). Channels
look up no proxy and no service configuration.
"""

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamclf.errors import ConfigError, NotServedError
from streamclf.model.pack import Manifest, Pack
from streamclf.text import clean, public_url
from streamclf.trust import others_may_use

if TYPE_CHECKING:
    import grpc

    from streamclf.config import KserveConfig
    from streamclf.model.session import Brake

Array = npt.NDArray[Any]

MOST_BATCH = 64
"""Rows of a run, as the written configuration has it too."""
_PATIENT_S = 20.0  # for a first run, in which a server may look for its kernels
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),  # a new session does not wait for the back-off of another's connection
)
_DTYPES = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32"}
_SHOWN = 200
_MOST_BYTES = 1 << 20  # of a certificate, key or token


def version_of(pack: Pack) -> int:
    """The number of this very pack on a server: of the first 60 bits of its digest."""
    return int(pack.digest[:15], 16)


class InferenceServer:
    """What `[kserve]` of the configuration says. Reads its files; no connection is made yet.

    Raises `ConfigError` where they cannot be used, or the extra `triton` is not installed.
    """

    def __init__(self, config: "KserveConfig") -> None:
        _, _, self._address = config.url.partition("://")
        self.public = public_url(config.url)
        """Its address as it may be told."""
        self.timeout_s = config.timeout_ms / 1000
        self._packs = config.packs
        try:
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by us, in one sentence
            import grpc
            import tritonclient.grpc  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"kserve.url is given, but what speaks to such a server is not installed ({error}); "
                "install it: pip install 'streamclf[triton]'"
            ) from None
        self._credentials = None
        if config.url.startswith("grpcs://"):
            self._credentials = grpc.ssl_channel_credentials(
                root_certificates=_read("authority", config.authority),
                private_key=_read("key", config.key, secret=True),
                certificate_chain=_read("certificate", config.certificate),
            )
        token = _read("token_file", config.token_file, secret=True)
        self._said = [("authorization", f"Bearer {token.decode('ascii', 'replace').strip()}")] if token else []

    def runs(self, pack: Pack, graph: Pack) -> bool:
        """Whether it is to run this graph of the pack: itself, or a member of it."""
        return not self._packs or pack.manifest.name in self._packs or graph.manifest.name in self._packs

    def runs_all(self, pack: Pack) -> bool:
        """Whether no graph of the pack is to run here."""
        return all(self.runs(pack, graph) for graph in pack.graphs)

    def graph(self, pack: Pack, brake: "Brake") -> "ServedGraph":
        """The graph of `pack` there. brake: ends its runs. Raises `NotServedError`."""
        return ServedGraph(pack, brake, self)

    def channel(self) -> "grpc.Channel":
        """A connection that is made when it is needed first."""
        import grpc

        if self._credentials is None:
            return grpc.insecure_channel(self._address, options=_OPTIONS)
        return grpc.secure_channel(self._address, self._credentials, options=_OPTIONS)

    def ask(self, brake: "Brake", method: Any, request: Any, timeout_s: float) -> Any:
        """What the server answers. Raises `NotServedError`; the code of gRPC is its cause's."""
        import grpc

        call = method.future(request, timeout=timeout_s, metadata=self._said)
        try:
            with brake.holding(call.cancel):
                return call.result()
        except grpc.FutureCancelledError:
            raise NotServedError(f"a run on the server at {self.public} was broken off") from None
        except grpc.RpcError as error:
            raise NotServedError(self._in_words(error, timeout_s)) from error

    def _in_words(self, error: Any, timeout_s: float) -> str:
        import grpc

        said = clean(str(error.details() or ""), _SHOWN)
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the server at {self.public} did not answer within {timeout_s:g} s"
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return f"the server at {self.public} cannot be reached"
        return f"the server at {self.public} refuses: {said or error.code().name.lower()}"


class ServedGraph:
    """See the module's text. max_batch: the most rows that the server takes in a run."""

    def __init__(self, pack: Pack, brake: "Brake", server: InferenceServer) -> None:
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self.max_batch = MOST_BATCH
        self._pack = pack
        self._manifest = pack.manifest
        self._brake = brake
        self._server = server
        self._version = str(version_of(pack))
        self._messages = service_pb2
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(server.channel())
        self._timeout_s = max(_PATIENT_S, server.timeout_s)
        self._widths = self._find()
        self._compare()

    @property
    def name(self) -> str:
        """Of the model there."""
        return self._manifest.name

    def width(self, output: str) -> int:
        """See `GraphBackend`."""
        if output not in self._widths:
            raise self._wrong(f"has no output {output}")
        return self._widths[output]

    def bind(self, inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], None]:
        """See `GraphBackend`. Constants are part of the model there."""
        constants = {constant.name for constant in self._manifest.constants}
        axes = batch_axes(self._manifest)
        sent = {name: array for name, array in inputs.items() if name not in constants}
        rows = {name: np.moveaxis(array, axes.get(name, 0), 0) for name, array in sent.items()}
        request = self._messages.ModelInferRequest(model_name=self.name, model_version=self._version)
        for name, array in rows.items():
            request.inputs.add(name=name, datatype=_DTYPES[array.dtype.name], shape=array.shape)
        for name in outputs:
            request.outputs.add(name=name)
        places = {name: np.moveaxis(array, axes.get(name, 0), 0) for name, array in outputs.items()}
        return partial(self._run, request, list(rows.values()), places)

    def _run(self, request: Any, rows: list[Array], places: dict[str, Array]) -> None:
        del request.raw_input_contents[:]
        request.raw_input_contents.extend(array.tobytes() for array in rows)
        answer = self._server.ask(self._brake, self._stub.ModelInfer, request, self._timeout_s)
        self._timeout_s = self._server.timeout_s
        self._take(answer, places)

    def _take(self, answer: Any, places: Mapping[str, Array]) -> None:
        if answer.model_version and answer.model_version != self._version:
            raise self._wrong(f"answered with version {clean(answer.model_version, 40)}, not with {self._version}")
        given = dict(zip((tensor.name for tensor in answer.outputs), answer.raw_output_contents, strict=False))
        tensors = {tensor.name: tensor for tensor in answer.outputs}
        for name, place in places.items():
            tensor = tensors.get(name)
            if tensor is None:
                raise self._wrong(f"gave no {name}")
            if tuple(tensor.shape) != place.shape or tensor.datatype != _DTYPES[place.dtype.name]:
                what = f"{tensor.datatype} {list(tensor.shape)}"
                raise self._wrong(f"gave {name} as {what}, expected {_DTYPES[place.dtype.name]} {list(place.shape)}")
            raw = given.get(name)
            values = tensor.contents.fp32_contents if raw is None else np.frombuffer(raw, dtype=place.dtype)
            if len(values) != place.size:
                raise self._wrong(f"gave {len(values)} values for {name}, expected {place.size}")
            place[...] = np.asarray(values, dtype=place.dtype).reshape(place.shape)

    def _find(self) -> dict[str, int]:
        """The outputs of this version there, and the last dimension of each."""
        ask, stub, messages = self._server.ask, self._stub, self._messages
        limit_s = self._server.timeout_s
        wanted = messages.ModelMetadataRequest(name=self.name, version=self._version)
        try:
            found = ask(self._brake, stub.ModelMetadata, wanted, limit_s)
        except NotServedError as error:
            raise self._other_version(error) from None
        ready = messages.ModelReadyRequest(name=self.name, version=self._version)
        if self._version not in found.versions or not ask(self._brake, stub.ModelReady, ready, limit_s).ready:
            raise self._not_there(found.versions)
        return {tensor.name: tensor.shape[-1] for tensor in found.outputs if tensor.shape}

    def _other_version(self, error: NotServedError) -> NotServedError:
        """What is told where this version is not served: which others are, if the server knows the name."""
        if _code(error) in ("", "UNAVAILABLE", "DEADLINE_EXCEEDED"):
            return error
        try:
            any_version = self._messages.ModelMetadataRequest(name=self.name)
            found = self._server.ask(self._brake, self._stub.ModelMetadata, any_version, self._server.timeout_s)
        except NotServedError:
            return error
        return self._not_there(found.versions)

    def _not_there(self, versions: Any) -> NotServedError:
        others = ", ".join(clean(version, 40) for version in list(versions)[:4]) or "none that is ready"
        return NotServedError(
            f"the server at {self._server.public} has {self.name} in version {others}, but this pack is version "
            f"{self._version} there; put what `streamclf models triton {self.name} FOLDER` writes into its repository"
        )

    def _compare(self) -> None:
        """The digest, where the server tells its configuration; KServe itself knows of none."""
        wanted = self._messages.ModelConfigRequest(name=self.name, version=self._version)
        try:
            config = self._server.ask(self._brake, self._stub.ModelConfig, wanted, self._server.timeout_s).config
        except NotServedError as error:
            if _code(error) == "UNIMPLEMENTED":
                return
            raise
        if config.WhichOneof("scheduling_choice") == "sequence_batching":
            raise self._wrong(
                "has sequence_batching in its config.pbtxt, and here state travels with each run; take that out"
            )
        told = config.parameters.get(digest_key(int(self._version)))
        if told is not None and told.string_value != self._pack.digest:
            raise self._wrong(f"has the digest {clean(told.string_value, 13)}, expected {self._pack.digest[:12]}…")
        self.max_batch = min(MOST_BATCH, config.max_batch_size or MOST_BATCH)

    def _wrong(self, what: str) -> NotServedError:
        return NotServedError(f"{self.name} on the server at {self._server.public} {what}; see which model it serves")


def batch_axes(manifest: Manifest) -> dict[str, int]:
    """Inputs and outputs whose rows are not the first axis in the pack's own graph: on a server they are."""
    states = [tensor for tensor in manifest.state if tensor.batch_axis]
    return {name: tensor.batch_axis for tensor in states for name in (tensor.input, tensor.output)}


def digest_key(version: int) -> str:
    """Name of the parameter of a served model's configuration that holds the digest of that version."""
    return f"digest_{version}"


def _code(error: NotServedError) -> str:
    """The name of gRPC's status, "" where it has said nothing."""
    code = getattr(error.__cause__, "code", None)
    return str(code().name) if code is not None else ""


def _read(key: str, path: str, *, secret: bool = False) -> bytes | None:
    """What the file of that key holds, None where none is named. secret: others must not be able to use it."""
    if not path:
        return None
    place = Path(path).expanduser()
    try:
        with open(place, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"kserve.{key}: {place} is not a regular file; name another one")
            if secret and others_may_use(found, place):
                raise ConfigError(f"kserve.{key}: others can use {place}, which is a secret; run: chmod 600 {place}")
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"kserve.{key}: {place} cannot be read: {error.strerror}; name a file that can") from None
