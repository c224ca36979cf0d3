"""Ways to a real tritonserver: TLS, certificates, tokens, members of fused packs, and what is refused."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamclf.model.loader import load_pack
from tests.support.certificates import make_pair
from tests.support.recordings import bursts
from tests.support.triton import LIMIT_S, Heard, hearing, problems, rows_of, served, triton, written
from tools.lab.daemon import Daemon
from tools.lab.tinypack import fused_pack, stateful_pack
from tools.lab.tritonserver import TritonServer

pytest.importorskip("tritonclient.grpc", reason="tritonclient is absent (pip install streamclf[triton])")
pytestmark = pytest.mark.e2e

__all__ = ["hearing", "served", "triton"]


def test_tls_is_spoken_with_the_authority_that_is_named_and_with_no_other(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    certificate, key = make_pair(tmp_path, "gpu")
    other, _ = make_pair(tmp_path, "other")
    pack = stateful_pack(tmp_path / "tiny")
    options = ("--grpc-use-ssl", "true", "--grpc-server-cert", str(certificate), "--grpc-server-key", str(key))
    server = served(pack, options=options)
    address = server.address.replace("grpc://", "grpcs://")
    _, heard = hearing(pack, server, STREAMCLF_KSERVE_URL=address, STREAMCLF_KSERVE_AUTHORITY=str(certificate))
    heard.more()
    running, deaf = hearing(pack, server, STREAMCLF_KSERVE_URL=address, STREAMCLF_KSERVE_AUTHORITY=str(other))
    deaf.until(lambda: f"the server at {address} cannot be reached" in problems(running), "it is not told")
    assert not deaf.rows


def test_a_server_that_wants_a_certificate_of_ours_gets_it_and_says_nothing_without(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    (certificate, key), (ours, our_key) = make_pair(tmp_path, "gpu"), make_pair(tmp_path, "capture")
    pack = stateful_pack(tmp_path / "tiny")
    options = ("--grpc-use-ssl-mutual", "true", "--grpc-server-cert", str(certificate))
    more = ("--grpc-server-key", str(key), "--grpc-root-cert", str(ours))
    server = served(pack, options=(*options, *more))
    tls = {"STREAMCLF_KSERVE_URL": server.address.replace("grpc://", "grpcs://")}
    tls |= {"STREAMCLF_KSERVE_AUTHORITY": str(certificate)}
    _, heard = hearing(pack, server, **tls, STREAMCLF_KSERVE_CERTIFICATE=str(ours), STREAMCLF_KSERVE_KEY=str(our_key))
    heard.more()
    running, deaf = hearing(pack, server, **tls)
    deaf.until(lambda: "cannot be reached" in problems(running), "it is not told")
    strange, strange_key = make_pair(tmp_path, "stranger")
    running, stranger = hearing(
        pack, server, **tls, STREAMCLF_KSERVE_CERTIFICATE=str(strange), STREAMCLF_KSERVE_KEY=str(strange_key)
    )
    stranger.until(lambda: "cannot be reached" in problems(running), "it is not told")
    assert not deaf.rows
    assert not stranger.rows


def test_a_token_is_sent_to_a_proxy_that_asks_for_one(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    certificate, key = make_pair(tmp_path, "proxy")
    files = {name: tmp_path / name for name in ("right", "wrong")}
    for name, file in files.items():
        file.write_text(f"the {name} token\n")
        file.chmod(0o600)
    with token_proxy(server.address, "the right token", certificate, key) as address:
        tls = {"STREAMCLF_KSERVE_URL": address, "STREAMCLF_KSERVE_AUTHORITY": str(certificate)}
        _, heard = hearing(pack, server, **tls, STREAMCLF_KSERVE_TOKEN_FILE=str(files["right"]))
        heard.more()
        for token in ({"STREAMCLF_KSERVE_TOKEN_FILE": str(files["wrong"])}, {}):
            running, deaf = hearing(pack, server, **tls, **token)
            deaf.until(lambda at=running: "refuses: come with the token" in problems(at), "it is not told")  # type: ignore[misc]
            assert not deaf.rows
            assert "token\\n" not in problems(running)
            assert "the wrong token" not in running.stderr


def test_members_of_a_fused_pack_run_there_each_by_itself_or_one_of_them(
    served: Callable[..., TritonServer], tmp_path: Path
) -> None:
    pack = fused_pack(tmp_path / "fused")
    server = served(pack)
    sound = bursts(tmp_path / "garden.wav", [0.5, 2.0], seconds=4.0)
    here = rows_of(sound, [str(pack)], tmp_path, {})
    names = [graph.manifest.name for graph in load_pack(pack).graphs]
    assert len(names) > 1
    for packs in ("", names[0], names[1]):
        env = {"STREAMCLF_KSERVE_URL": server.address}
        if packs:
            env["STREAMCLF_KSERVE_PACKS"] = packs
        there = rows_of(sound, [str(pack)], tmp_path, env)
        assert here.keys() == there.keys()
        for name, rows in here.items():
            if rows.dtype.kind == "f":
                assert np.abs(rows - there[name]).max() <= 1e-5, (packs, name)
            else:
                assert np.array_equal(rows, there[name]), (packs, name)
    with inference_client(server) as client:
        counts = {each.name: each.inference_count for each in client.get_inference_statistics().model_stats}
    assert all(counts[name] for name in names), "each of them ran on the server"


def test_a_sequence_batcher_is_refused_in_words(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    folder = written(tmp_path, pack)
    (config,) = folder.glob("*/config.pbtxt")
    lines = config.read_text()
    assert "dynamic_batching" in lines
    start = lines.index("dynamic_batching")
    config.write_text(lines[:start] + "sequence_batching { }\n" + lines[lines.index("}", start) + 1 :])
    server = TritonServer(folder)
    try:
        server.start()
        running, deaf = hearing(pack, server)
        deaf.until(lambda: "has sequence_batching in its config.pbtxt" in problems(running), "it is not told")
        assert not deaf.rows
        server.kill()
        server.serve(written(tmp_path / "again", pack))
        server.start()
        deaf.more()
    finally:
        server.close()


def test_the_server_of_the_lab_ends_with_whoever_started_it(triton: None, tmp_path: Path) -> None:
    folder = written(tmp_path, stateful_pack(tmp_path / "tiny"))
    code = (
        "import sys, time; from pathlib import Path; from tools.lab.tritonserver import TritonServer; "
        "server = TritonServer(Path(sys.argv[1])); server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        group = int(started.stdout.readline())
        os.killpg(group, 0)
        started.kill()
    deadline = time.monotonic() + LIMIT_S
    while any(") " in line and int(line.rpartition(")")[2].split()[2]) == group for line in stats()):
        assert time.monotonic() < deadline, "the server, or what computes for it, is still there"
        time.sleep(0.1)


def stats() -> list[str]:
    """/proc/PID/stat of all processes that there are, but for those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            if text.rpartition(")")[2].split()[0] != "Z":
                found.append(text)
    return found


def inference_client(server: TritonServer) -> Any:
    from tritonclient.grpc import InferenceServerClient

    return InferenceServerClient(server.address.removeprefix("grpc://"))


@contextmanager
def token_proxy(server: str, token: str, certificate: Path, key: Path) -> Iterator[str]:
    """A proxy that speaks TLS and lets nobody to `server` but with this token. Its address."""
    import grpc

    inner = grpc.insecure_channel(server.removeprefix("grpc://"))

    class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            def forward(request: bytes, context: Any) -> bytes:
                if dict(context.invocation_metadata()).get("authorization") != f"Bearer {token}":
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "come with the token")
                try:
                    answer: bytes = inner.unary_unary(call.method)(request, timeout=10)
                except grpc.RpcError as fault:
                    context.abort(fault.code(), fault.details())
                return answer

            return grpc.unary_unary_rpc_method_handler(forward)

    proxy = grpc.server(ThreadPoolExecutor(4), handlers=[Proxy()])
    pair = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = proxy.add_secure_port("127.0.0.1:0", pair)
    proxy.start()
    try:
        yield f"grpcs://127.0.0.1:{port}"
    finally:
        proxy.stop(None).wait()
        inner.close()
