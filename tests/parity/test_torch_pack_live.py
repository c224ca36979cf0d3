"""A module of our own as a pack: every row of the live engine is torch's, and a variant loses what is printed.

Nothing of the exporter's own parity is used here: features are written out from their definition, torch or ONNX Runtime
is called directly, and each row is placed by the definition in `model/pack.py`.
"""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("torch", reason="needs torch (the extra `train`)")
pytest.importorskip("transformers", reason="needs transformers (the extra `train`)")
pytest.importorskip("onnxscript", reason="torch exports graphs with onnxscript")

import torch

from streamclf.model.loader import load_pack
from streamclf.model.pack import LogMel, Manifest, Pack, StateTensor, Waveform
from streamclf.train.export.packing import pack_name, write_torch_pack
from streamclf.train.export.parity import signal
from streamclf.types import F32, Label, Shape
from tests.support.liverows import HOP, live, placed
from tests.support.ownrows import log_mel

BANDS, CLASSES = 8, 3
MEL: dict[str, Any] = {
    "frame_length": 400, "frame_shift": 160, "fft_size": 512, "bands": BANDS, "low_hz": 100.0, "high_hz": 7500.0,
    "mel_scale": "htk", "log_offset": 0.001, "mean": -4.0, "scale": 2.0,
}  # fmt: skip
LABELS = [Label("a", "A"), Label("b", "B"), Label("c", "C")]
AUDIO = signal(16_000, 9_777, seed=21)
STATES = (
    StateTensor(input="h_in", output="h_out", shape=(1, 0, 6)),
    StateTensor(input="past_in", output="past_out", shape=(0, 4)),
)


