"""A real nats-server with JetStream, and gateways as processes."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.lab.daemon import Daemon, clean_env, free_port

ROOT = Path(__file__).resolve().parents[2]
_PLACES = f"{ROOT / '.run'}:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class NatsServer:
    """A nats-server on a free port; what JetStream keeps lies in `folder`/js. user, password: whom it lets in."""

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        who = f"{user}:{password}@" if user else ""
        self.url = f"nats://{who}127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{folder / "js"}" }}\n'
            + (f'authorization {{ user: "{user}", password: "{password}" }}\n' if user else "")
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("nats-server") or shutil.which("nats-server", path=_PLACES)
        if program is None:
            pytest.skip("nats-server is not installed (Debian's package nats-server; tools/test unpacks it)")
        log = self.folder / "nats.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while log.read_text().count("Server is ready") < 1:
            assert time.monotonic() < deadline, f"nats-server did not start:\n{log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Killed, as by a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            (self.folder / "nats.log").unlink()

    def forget(self) -> None:
        """What it kept is gone: a server on another disk. It must not run."""
        shutil.rmtree(self.folder / "js")


def start_gateway(home: Path, url: str, site: str, *, name: str, port: int | None = None) -> Daemon:
    """`streamclf gateway`; ready once it serves, see `Daemon.wait_ready`."""
    port = port or free_port()
    log = home / name
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamclf", "gateway", "--nats", url, "--site", site, "--port", str(port)],
            env=clean_env(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    return Daemon(process, port, log)
