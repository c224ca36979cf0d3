"""What the layers of the suite share: material that may be absent, and the real daemon."""

import gc
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.support.packs import PacksUnavailableError, ensure_packs
from tools.lab.daemon import Daemon, clean_env, start_daemon
from tools.lab.daemon import free_port as find_free_port
from tools.lab.preloaded import ASKED

REPOSITORY = Path(__file__).resolve().parents[1]

# for tests that import ONNX Runtime themselves, as the package does it for its own
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# a shell's background job is made deaf to Ctrl-C, and what it starts would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# librosa's loops, which some references run, take longer to be compiled well than to run
os.environ.setdefault("NUMBA_OPT", "0")

# hundreds of starts of the program, most of which read no module again (STREAMCLF_TEST_PRELOADED=no: all do)
os.environ.setdefault(ASKED, "yes")

# what a process compiles of our code is kept for the next one, of which there are hundreds
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# packs are tried once by all tests of a run, and what came of it stays out of the user's folder
_cache = tempfile.TemporaryDirectory(prefix="streamclf-tests-")
os.environ["XDG_CACHE_HOME"] = os.environ["STREAMCLF_TEST_CACHE"] = _cache.name

# tests speak to this machine alone, and a proxy setting must not catch that
if (_spared := os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "") != "*":
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{_spared},127.0.0.1,localhost".lstrip(",")

# how long an example takes says nothing on a busy machine; all else stays as it is by default, or with CI set
settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
# for who wants to know soon (--hypothesis-profile, tools/test unit); the whole suite tries four times as many
settings.register_profile("brief", settings.get_profile("busy"), max_examples=25)


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end: the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


class StartDaemon(Protocol):
    """Starts `streamclf run ARGS`, ready on return unless `ready=False`; every one is stopped when the test ends."""

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        ready: bool = True,
    ) -> Daemon: ...


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and reference models that is not part of the repository."""
    folder = Path(os.environ.get("STREAMCLF_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip("the folder of recordings and reference models is absent (STREAMCLF_SHARED names it)")
    return folder


@pytest.fixture(scope="session")
def packs_dir() -> Path:
    """A folder with the packs silero-vad and yamnet, for STREAMCLF_MODELS."""
    try:
        return ensure_packs()
    except PacksUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    return find_free_port()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Factory of real daemons; daemon n keeps its events in tmp_path / "store-n".

    At the end each gets SIGTERM and must be gone in time, without a traceback.
    """
    started: list[Daemon] = []

    def start(
        *args: str,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        ready: bool = True,
    ) -> Daemon:
        log = tmp_path / f"daemon-{len(started)}"
        own = {"STREAMCLF_STORE_PATH": str(tmp_path / f"store-{len(started)}")} | dict(env or {})
        running = start_daemon(args, port=port or find_free_port(), env=clean_env(tmp_path, own), log=log, stdin=stdin)
        started.append(running)
        if ready:
            running.wait_ready()
        return running

    yield start

    late = []
    for running in started:
        try:
            running.stop()
        except AssertionError as error:
            late.append(str(error))
    tracebacks = [running.stderr for running in started if "Traceback" in running.stderr]
    assert not late, "\n".join(late)
    assert not tracebacks, "\n".join(tracebacks)
