"""Packs on a real tritonserver: the same rows as here, whatever happens to the server in between."""

import json
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamclf.config import KserveConfig
from streamclf.model.kserve import InferenceServer
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from tests.support.triton import Heard, hearing, problems, rows_of, served, triton, written
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tinypack import stateful_pack
from tools.lab.tritonserver import TritonServer

pytest.importorskip("tritonclient.grpc", reason="tritonclient is absent (pip install streamclf[triton])")
pytestmark = pytest.mark.e2e

__all__ = ["hearing", "served", "triton"]


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
