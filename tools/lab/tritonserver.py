"""A real tritonserver, on the processor: the program out of NVIDIA's wheel nvidia-pytriton, in its own environment.

That wheel holds the server and its Python backend, and not the one of ONNX Runtime. So a repository that `streamclf
models triton` has written is copied with two changes: the backend is `python`, and each version has a model.py that
runs the same model.onnx by ONNX Runtime. All else is the server's own: gRPC, versions, batching, refusals.

    python -m tools.lab.tritonserver FOLDER [--port 8001]     # serves it on this machine until Ctrl-C

Whatever ends who has started it ends the server, too.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from pathlib import Path

from tools.lab.leash import Leash

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "tools" / "locks" / "triton.txt"
BACKEND = Path(__file__).with_name("tritonbackend.py")
_STARTS_S = 60.0


class TritonUnavailableError(Exception):
    """It cannot be had here, through no fault of the code."""


def environment() -> Path:
    """The virtual environment with the server, made once. `STREAMCLF_TRITON` names another one."""
    given = os.environ.get("STREAMCLF_TRITON")
    place = Path(given) if given else REPOSITORY / ".run" / "triton"
    if _program(place) is not None:
        return place
    if given:
        raise TritonUnavailableError(f"STREAMCLF_TRITON is {given}, and there is no tritonserver in it")
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise TritonUnavailableError("its wheel is for Linux on x86_64")
    if not LOCK.is_file():
        raise TritonUnavailableError(f"{LOCK} is not there")
    making = place.with_name("triton.making")
    shutil.rmtree(making, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", making], check=True)
    done = subprocess.run(
        [making / "bin" / "python", "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", LOCK],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TritonUnavailableError(f"its wheels cannot be installed: {done.stderr.strip()[-300:]}")
    shutil.rmtree(place, ignore_errors=True)
    making.rename(place)
    return place


def _site(place: Path) -> Path:
    return place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _program(place: Path) -> Path | None:
    program = _site(place) / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    return program if program.is_file() else None


class TritonServer:
    """Serves `models`, a repository that `streamclf models triton` has written, until `close`.

    options: further ones of tritonserver's. Raises `TritonUnavailableError` where there is none.
    """

    def __init__(self, models: Path, *options: str, port: int = 0) -> None:
        self._place = environment()
        self._scratch = Path(tempfile.mkdtemp(prefix="triton-"))
        self._models = self._scratch / "models"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None
        self.port, self._http = port or _free_port(), _free_port()
        self.serve(models)

    @property
    def address(self) -> str:
        """For `[kserve] url`."""
        return f"grpc://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """The end of its log."""
        log = self._scratch / "log"
        return log.read_text(errors="replace")[-4000:] if log.is_file() else ""

    def serve(self, models: Path) -> None:
        """Have these models from the next start on."""
        shutil.rmtree(self._models, ignore_errors=True)
        shutil.copytree(models, self._models)
        for config in self._models.glob("*/config.pbtxt"):
            config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
        for model in self._models.glob("*/*/model.onnx"):
            shutil.copy(BACKEND, model.with_name("model.py"))

    def start(self) -> None:
        """Returns when it is ready."""
        program = _program(self._place)
        assert program is not None
        backends = program.parents[1] / "backends"
        for one in (program, *program.parents[1].glob("python_backend_stubs/*/triton_python_backend_stub")):
            one.chmod(0o755)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stub = program.parents[1] / "python_backend_stubs" / version / "triton_python_backend_stub"
        with contextlib.suppress(FileExistsError):
            (backends / "python" / stub.name).symlink_to(stub)
        env = {
            "PATH": f"{self._place / 'bin'}:{os.environ['PATH']}",  # what computes takes the python that it finds first
            "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
            "OMP_NUM_THREADS": "1",
        }
        with open(self._scratch / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    program, "--model-repository", self._models, "--backend-directory", backends,
                    "--grpc-address", "127.0.0.1", "--grpc-port", str(self.port),
                    "--http-address", "127.0.0.1", "--http-port", str(self._http),
                    "--allow-metrics", "false", "--exit-timeout-secs", "1", *self._options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
            )  # fmt: skip
        self._leash = Leash(self._process.pid)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _STARTS_S
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"tritonserver ended: {self.said}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/v2/health/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"tritonserver is not ready: {self.said}")

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """To it, and to the processes that compute for it."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As kill -9 does, with all that computes for it."""
        if self._process is not None and self._leash is not None:
            self._leash.kill()
            self._process.wait()
            self._process = self._leash = None

    def close(self) -> None:
        """End it, and forget its files."""
        self.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--port", type=int, default=8001)
    asked = parser.parse_args()
    server = TritonServer(asked.models, port=asked.port)
    try:
        server.start()
        print(f"{server.address} serves {asked.models}; Ctrl-C ends it")
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


if __name__ == "__main__":
    main()
