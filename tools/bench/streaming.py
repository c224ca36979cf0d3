#!/usr/bin/env python
"""What streaming saves: each new 20 ms computed once, against running the whole window again every 20 ms.

    python tools/bench/streaming.py [--rounds 15] [--only TEXT]

Both give the same rows; the largest difference is printed. Thread-CPU time, one thread, the least of all rounds,
because other programs only ever add to a time; every round runs all cases in turn, streaming beside re-running, so
that the ratios hold on a machine that others use too. Needs the extra `train`. Weights are random: what is measured
does not depend on them. Exits with 1 where a target is missed or the rows differ.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# no telemetry, as in the daemon; must be set before onnxruntime is imported
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from streamclf.features.frontend import make_frontend
from streamclf.features.mel import mel_bank
from streamclf.features.spec import LogMel
from streamclf.model.loader import load_pack
from streamclf.model.pack import Manifest, Pack
from streamclf.model.packwriter import write_pack
from streamclf.model.session import Session
from streamclf.train.data.tasks import Task
from streamclf.train.export.onnxgraph import to_onnx
from streamclf.train.export.parity import signal
from streamclf.train.export.split_encoder import ENCODER_FILE, split
from streamclf.train.families.speech import WaveformHead
from streamclf.train.fit.cached import CachedTransformer, chunk_graph, chunk_manifest
from streamclf.train.fit.nets import CausalNet, CausalTCN
from streamclf.train.fit.ours import OwnNet, Shaping, log_mel
from streamclf.train.pretrained import quiet
from streamclf.types import F32, Label, Provider, Shape
from tools.lab.turns import Case, measure, microseconds, report

RATE, HOP, BANDS = 16_000, 320, 64
ROWS_A_SECOND = 50
CLASSES = tuple(f"class {at}" for at in range(10))
TOLERANCE = 1e-4
MANY = tuple(range(16))
LOGMEL = LogMel(
    frame_length=400,
    frame_shift=160,
    fft_size=512,
    bands=BANDS,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    spectrum="magnitude",
    log_offset=0.001,
)


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each case is measured")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    makers = {"log-mel": spectra, "CRNN TCN": causal, "transformer": transformers_cached, "Wav2Vec2": speech}
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for names, maker in makers.items():
            if chosen.only in names or not chosen.only:
                cases += maker(Path(folder))
    sys.exit(0 if report(cases, measure(cases, chosen.rounds), tolerance=TOLERANCE) else 1)


def spectra(_: Path) -> Iterator[Case]:
    """Log-mel: a hop pushed, against one second by our own transform and torch (the better one) and by librosa."""
    audio = signal(RATE, RATE)
    live = make_frontend(LOGMEL, RATE, history=RATE)
    live.push(audio)
    rows = np.zeros((live.available, BANDS), np.float32)
    live.window(0, RATE, rows)
    fresh = make_frontend(LOGMEL, RATE, history=RATE)
    low, high = LOGMEL.low_hz, LOGMEL.high_hz
    bank = mel_bank(bands=BANDS, low_hz=low, high_hz=high, fft_size=512, rate=RATE, scale="htk", slopes="hz")
    weights = torch.from_numpy(bank).float()
    turned = torch.hann_window(400)

    def ours() -> None:
        fresh.restart(0)
        fresh.push(audio)

    def by_torch() -> F32:
        frames = torch.from_numpy(audio).unfold(0, 400, 160) * turned
        mel: F32 = torch.log(torch.fft.rfft(frames, 512).abs() @ weights + 0.001).numpy()
        return mel

    best = min((ours, by_torch), key=lambda way: min(microseconds(way) for _ in range(5)))
    name = "our transform" if best is ours else "torch"
    apart = float(np.abs(by_torch() - rows).max())
    yield Case(f"log-mel, 1 s again by {name}", lambda: live.push(audio[:HOP]), best, apart, 5)
    if importlib.util.find_spec("librosa") is None:
        print("librosa is not installed: no figure for it", file=sys.stderr)
        return
    with quiet():
        import librosa

    def by_librosa() -> F32:
        # librosa centres the window of 400 in its 512 samples
        mel = librosa.feature.melspectrogram(
            y=np.pad(audio, 56),
            sr=RATE,
            n_fft=512,
            win_length=400,
            hop_length=160,
            center=False,
            power=1.0,
            n_mels=BANDS,
            fmin=125.0,
            fmax=7500.0,
            htk=True,
            norm=None,
        )
        return np.asarray(np.log(mel.T + 0.001), np.float32)

    apart = float(np.abs(by_librosa() - rows).max())
    yield Case("log-mel, 1 s again by librosa", lambda: live.push(audio[:HOP]), by_librosa, apart, 20)


def causal(folder: Path) -> Iterator[Case]:
    """The project's own causal nets, against 1 s again from a zero state, and against all they rest on.

    A TCN's rows rest on its reach; a CRNN's on everything, of which it was trained on stretches of 4 s.
    """
    task = Task(labels=CLASSES, exclusive=True)
    for arch, width in (("crnn", 160), ("crnn", 256), ("tcn", 128)):
        own = OwnNet(arch, task, window_s=4.0, shaping=Shaping(width=width))
        net = own.for_export().net
        assert isinstance(net, CausalNet)
        _spread(net)
        title = f"causal {arch.upper()}, {_millions(own.net)}"
        reach = net.reach if isinstance(net, CausalTCN) else 4 * ROWS_A_SECOND
        yield from _causal_cases(folder, title, net, rows=1, reach=ROWS_A_SECOND, target=0)
        yield from _causal_cases(folder, title, net, rows=1, reach=reach, target=14)


def transformers_cached(folder: Path) -> Iterator[Case]:
    """4 x 256 with kept keys and values, against all that a row reaches back to."""
    for context, rows in ((12, 1), (12, 5), (62, 5)):
        net = CachedTransformer(len(CLASSES), bands=BANDS, context=context).eval()
        _spread(net)
        title = f"keys and values 4x256, {_millions(net)}, {20 * rows} ms chunks"
        target = 20 if net.reach > 4 * ROWS_A_SECOND else 0
        yield from _causal_cases(folder, title, net, rows=rows, reach=net.reach, target=target)


def _causal_cases(folder: Path, title: str, net: CausalNet, *, rows: int, reach: int, target: float) -> Iterator[Case]:
    """The model alone, the model among 16 streams, and one stream with its features."""
    reach = -(-reach // rows) * rows
    features = msgspec.structs.replace(log_mel(Shaping()), mean=-8.0, scale=4.0)
    manifest = chunk_manifest(net, name="causal", features=features, rate=RATE, rows=rows, activation="softmax")
    pack = _pack(folder, manifest, chunk_graph(net, manifest).model)
    session = Session(pack, provider=Provider.CPU)
    many = Session(pack, provider=Provider.CPU)
    module = _Masked(net) if isinstance(net, CachedTransformer) else _Whole(net)
    whole = _runner(_export(module, torch.randn(2, 2 * reach, BANDS)))
    live = _Live(manifest, session)
    window = make_frontend(features, RATE, history=2 * reach * HOP)
    audio = signal(RATE, reach * HOP)
    spectra = np.zeros((2 * reach, BANDS), np.float32)

    def again() -> F32:
        window.restart(0)
        window.push(audio)
        window.window(-HOP, (reach + 1) * HOP, spectra)
        return whole(spectra[None])

    steps = [live.step(part) for part in audio.reshape(-1, rows * HOP)]
    if not np.ptp(np.concatenate(steps), axis=0).max() > 0.1:
        raise RuntimeError("the net says the same all the time, so that no difference could show")
    apart = float(np.abs(steps[-1][-1] - _softmax(again()[0])).max())
    title += f", {reach / ROWS_A_SECOND:.2g} s again"
    block = audio[: rows * HOP]
    yield Case(title, lambda: session.run((0,)), lambda: whole(spectra[None]), apart, target, rows)
    name = f"    each of {len(MANY)} streams in a batch"
    yield Case(name, lambda: many.run(MANY), lambda: whole(spectra[None]), apart, 0, rows * len(MANY))
    yield Case("    one, with its features", lambda: live.step(block), again, apart, 0, rows)


def speech(folder: Path) -> Iterator[Case]:
    """Wav2Vec2 with a layer-norm encoder of the usual size and a small transformer: encoder alone, and whole."""
    with quiet():
        from transformers import Wav2Vec2Config, Wav2Vec2ForAudioFrameClassification

    config = Wav2Vec2Config(
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        feat_extract_norm="layer",
        conv_bias=True,
    )
    config.num_labels = len(CLASSES)
    made: Callable[..., nn.Module] = Wav2Vec2ForAudioFrameClassification  # typed by some versions of transformers only
    model = made(config)
    model.train(False)
    parts = split(model, normalise=False)
    rows, features = ROWS_A_SECOND, parts.features
    window = (rows - 1) * HOP + features.frame_length
    manifest = Manifest(
        format=1,
        name="speech",
        version="1",
        title="speech",
        licence="MIT",
        source="random weights",
        rate=RATE,
        shape=Shape.WINDOW_FRAMES,
        window=window,
        look_ahead=window - rows * HOP,
        rows_per_window=rows,
        features=features,
        input="features",
        input_layout="time-bands",
        output="scores",
        activation="softmax",
        files={},
    )
    head = _export(parts.head, torch.randn(2, rows, features.bands))
    session = Session(_pack(folder, manifest, head, {ENCODER_FILE: parts.graph()}), provider=Provider.CPU)
    assert session.encode is not None
    encode = session.encode
    audio = signal(RATE, window)
    encoder = _runner(_export(_Encoder(parts.encoder), torch.randn(2, window)))
    whole = _runner(_export(WaveformHead(model), torch.randn(2, window)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, features.frame_length)[::HOP]
    one = np.ascontiguousarray(frames[:1])
    apart = float(np.abs(np.concatenate([encode(frame[None]) for frame in frames]) - encoder(audio[None])[0]).max())
    name = f"Wav2Vec2's convolutional encoder, {_millions(parts.encoder)}, 1 s again"
    yield Case(name, lambda: encode(one), lambda: encoder(audio[None]), apart, 15)
    live = _Live(manifest, session)
    scores = live.step(audio)
    apart = float(np.abs(scores - _softmax(whole(audio[None])[0])).max())
    name = f"Wav2Vec2 with 4x256, {_millions(model)}, samples to rows, 1 s again"
    yield Case(name, lambda: live.step(audio[:HOP]), lambda: whole(audio[None]), apart, 5)


class _Live:
    """A stream under a pack, without a ring: pushes samples, runs once behind them."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self._manifest = manifest
        self._session = session
        self._frontend = make_frontend(manifest.features, RATE, history=2 * manifest.window, encode=session.encode)

    def step(self, samples: F32) -> F32:
        """(F, classes) of the window that ends with these samples."""
        self._frontend.push(samples)
        window = self._manifest.window
        self._frontend.window(self._frontend.samples - window, window, self._session.input_rows(1)[0])
        row: F32 = self._session.run((0,))[0]
        return row


