"""The JavaScript client is built, and its own tests run against real daemons that they may restart."""

import json
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import streamclf
from tests.conftest import StartDaemon
from tests.support import pagemessages
from tests.support.node import JS, ROOT, WEBSOCKET, build_client, needs_node, run_node, tsc
from tools.lab.daemon import Daemon
from tools.lab.tinypack import RATE, stateful_pack

TOKEN = "very-secret-token/="
FAST_S = 120  # of sound, which is more rows than a client lets wait

pytestmark = needs_node


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `npm run build` makes it."""
    return build_client(tmp_path_factory.mktemp("client"))


@contextmanager
def control(routes: dict[str, Callable[[], int]]) -> Iterator[str]:
    """An HTTP server by which a test of node's runner has something done; it answers with the daemon's port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"port": routes[self.path]()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="control")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def noise(path: Path, *, seconds: int) -> Path:
    """A quiet recording."""
    samples = np.random.default_rng(1).normal(0, 300, seconds * RATE).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_its_own_tests_pass_against_real_daemons(built: Path, daemon: StartDaemon, tmp_path: Path) -> None:
    model = ("--model", str(stateful_pack(tmp_path / "tiny")))
    quiet = ("--source", f"file:{noise(tmp_path / 'quiet.wav', seconds=20)}#loop=yes", *model)
    running: list[Daemon] = [daemon(*quiet)]

    def restart() -> int:
        running[0].stop()
        running[0] = daemon(*quiet, port=running[0].port)
        return running[0].port

    def fast() -> int:
        recording = noise(tmp_path / "long.wav", seconds=FAST_S)
        return daemon("--source", f"file:{recording}", "--fast", *model, ready=False).port

    def guarded() -> int:
        return daemon(*quiet, env={"STREAMCLF_TOKEN": TOKEN}).port

    routes = {"/": lambda: running[0].port, "/restart": restart, "/fast": fast, "/guarded": guarded}
    with control(routes) as address:
        done = run_node(
            "node", *WEBSOCKET, "--test", "--test-reporter=spec", "test/",
            folder=built,
            timeout_s=240,
            env={"STREAMCLF_TEST_CONTROL": address, "STREAMCLF_TEST_MESSAGES": str(pagemessages.FILE)},
        )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped 0" in done.stdout


def test_its_types_tell_one_message_from_another(built: Path) -> None:
    (built.parent / "use.ts").write_text(
        'import { Client, type EventMessage, type Message } from "./js/dist/index.js";\n'
        'const client = new Client("birds.local", { labels: ["bird"], encoding: "u8", WebSocket });\n'
        "export async function first(): Promise<EventMessage | undefined> {\n"
        "  for await (const message of client) {\n"
        '    if (message.type === "event") return message;\n'
        '    if (message.type === "scores") console.log(message.rows[0]?.[0]?.toFixed(2), message.captured_ms);\n'
        '    if (message.type === "sound") console.log(message.samples.length);\n'
        "  }\n"
        "  return undefined;\n"
        "}\n"
        "export const wrong = (message: Message): number => message.rows.length;\n"
        'export const none = new Client("birds.local", { encoding: "f32" });\n'
    )

    options = (
        "--strict",
        "--noEmit",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2023,dom",
        "--types",
        "",
    )
    complaints = [line for line in tsc(built.parent, *options, "use.ts").splitlines() if line.startswith("use.ts")]

    assert [line.partition("(")[2].partition(",")[0] for line in complaints] == ["11", "12"], complaints


def test_the_package_says_what_it_is() -> None:
    package = json.loads((JS / "package.json").read_bytes())

    assert package["version"] == streamclf.__version__
    assert "dependencies" not in package
    assert (JS / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert all((JS / name).exists() for name in ("README.md", "tsconfig.json"))
