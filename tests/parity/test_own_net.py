"""The path of somebody with a torch model: exported by torch, added by one command, proved by its own scores, live."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from streamclf.cli import cli
from streamclf.engine.verify import verify
from streamclf.model.loader import load_pack
from streamclf.types import F32

RATE, SECONDS, CLASSES = 16_000, 1, 4


def test_a_torch_net_on_pictures_is_added_with_its_weights_beside_it_and_hears_as_it_did(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    librosa = pytest.importorskip("librosa")
    pytest.importorskip("onnxscript")
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU(), torch.nn.AvgPool2d(7), torch.nn.Flatten(),
        torch.nn.Linear(32, CLASSES),
    ).eval()  # fmt: skip
    graph, wav, scores, labels = (tmp_path / name for name in ("net.onnx", "clip.wav", "scores.npy", "labels.txt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of itself
        torch.onnx.export(net, (torch.zeros(1, 3, 64, 64),), str(graph), dynamic_shapes=({0: "batch"},), dynamo=True,
                          external_data=True, verbose=False)  # fmt: skip
    assert (tmp_path / "net.onnx.data").is_file(), "torch has put the weights elsewhere"
    time = np.arange(2 * SECONDS * RATE) / RATE
    sound: F32 = (0.2 * np.sin(2 * np.pi * (300 + 400 * time) * time)).astype(np.float32)
    soundfile.write(wav, sound, RATE, subtype="FLOAT")
    power = librosa.feature.melspectrogram(y=sound[: SECONDS * RATE], sr=RATE, n_fft=512, hop_length=200, n_mels=40)
    levels = librosa.power_to_db(power, ref=np.max)
    levels = torch.from_numpy((levels - levels.min()) / (levels.max() - levels.min()))
    pixels = torch.nn.functional.interpolate(levels[None, None], size=(64, 64), mode="bilinear", antialias=True)
    with torch.no_grad():
        np.save(scores, torch.softmax(net(pixels.expand(-1, 3, -1, -1)), dim=1).numpy())
    labels.write_text("".join(f"kind {number}\n" for number in range(CLASSES)))

    said = ["--labels", str(labels), "--rate", str(RATE), "--licence", "MIT", "--window-ms", "1000"]
    image = "n_fft=512,hop_length=200,n_mels=40,ref=max,top_db=80,normalise=min-max,size=64x64"
    env = {"STREAMCLF_MODELS": str(tmp_path / "models"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    told = CliRunner().invoke(
        cli, ["models", "add", str(graph), *said, "--image", image, "--golden", f"{wav},{scores}"], env=env
    )

    assert told.exit_code == 0, (told.output, told.exception)
    assert "the golden scores are those of softmax" in told.output
    pack = load_pack(tmp_path / "models" / "net")
    assert (pack.manifest.activation, pack.manifest.exclusive) == ("softmax", True)
    report = verify(pack)
    assert report.problems == []
    assert report.golden is not None
    assert report.golden < 1e-5
