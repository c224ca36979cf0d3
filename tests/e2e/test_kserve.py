"""Packs on a real tritonserver: the same rows as here, whatever happens to the server in between."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from streamclf.config import KserveConfig
from streamclf.model.kserve import InferenceServer
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from tests.conftest import StartDaemon
from tests.support.certificates import make_pair
from tests.support.recordings import bursts
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tinypack import stateful_pack
from tools.lab.tritonserver import TritonServer, TritonUnavailableError, environment

pytest.importorskip("tritonclient.grpc", reason="tritonclient is absent (pip install streamclf[triton])")
pytestmark = pytest.mark.e2e

LIMIT_S = 90.0
HOP = 320  # samples of a frame at 16 kHz


@pytest.fixture(scope="module")
def triton() -> None:
    try:
        environment()
    except TritonUnavailableError as reason:
        pytest.skip(f"no real tritonserver: {reason}")


@pytest.fixture
def served(triton: None, tmp_path: Path) -> Iterator[Callable[..., TritonServer]]:
    """Starts a server with these packs, which `models triton` writes."""
    begun = []

    def serve(*packs: object, env: dict[str, str] | None = None, options: tuple[str, ...] = ()) -> TritonServer:
        folder = written(tmp_path, *packs, env=env)
        begun.append(TritonServer(folder, *options))
        begun[-1].start()
        return begun[-1]

    yield serve
    for one in begun:
        one.close()


def written(home: Path, *packs: object, env: dict[str, str] | None = None) -> Path:
    folder = home / "repository"
    for pack in packs:
        done = run_cli("models", "triton", str(pack), str(folder), home=home, env=env)
        assert done.returncode == 0, done.stderr
    return folder


def rows_of(sound: Path, packs: list[str], home: Path, env: dict[str, str]) -> dict[str, Any]:
    """Every array that `classify --scores` writes of it."""
    models = [word for pack in packs for word in ("--model", pack)]
    out = home / f"rows-{len(list(home.iterdir()))}"
    done = run_cli(
        "classify", str(sound), *models, "--scores", "--format", "npz", "--out", str(out), home=home, env=env
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {}
    for file in out.rglob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            found |= {f"{file.name} {name}": values for name, values in arrays.items()}
    return found


class Heard:
    """What a subscriber gets of one daemon."""

    def __init__(self, daemon: Daemon, connection: ClientConnection) -> None:
        self._connection = connection
        self._daemon = daemon
        self.rows: dict[int, list[float]] = {}
        self.gaps: list[tuple[int, int, str]] = []
        self.first = -1

    def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < deadline, f"{what}\n{self._daemon.stderr}"
            try:
                message = json.loads(self._connection.recv(timeout=0.1))
            except TimeoutError:
                continue
            if message["type"] == "error":
                raise AssertionError(message)
            if message["type"] == "scores":
                for index, row in enumerate(message["rows"]):
                    frame = message["first_frame"] + index
                    assert frame not in self.rows, "a row came twice"
                    self.rows[frame] = row
                    self.first = frame if self.first < 0 else self.first
            if message["type"] == "gap":
                self.gaps.append((message["first_sample"] // HOP, message["last_sample"] // HOP, message["reason"]))

    def more(self, count: int = 50) -> None:
        """So many rows more come."""
        before = len(self.rows)
        self.until(lambda: len(self.rows) >= before + count, "no rows come")

    def whole(self) -> None:
        """Each frame since the first row has a row or lies in a gap, and none both."""
        lost = {frame for first, last, _ in self.gaps for frame in range(first, last + 1) if frame >= self.first}
        assert not lost & set(self.rows), "rows of frames that a gap tells of"
        assert sorted(lost | set(self.rows)) == list(range(self.first, max(self.rows) + 1)), "frames without a word"


@pytest.fixture
def hearing(daemon: StartDaemon, tmp_path: Path) -> Iterator[Callable[..., tuple[Daemon, Heard]]]:
    """Starts a daemon that plays a recording over and over, and a subscriber of it."""
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=1.5)
    connections = ExitStack()

    def start(pack: Path, server: TritonServer, **more: str) -> tuple[Daemon, Heard]:
        env = {"STREAMCLF_KSERVE_URL": server.address, "STREAMCLF_LOUDNESS_ENABLED": "false"} | more
        running = daemon("--source", f"file:{sound}#loop=yes&name=mic", "--model", str(pack), env=env, ready=False)
        running.wait_for("listening on", LIMIT_S)
        link = connections.enter_context(connect(f"{running.url}?tier=batch", compression=None, max_size=None))
        return running, Heard(running, link)

    with connections:
        yield start


def problems(running: Daemon) -> str:
    return json.dumps(running.get_json("/v1/status")["problems"], ensure_ascii=False)


def test_rows_are_those_of_this_process_over_real_recordings(
    served: Callable[..., TritonServer], packs_dir: Path, shared: Path, tmp_path: Path
) -> None:
    packs = ["silero-vad", "yamnet", "default"]
    env = {"STREAMCLF_MODELS": str(packs_dir)}
    server = served(*packs, env=env)
    sounds = sorted((shared / "data" / "esc10").glob("*/*.ogg"))[:60:30]
    assert len(sounds) == 2
    for sound in sounds:
        here = rows_of(sound, packs, tmp_path, env)
        there = rows_of(sound, packs, tmp_path, env | {"STREAMCLF_KSERVE_URL": server.address})
        assert here.keys() == there.keys()
        assert sum(rows.dtype.kind == "f" for rows in here.values()) == len(packs)
        for name, rows in here.items():
            if rows.dtype.kind == "f":
                assert np.abs(rows - there[name]).max() <= 1e-5, name
            else:
                assert np.array_equal(rows, there[name]), name


def test_a_server_that_is_killed_is_told_nothing_is_invented_and_it_goes_on(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    running, heard = hearing(pack, server)
    heard.more()
    assert server.address in json.dumps(running.get_json("/v1/status")["packs"])

    for _ in range(2):
        server.kill()
        heard.until(lambda: "cannot be reached" in problems(running), "that it is gone is not told")
        assert running.get("/healthz")[0] == 503
        server.start()
        heard.more()
        heard.whole()
    assert {reason for _, _, reason in heard.gaps} == {"unscored"}
    heard.until(lambda: running.get("/healthz")[0] == 200, "it is not well again")


def test_a_server_that_answers_too_late_is_told_and_goes_on(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    running, heard = hearing(pack, server, STREAMCLF_KSERVE_TIMEOUT_MS="400")
    heard.more()
    server.signal(signal.SIGSTOP)
    heard.until(lambda: "did not answer within 0.4 s" in problems(running), "that it hangs is not told")
    server.signal(signal.SIGCONT)
    heard.more()
    heard.whole()
    assert heard.gaps


def test_another_version_is_told_and_not_used_also_where_it_comes_while_the_daemon_runs(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    running, heard = hearing(pack, server)
    heard.more()
    ours = next((tmp_path / "repository").glob("*/*/model.onnx")).parent

    server.kill()
    other = ours.rename(ours.with_name("1"))  # as of a server that somebody set up by hand
    server.serve(tmp_path / "repository")
    server.start()
    heard.until(lambda: f"in version 1, but this pack is version {ours.name}" in problems(running), "it is not told")
    told = len(heard.rows)

    server.kill()
    other.rename(ours)
    server.serve(tmp_path / "repository")
    server.start()
    heard.more()
    heard.whole()
    assert told < len(heard.rows)


def test_a_digest_that_is_not_the_packs_is_told(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    server.kill()
    (config,) = (tmp_path / "repository").glob("*/config.pbtxt")
    key = 'string_value: "'
    head, _, tail = config.read_text().partition(key)
    config.write_text(head + key + "f" * 64 + tail[64:])
    server.serve(tmp_path / "repository")
    server.start()
    running, heard = hearing(pack, server)
    heard.until(lambda: "has the digest ffffffffffff…" in problems(running), "it is not told")
    assert not heard.rows


def test_a_server_that_is_not_there_at_the_start_is_waited_for_and_an_offline_run_says_so(
    served: Callable[..., TritonServer], hearing: Callable[..., tuple[Daemon, Heard]], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    server.kill()
    running, heard = hearing(pack, server)
    heard.until(lambda: "cannot be reached" in problems(running), "it is not told")
    env = {"STREAMCLF_KSERVE_URL": server.address}
    done = run_cli("classify", str(tmp_path / "garden.wav"), "--model", str(pack), home=tmp_path, env=env)
    assert done.returncode == 1
    assert f"the server at {server.address} cannot be reached" in done.stderr
    server.start()
    heard.more()


def test_both_versions_of_a_pack_are_served_beside_each_other(tmp_path: Path) -> None:
    first = stateful_pack(tmp_path / "tiny")
    folder = written(tmp_path, first)
    text = (first / "pack.toml").read_text()
    second = tmp_path / "again" / "tiny"
    shutil.copytree(first, second)
    (second / "pack.toml").write_text(text.replace('title = "', 'title = "new '))
    written(tmp_path, second)
    (config,) = folder.glob("*/config.pbtxt")
    versions = sorted(place.parent.name for place in folder.glob("*/*/model.onnx"))
    assert len(versions) == 2
    assert all(f"digest_{version}" in config.read_text() for version in versions)


def test_doctor_and_config_check_tell_the_truth_of_the_server(
    served: Callable[..., TritonServer], tmp_path: Path
) -> None:
    pack = stateful_pack(tmp_path / "tiny")
    server = served(pack)
    config = tmp_path / "config" / "streamclf" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'model = ["{pack}"]\n[kserve]\nurl = "{server.address}"\n')
    said = run_cli("doctor", home=tmp_path).stdout
    assert f"the server at {server.address} has this very pack" in said
    server.kill()
    done = run_cli("doctor", home=tmp_path)
    assert f"the server at {server.address} cannot be reached" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('url = "http://127.0.0.1:8001"', "grpc://127.0.0.1:8001"),
        ('url = "grpc://gpu.example.org:8001"', "expected grpcs://"),
        ('url = "grpc://127.0.0.1:8001"\nauthority = "a.pem"', "authority needs grpcs://"),
        ('url = "grpcs://127.0.0.1:8001"\nkey = "a.pem"', "name both"),
        ('url = "grpcs://127.0.0.1:8001"\nauthority = "/nowhere/a.pem"', "/nowhere/a.pem cannot be read"),
        ('url = "grpcs://127.0.0.1:8001"\ntoken_file = "/nowhere/token"', "/nowhere/token cannot be read"),
        ('url = "grpc://127.0.0.1:8001"\ntoken_file = "{open}"', "others can use"),
        ('url = "grpc://127.0.0.1:8001"\ntoken_file = "/dev/zero"', "not a regular file"),
        ('url = "grpc://127.0.0.1:8001"\npacks = ["other"]', "kserve.packs names 'other', which does not run"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused_before_anything_starts(
    section: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    (tmp_path / "open").write_text("a token")
    (tmp_path / "open").chmod(0o644)
    section = section.replace("{open}", str(tmp_path / "open"))
    file.write_text(f'model = ["{stateful_pack(tmp_path / "tiny")}"]\n[kserve]\n{section}\n')
    done = run_cli("run", "--source", "push:a,16000", "--config", str(file), home=tmp_path)
    assert done.returncode == 78, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_of_several_daemons_are_batched_by_the_server_and_their_rows_stay_apart(
    served: Callable[..., TritonServer], tmp_path: Path
) -> None:
    from tritonclient.grpc import InferenceServerClient

    pack = load_pack(stateful_pack(tmp_path / "tiny"))
    server = served(pack.path)
    place = InferenceServer(KserveConfig(url=server.address, timeout_ms=30_000))
    sound = np.random.default_rng(0).standard_normal((4, 100, *Session(pack).input_shape)).astype(np.float32)

    def heard(session: Session, blocks: Any) -> Any:
        rows = []
        for block in blocks:
            session.input_rows(1)[0] = block
            rows.append(session.run([0])[0])
        return np.stack(rows)

    with ThreadPoolExecutor(4) as daemons:
        there = list(daemons.map(lambda blocks: heard(Session(pack, server=place), blocks), sound))
    for rows, blocks in zip(there, sound, strict=True):
        assert np.abs(rows - heard(Session(pack), blocks)).max() <= 1e-5
    with InferenceServerClient(server.address.removeprefix("grpc://")) as client:
        (told,) = client.get_inference_statistics(pack.manifest.name).model_stats
    assert told.execution_count < told.inference_count, "no two were run together"


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
