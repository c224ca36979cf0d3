"""Which of ONNX Runtime's execution providers work here, and how a session of one is opened."""

import contextlib
import io
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort

from streamclf.errors import LimitError, PackError, ProviderError
from streamclf.model.driver import worth_trying
from streamclf.model.graph import settled, tiny_graph
from streamclf.model.pack import Pack
from streamclf.model.refused import refused
from streamclf.room import need
from streamclf.text import words_of
from streamclf.types import Provider

EXECUTION_PROVIDERS = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}
# TF32 would make rows depend on the machine by 1e-3; the exhaustive search would stall at every new batch size
_OPTIONS = {Provider.CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}
_ERRORS_ONLY, FATAL_ONLY = 3, 4
# what a session and its threads take: a library in C++ that finds less just ends
_ROOM_MIB = 32

# warnings about libraries that are not there are told by the probe, in one sentence
ort.set_default_logger_severity(_ERRORS_ONLY)


def probe_providers() -> dict[str, str]:
    """For each execution provider "" where it ran a tiny graph just now, else the reason why it does not work."""
    return {provider.value: probe(provider) for provider in EXECUTION_PROVIDERS}


def runtime_version() -> str:
    """Version of ONNX Runtime."""
    return str(ort.__version__)


@cache
def probe(provider: Provider) -> str:
    """Why it does not work, "" where it ran a tiny graph just now."""
    name = EXECUTION_PROVIDERS[provider]
    if name not in ort.get_available_providers():
        return f"this build of ONNX Runtime {ort.__version__} was made without it"
    missing = _load_cuda() if provider is not Provider.CPU else ""
    options = session_options(1)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0" if provider is Provider.CPU else "1")
    values = np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32)
    with quiet():
        try:
            session = ort.InferenceSession(tiny_graph(), options, providers=chain(provider), enable_fallback=0)
            if session.get_providers()[0] != name:
                return missing or "its library loads but cannot be used; the driver or the device may be missing"
            (result,) = session.run(None, {"x": values})
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            return missing or words_of(error)
    return "" if np.allclose(result, np.maximum(values @ values, 0.0)) else "it ran a tiny graph and gave wrong values"


def session_options(threads: int) -> ort.SessionOptions:
    """Options of a session that computes with so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # a spinning pool slows every other session of the process
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = FATAL_ONLY
    return options


def chain(provider: Provider) -> list[Any]:
    """What ONNX Runtime is given for a provider: itself, and what takes over the nodes that it has not."""
    order = [provider, *((Provider.CUDA,) if provider is Provider.TENSORRT else ())]
    if provider is not Provider.CPU:
        order.append(Provider.CPU)
    return [(EXECUTION_PROVIDERS[one], _OPTIONS.get(one, {})) for one in order]


@contextlib.contextmanager
def quiet() -> Any:
    """Keep ONNX Runtime's own lines about missing libraries off standard error."""
    ort.set_default_logger_severity(FATAL_ONLY)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_ERRORS_ONLY)


@cache
def _load_cuda() -> str:
    """Load CUDA's libraries from their wheels or the system. Returns the first that cannot be loaded, in words."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        ort.preload_dlls()
    for line in told.getvalue().splitlines():
        if line.startswith("Failed to load "):
            return f"the library {line.split()[3].rstrip(':').rsplit('/', 1)[-1]} cannot be loaded"
    return ""


def open_graph(pack: Pack, wanted: Provider, threads: int) -> tuple[ort.InferenceSession, Provider]:
    """The graph of `pack`, and what it runs on.

    Raises `ProviderError` where the wanted provider does not work, and what `load_graph` raises.
    """
    graph = settled(pack)
    if wanted is Provider.AUTO:
        for provider in worth_trying():
            if not probe(provider):
                with contextlib.suppress(PackError):
                    return load_graph(pack, graph, provider, threads), provider
        return load_graph(pack, graph, Provider.CPU, threads), Provider.CPU
    reason = probe(wanted)
    if reason:
        raise ProviderError(
            f"the provider {wanted.value} was asked for but does not work here: {reason}; "
            "install what is missing (the extra streamclf[cuda] brings CUDA's libraries) or choose cpu or auto"
        )
    return load_graph(pack, graph, wanted, threads), wanted


def load_graph(pack: Pack, graph: bytes, provider: Provider, threads: int) -> ort.InferenceSession:
    """A graph of `pack` as it runs on `provider`. Raises `PackError` where it does not, `LimitError` for memory."""
    name = pack.manifest.name
    need(_ROOM_MIB)
    try:
        with quiet():
            session = ort.InferenceSession(
                graph,
                session_options(threads),
                providers=chain(provider),
                enable_fallback=0,
                read_config_from_model=0,
            )
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        if LimitError.meant_by(error):
            raise LimitError from error
        raise refused(f"the model of pack {name}", error) from error
    taken = session.get_providers()[0]
    if taken != EXECUTION_PROVIDERS[provider]:
        raise PackError(f"the model of pack {name} was to run on {provider.value} and got {taken}; choose cpu or auto")
    return session