class Net(torch.nn.Module):
    """`rows` parts of the input one after the other, each with the state of the one before; 0 states: a window."""

    def __init__(self, size: int, *, rows: int = 1, stateful: bool = False, framed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.inside = torch.nn.Linear(size, 24)
        self.cell = torch.nn.GRUCell(24 + 4, 6)
        self.head = torch.nn.Linear(6, CLASSES)
        self.rows, self.stateful, self.framed = rows, stateful, framed
        # samples are small numbers
        self.gain = 10.0 if size > 20 * BANDS else 0.5
        with torch.no_grad():
            for name, weight in self.named_parameters():
                weight.normal_(std=0.2 if "bias" in name else 1.5 / weight.shape[1] ** 0.5)

    def forward(self, features: Any, h: Any = None, past: Any = None) -> Any:
        parts = self.gain * features.flatten(1).reshape(len(features), self.rows, -1)
        hidden = features.new_zeros(len(features), 6) if h is None else h[0]
        past = features.new_zeros(len(features), 4) if past is None else past
        logits = []
        for part in parts.unbind(1):
            inside = torch.tanh(self.inside(part))
            hidden = self.cell(torch.cat([inside, past], dim=1), hidden)
            past = inside[:, :4]
            logits.append(3.0 * self.head(hidden))
        rows = torch.stack(logits, dim=1) if self.framed else logits[-1]
        return (rows, hidden[None], past) if self.stateful else rows


def manifest(shape: Shape, **values: Any) -> Manifest:
    given: dict[str, Any] = {
        "format": 1, "name": "own", "version": "1", "title": "Own", "licence": "MIT", "source": "random weights",
        "rate": 16_000, "shape": shape, "input": "features", "output": "scores", "activation": "softmax", "files": {},
        "features": LogMel(**MEL),
    }  # fmt: skip
    return Manifest(**{**given, **values})


def stateful(**values: Any) -> Manifest:
    return manifest(Shape.STATEFUL, state=STATES, **values)


MADE: dict[str, tuple[Manifest, int]] = {
    # name -> manifest, values of one part of the input
    "one row a step": (stateful(step=320, window=640, look_ahead=0, input_layout="time-bands"), 2 * BANDS),
    "steps off the 20 ms grid": (stateful(step=512, window=640, look_ahead=0, features=Waveform()), 640),
    "chunks of 4 rows": (
        stateful(step=1280, window=1600, look_ahead=1600, rows_per_window=4, input_layout="time-bands"), 2 * BANDS,
    ),
    "window, one row, samples": (
        manifest(Shape.WINDOW_ROW, window=2000, look_ahead=720, row_at=960, features=Waveform()), 2000,
    ),
    "window, one row, bands first": (
        manifest(Shape.WINDOW_ROW, window=1840, look_ahead=0, row_at=1600, input_layout="channel-bands-time"),
        10 * BANDS,
    ),
    "window, one row, time first": (
        manifest(Shape.WINDOW_ROW, window=1840, look_ahead=1520, row_at=0, input_layout="channel-time-bands"),
        10 * BANDS,
    ),
    "window, a row a frame": (
        manifest(
            Shape.WINDOW_FRAMES, window=400 + 9 * 160, look_ahead=240, rows_per_window=5, input_layout="time-bands",
            activation="sigmoid",
        ),
        2 * BANDS,
    ),
}  # fmt: skip


def net_of(made: Manifest, size: int) -> Net:
    net = Net(size, rows=made.rows_per_window, stateful=bool(made.state), framed=made.framed)
    net.eval()
    return net


Wide = Callable[[str], Pack]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Wide:
    """The float32 pack of that name, made once."""
    folder = tmp_path_factory.mktemp("wide")

    @cache
    def pack(name: str) -> Pack:
        made, size = MADE[name]
        out = folder / pack_name(name)
        write_torch_pack(net_of(made, size), manifest=made, labels=LABELS, out=out, card="# Own\n")
        return load_pack(out)

    return pack


@pytest.mark.parametrize("name", MADE)
def test_every_live_row_is_torch_s(name: str, wide: Wide) -> None:
    made, size = MADE[name]
    net = net_of(made, size)

    def run(inputs: list[F32]) -> list[F32]:
        with torch.inference_mode():
            given = net(*map(torch.from_numpy, inputs))
        return [one.numpy() for one in (given if isinstance(given, tuple) else (given,))]

    expected = placed(made, probabilities(native(made, AUDIO, run), made.activation), len(AUDIO))
    assert expected.std(axis=0).max() > 0.015, "rows that hardly change would prove nothing"
    got = live(wide(name), AUDIO, [1, 317, 2048, 160])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4


@pytest.mark.parametrize("variant", ["int8", "int8-weights", "fp16"])
@pytest.mark.parametrize("name", ["chunks of 4 rows", "window, one row, samples"])
def test_a_variant_runs_live_and_loses_what_is_printed(name: str, variant: Any, wide: Wide, tmp_path: Path) -> None:
    made, size = MADE[name]
    out = tmp_path / "p"
    report = write_torch_pack(net_of(made, size), manifest=made, labels=LABELS, out=out, card="", variant=variant)
    pack = load_pack(out)

    audio = np.load(io.BytesIO(pack.golden or b""))["audio"]
    rows = [probabilities(native(made, audio, by_runtime(one)), made.activation) for one in (wide(name), pack)]
    gap = np.abs(rows[0] - rows[1])
    same = (rows[0].argmax(axis=-1) == rows[1].argmax(axis=-1)).mean()
    assert report.loss is not None
    assert report.loss.rows == rows[0].size // CLASSES
    assert gap.max() > 1e-5, "a variant that loses nothing at all is none"
    assert report.loss.top_1 == pytest.approx(same, abs=1.5 / report.loss.rows)
    assert report.loss.mean == pytest.approx(gap.mean(), rel=0.02, abs=1e-6)
    assert report.loss.worst == pytest.approx(gap.max(), rel=0.02, abs=1e-6)
    card = (out / "CARD.md").read_text()
    assert f"| same top class | {100 * report.loss.top_1:.1f} % |" in card
    assert f"{report.loss.mean:.1e} off in the mean, {report.loss.worst:.1e} at worst" in card

    grid = placed(made, probabilities(native(made, AUDIO, by_runtime(pack)), made.activation), len(AUDIO))
    assert np.abs(live(pack, AUDIO, [999, 4, 321]) - grid).max() < 1e-4


def native(made: Manifest, audio: F32, run: Callable[[list[F32]], list[F32]]) -> F32:
    """Output of every run on the signal, silence before it and behind it: (runs, F, classes)."""
    frames = -(-len(audio) // HOP)
    framed = made.shape is Shape.WINDOW_FRAMES
    beyond = made.window - made.rows_per_window * HOP if framed else made.look_ahead
    whole = frames * HOP + beyond
    step = made.step or HOP
    last = max(whole, made.window) - (made.step or made.window)
    context = made.window - made.step if made.state else 0
    states = [np.zeros([size or 1 for size in one.shape], np.float32) for one in made.state]
    rows = []
    for start in range(0, last + 1, step):
        output, *states = run([features(made, audio, start - context)[None], *states])
        rows.append(output.reshape(made.rows_per_window, CLASSES))
    return np.stack(rows)


def features(made: Manifest, audio: F32, first: int) -> F32:
    """The input of the run whose window begins at sample `first`, which may lie before the signal."""
    lead = np.zeros(made.window, np.float32)
    heard = np.concatenate([lead, audio, np.zeros(made.window + made.look_ahead + 2 * HOP, np.float32)])
    samples = heard[first + made.window :][: made.window]
    if isinstance(made.features, Waveform):
        return samples
    # a feature frame that begins before the stream is silence as a whole
    count = (made.window - 400) // 160 + 1
    parts = [samples[160 * at :][:400] if first + 160 * at >= 0 else lead[:400] for at in range(count)]
    image = np.concatenate([log_mel(part, MEL) for part in parts]).astype(np.float32)
    image = image.T if made.input_layout.endswith("bands-time") else image
    return np.ascontiguousarray(image[None] if made.input_layout.startswith("channel") else image)


def by_runtime(pack: Pack) -> Callable[[list[F32]], list[F32]]:
    session = ort.InferenceSession(pack.model, providers=["CPUExecutionProvider"])
    names = [pack.manifest.input, *(one.input for one in pack.manifest.state)]
    outputs = [pack.manifest.output, *(one.output for one in pack.manifest.state)]
    return lambda inputs: list(session.run(outputs, dict(zip(names, inputs, strict=True))))


def probabilities(logits: F32, activation: str) -> F32:
    wide = torch.from_numpy(logits).double()
    rows: F32 = (wide.sigmoid() if activation == "sigmoid" else wide.softmax(dim=-1)).float().numpy()
    return rows