class _Whole(nn.Module):
    """The last row of a causal net on a window, from zero states."""

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.net.logits(features)[:, -1]
        return logits


class _Masked(nn.Module):
    """The last row of a transformer on a window: masked attention, nothing kept."""

    def __init__(self, net: CachedTransformer) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> Tensor:
        net = self.net
        batch, count = len(features), features.shape[1] // 2
        rows = net.project(features.reshape(batch * count, 2 * BANDS))
        at = torch.arange(count)
        back = at[:, None] - at
        bias = net.distance[:, back.clamp(0, net.context)].masked_fill((back < 0) | (back > net.context), -1e4)
        _, heads, _, size = net.states["keys_values"]
        nothing = rows.new_zeros((batch, heads // len(net.layers), 0, size))
        for layer in net.layers:
            rows, _ = layer(rows, nothing, bias[None])
        logits: Tensor = net.head(net.norm(rows.reshape(batch, count, -1)[:, -1]))
        return logits


class _Encoder(nn.Module):
    """The encoder over a whole window, as the undivided model runs it."""

    def __init__(self, frames: Any) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, features: Tensor) -> Tensor:
        rows: Tensor = self.frames.projection(self.frames.convolutions(features).transpose(1, 2))[0]
        return rows


def _export(module: nn.Module, example: Tensor) -> bytes:
    return to_onnx(module.eval(), [example], inputs=["features"], outputs=["scores"], batch_axes=[0]).model


def _runner(graph: bytes) -> Callable[[F32], F32]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda features: session.run(None, {"features": features})[0]


def _pack(folder: Path, manifest: Manifest, graph: bytes, extra: dict[str, bytes] | None = None) -> Pack:
    labels = [Label(f"c{at}", name, "bench") for at, name in enumerate(CLASSES)]
    place = Path(tempfile.mkdtemp(dir=folder))
    return load_pack(write_pack(place, manifest, model=graph, labels=labels, card="# Bench\n", extra=extra))


def _softmax(logits: F32) -> F32:
    values = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def _spread(net: Any) -> None:
    """Weights that keep a signal's size through the layers and spread the logits, so that wrong rows would show."""
    for name, weight in net.named_parameters():
        if weight.dim() > 1 and name != "distance":
            weight.normal_(0.0, 1.4 / weight[0].numel() ** 0.5)
    net.head.weight /= net.logits(torch.randn(1, 4 * ROWS_A_SECOND, BANDS)).std() / 2


def _millions(module: nn.Module) -> str:
    return f"{sum(weight.numel() for weight in module.parameters()) / 1e6:.1f} M"


if __name__ == "__main__":
    main()
