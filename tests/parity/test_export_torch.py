"""Modules of our own become packs: states, chunks of rows, context before a step, every layout of features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

import torch

from streamclf.engine.verify import verify
from streamclf.errors import PackError, StreamclfError
from streamclf.features.frontend import make_frontend
from streamclf.model.loader import load_pack
from streamclf.model.pack import Fbank, LogMel, Manifest, StateTensor, Waveform
from streamclf.train.export.packing import write_torch_pack
from streamclf.train.export.spectra import fbank_images, logmel_images
from streamclf.types import Label, Shape
from tools.lab.tinypack import LOGMEL

BANDS = LOGMEL.bands
LABELS = [Label("a", "A"), Label("b", "B"), Label("c", "C")]


class Recurrent(torch.nn.Module):
    """One GRU cell over `rows` rows of two feature frames each; the batch is the state's second axis."""

    def __init__(self, size: int, rows: int = 1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.cell = torch.nn.GRUCell(size, 6)
        self.head = torch.nn.Linear(6, 3)
        self.rows = rows
        for weight in self.parameters():
            torch.nn.init.normal_(weight, std=0.5)

    def forward(self, features: Any, state: Any) -> Any:
        """features: (B, rows * size values), state: (1, B, 6)."""
        hidden, logits = state[0], []
        for row in features.reshape(features.shape[0], self.rows, -1).unbind(1):
            hidden = self.cell(row, hidden)
            logits.append(self.head(hidden))
        out = torch.stack(logits, dim=1)
        return out if self.rows > 1 else out[:, 0], hidden[None]


class Mean(torch.nn.Module):
    """A small net on a window, whatever its layout."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.head = torch.nn.Linear(size, 3)

    def forward(self, features: Any) -> Any:
        """features: any shape behind the batch."""
        return self.head(features.flatten(1) * 0.5)


def manifest(shape: Shape, **values: Any) -> Manifest:
    given: dict[str, Any] = {
        "format": 1, "name": "own", "version": "1", "title": "Own", "licence": "MIT", "source": "random weights",
        "rate": 16_000, "shape": shape, "input": "features", "output": "scores", "activation": "sigmoid", "files": {},
    }  # fmt: skip
    return Manifest(**{**given, **values})


STATE = (StateTensor(input="state", output="state_out", shape=(1, 0, 6)),)


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (1, {"step": 320, "window": 640, "features": LOGMEL, "input_layout": "time-bands", "look_ahead": 0}),
        (1, {"step": 320, "window": 960, "features": LOGMEL, "input_layout": "bands-time", "look_ahead": 640}),
        (4, {"step": 1280, "window": 1600, "features": LOGMEL, "input_layout": "time-bands", "look_ahead": 960}),
        (1, {"step": 512, "window": 576, "features": Waveform(), "look_ahead": 0}),
    ],
)
def test_a_stateful_module_streams_as_it_steps(rows: int, values: dict[str, Any], tmp_path: Path) -> None:
    features = values["features"]
    frames = 0 if isinstance(features, Waveform) else (values["window"] - 400) // 160 + 1
    size = (frames * BANDS or values["window"]) // rows
    made = manifest(Shape.STATEFUL, state=STATE, rows_per_window=rows, **values)
    report = write_torch_pack(Recurrent(size, rows), manifest=made, labels=LABELS, out=tmp_path / "p", card="# Own\n")

    assert report.parity.worst < 1e-3
    assert report.receptive_field_ms is None
    assert report.hop_ms == pytest.approx(1000 * values["step"] / 16_000)
    assert verify(load_pack(tmp_path / "p")).problems == []


@pytest.mark.parametrize(
    ("layout", "features"),
    [
        ("channel-bands-time", LOGMEL),
        ("bands-time", Fbank(frame_length=400, frame_shift=160, bands=BANDS, mean=-5.0, scale=2.0)),
        ("flat", Waveform(normalise="window")),
    ],
)
def test_a_module_on_windows(layout: str, features: LogMel | Fbank | Waveform, tmp_path: Path) -> None:
    window = 400 + 9 * 160
    size = window if isinstance(features, Waveform) else 10 * BANDS
    values = {"window": window, "look_ahead": window - 3 * 320, "row_at": 640, "features": features}
    made = manifest(Shape.WINDOW_ROW, input_layout=layout, **values)
    report = write_torch_pack(Mean(size), manifest=made, labels=LABELS, out=tmp_path / "p", card="# Own\n")
    assert report.parity.worst < 1e-3
    assert verify(load_pack(tmp_path / "p")).problems == []


def test_a_manifest_that_cannot_be_true_is_told_before_anything_is_made(tmp_path: Path) -> None:
    made = manifest(Shape.WINDOW_ROW, window=1840, look_ahead=0, row_at=0, features=Waveform())
    with pytest.raises(PackError, match="`row_at` is 0"):
        write_torch_pack(Mean(1840), manifest=made, labels=LABELS, out=tmp_path / "p", card="")
    assert not list(tmp_path.iterdir())


def test_a_module_that_torch_cannot_capture_is_a_sentence(tmp_path: Path) -> None:
    class Fickle(Mean):
        def forward(self, features: Any) -> Any:
            return self.head(features) if features.sum().item() > 0 else self.head(-features)

    made = manifest(Shape.WINDOW_ROW, window=1840, look_ahead=1840 - 960, row_at=640, features=Waveform())
    with pytest.raises(StreamclfError, match="torch cannot export Fickle to ONNX"):
        write_torch_pack(Fickle(1840), manifest=made, labels=LABELS, out=tmp_path / "p", card="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
@pytest.mark.parametrize("log", ["ln", "log10", "db"])
@pytest.mark.parametrize(
    ("scale", "slopes", "norm"), [("htk", "hz", "none"), ("slaney", "hz", "slaney"), ("htk", "mel", "none")]
)
def test_transformers_spectra_are_ours(spectrum: Any, log: Any, scale: Any, slopes: Any, norm: Any) -> None:
    """The reference of own nets, from transformers' functions, and the features that run live: two ways, one result."""
    features = LogMel(
        frame_length=400, frame_shift=160, fft_size=512, bands=40, low_hz=60.0, high_hz=7800.0, mel_scale=scale,
        mel_slopes=slopes, mel_norm=norm, spectrum=spectrum, log=log, log_offset=1e-3, mean=-1.0, scale=3.0,
    )  # fmt: skip
    assert_same(features, logmel_images)


@pytest.mark.parametrize("window", ["povey", "hanning", "hamming"])
def test_transformers_fbank_is_ours(window: Any) -> None:
    features = Fbank(
        frame_length=400, frame_shift=160, bands=40, window=window, sample_scale=32768.0, high_hz=-200.0,
        mean_vector=tuple(float(i) for i in range(40)), scale_vector=(2.0,) * 40,
    )  # fmt: skip
    assert_same(features, fbank_images)


def assert_same(features: Any, images: Any) -> None:
    audio = (np.random.default_rng(1).standard_normal(4000) * 0.1).astype(np.float32)
    frontend = make_frontend(features, 16_000, history=4000)
    frontend.push(audio)
    ours = np.zeros((frontend.available, features.bands), np.float32)
    frontend.window(0, 4000, ours)
    theirs = images(audio[None], features, 16_000)[0]
    assert theirs.shape == ours.shape
    assert np.abs(ours - theirs).max() < 1e-3
