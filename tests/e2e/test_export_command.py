"""`streamclf export` as a user runs it, and every exported class live: from a file to a subscriber of the websocket."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

import torch

from streamclf.model.loader import load_pack
from streamclf.train.export.parity import signal
from streamclf.train.fit.ours import OwnNet
from streamclf.types import F32
from tests.conftest import StartDaemon
from tests.support.ownrows import log_mel, own_grid
from tools.lab.checkpoints import COMMON, OWN, classes, edit, exported, own_pack
from tools.lab.daemon import run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
LIMIT_S = 300.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "exported"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_hub_model_is_exported_with_a_certificate_and_verifies(base: Path, tmp_path: Path) -> None:
    """The model id is looked up as transformers looks it up, here in a cache of the hub's make."""
    folder, _, _ = exported("Wav2Vec2ForAudioFrameClassification", base)
    cache = tmp_path / "hf" / "hub" / "models--somebody--speakers"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
    out = tmp_path / "pack"
    env = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = run_cli(
        "export", "somebody/speakers", "--out", str(out), "--window-ms", "500", "--offline",
        home=tmp_path, env=env, timeout_s=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = {line[:20].strip(): line[20:].strip() for line in done.stdout.splitlines()}
    assert told["receptive field"] == "505 ms"
    assert told["look-ahead"] == "5 ms"
    assert told["algorithmic latency"].startswith("25 ms")
    assert told["parameters"].replace(",", "").isdigit()
    for what in ("parity", "ONNX, batch 1", "ONNX, batch 4", "streaming"):
        assert float(told[what].split()[0]) < 1e-3
    assert "RTF" in told["hop held here"]
    assert load_pack(out).manifest.source == "Hugging Face somebody/speakers (Wav2Vec2ForAudioFrameClassification)"

    verified = run_cli("models", "verify", str(out), home=tmp_path)
    assert verified.returncode == 0, verified.stderr
    again = run_cli("export", str(folder), "--out", str(out), home=tmp_path, timeout_s=LIMIT_S)
    assert (again.returncode, again.stdout) == (2, "")
    assert "--replace" in again.stderr


def test_json_is_for_machines(base: Path, tmp_path: Path) -> None:
    folder, _, _ = exported("ResNetForImageClassification", base)
    done = run_cli(
        "export", str(folder), "-o", str(tmp_path / "pack"), "--int8", "weights", "-f", "log-offset=0.002", "--json",
        home=tmp_path, timeout_s=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["parity"]["streaming"] < 1e-3
    assert report["loss"]["variant"] == "int8-weights"
    assert report["hop_ms"] % 20 == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["{folder}"], 1, "is a Wav2Vec2ForPreTraining, which is an encoder without a head"),
        (["{folder}", "--int8", "--fp16"], 2, "--int8 and --fp16 are two variants"),
        (["nowhere"], 2, "is neither a folder that exists nor a model id"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], code: int, sentence: str, base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported("Wav2Vec2ForAudioFrameClassification", base)[0], tmp_path / "model")
    edit(folder / "config.json", architectures=["Wav2Vec2ForPreTraining"])
    words = [word.format(folder=folder) for word in arguments]
    done = run_cli("export", *words, "--out", str(tmp_path / "pack"), home=tmp_path, timeout_s=LIMIT_S)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "pack").exists()


def test_families_lists_every_class(tmp_path: Path) -> None:
    done = run_cli("export", "--families", home=tmp_path, timeout_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == classes()


def test_every_class_runs_live_and_says_what_its_checkpoint_says(
    daemon: StartDaemon, base: Path, tmp_path: Path
) -> None:
    """One daemon, all packs, one file; each final row against transformers' own extractor and model."""
    made = {architecture: exported(architecture, base)[:2] for architecture in COMMON}
    audio = signal(16_000, 29_000, seed=11)
    heard = live(daemon, audio, [pack for _, pack in made.values()], tmp_path)
    for architecture, (folder, where) in made.items():
        manifest = load_pack(where).manifest
        gap = np.abs(heard[manifest.name] - own_grid(architecture, folder, audio, manifest)).max()
        assert gap < 1e-4, f"{architecture} is {gap:.1e} off"


def test_the_own_causal_nets_run_live_and_say_what_torch_says(daemon: StartDaemon, tmp_path: Path) -> None:
    """State tensors, a convolution's past, keys and values in chunks: against one run of torch over the whole file."""
    audio = signal(16_000, 29_000, seed=12)
    expected = {}
    for arch in OWN:
        own, _ = own_pack(arch, tmp_path / arch)
        with torch.inference_mode():
            expected[arch] = own.logits(torch.from_numpy(whole_file(audio, own))[None])[0].sigmoid().numpy()
    heard = live(daemon, audio, [tmp_path / arch for arch in expected], tmp_path)
    for arch, rows in expected.items():
        assert rows.std(axis=0).max() > 0.02, "rows that hardly change would prove nothing"
        gap = np.abs(heard[arch] - rows).max()
        assert gap < 1e-4, f"{arch} is {gap:.1e} off"


def whole_file(audio: F32, own: OwnNet) -> F32:
    """Every feature frame of the file by the definition of log-mel, two for each 20 ms; before it there is silence."""
    settings = msgspec.to_builtins(own.manifest.features)
    frames = -(-len(audio) // 320)
    heard = np.concatenate([audio, np.zeros(640, np.float32)])
    silence = log_mel(np.zeros(settings["frame_length"], np.float32), settings)
    return np.concatenate([silence, silence, log_mel(heard, settings)])[: 2 * frames].astype(np.float32)


def live(daemon: StartDaemon, audio: F32, packs: list[Path], folder: Path) -> dict[str, F32]:
    """Pack -> its final row of every frame, (frames, classes), as a subscriber of the websocket gets them."""
    soundfile.write(folder / "sound.wav", audio, 16_000, subtype="FLOAT")
    models = [word for pack in packs for word in ("--model", str(pack))]
    running = daemon(
        "--source", f"file:{folder / 'sound.wav'}", "--fast", "--hop-ms", "20", "--latency-ms", "0", *models,
        ready=False,
    )  # fmt: skip
    running.wait_ready(120.0)
    rows: dict[str, dict[int, list[float]]] = {}
    deadline = time.monotonic() + LIMIT_S
    with connect(f"{running.url}?tier=frame&since=0", compression=None, max_size=None) as connection:
        while True:
            message = json.loads(connection.recv(timeout=max(0.01, deadline - time.monotonic())))
            assert message["type"] != "lagged"
            if message["type"] == "scores" and message["final"]:
                for index, row in enumerate(message["rows"]):
                    rows.setdefault(message["pack"], {})[message["first_frame"] + index] = row
            if message["type"] == "status" and message["state"] == "ended":
                break
    every = list(range(-(-len(audio) // 320)))
    for pack, heard in rows.items():
        assert sorted(heard) == every, pack
    return {pack: np.array([heard[frame] for frame in every], np.float32) for pack, heard in rows.items()}
