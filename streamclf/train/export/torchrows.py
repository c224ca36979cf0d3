"""What a torch module gives for a signal, by definition: whole signal, transformers' spectra, one run after another."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamclf.features.spec import Fbank, LogMel, Waveform
from streamclf.model.pack import Manifest
from streamclf.train.export import parity
from streamclf.train.export.spectra import fbank_images, logmel_images
from streamclf.types import F32, Shape

_VARIANCE_FLOOR = 1e-7


def module_rows(module: Any, manifest: Manifest, audio: F32) -> F32:
    """Native rows (runs, F, classes) float32 probabilities of `module` on `audio`, (samples, ) at the pack's rate."""
    rows = _stepped(module, manifest, audio) if manifest.shape is Shape.STATEFUL else _windowed(module, manifest, audio)
    return parity.probabilities(rows, manifest.activation)


def _windowed(module: Any, manifest: Manifest, audio: F32) -> F32:
    rows = []
    for samples in parity.windows(manifest, audio):
        features = samples if isinstance(manifest.features, Waveform) else _images(manifest)(samples[None])[0]
        (logits,) = _run(module, [_input(manifest, features)])
        rows.append(logits)
    return np.stack(rows)


def _stepped(module: Any, manifest: Manifest, audio: F32) -> F32:
    """Every step with the context before it; before the stream's start there is silence."""
    places = parity.starts(manifest, len(audio))
    context = manifest.window - manifest.step
    heard = np.concatenate([audio, np.zeros(max(0, places[-1] + manifest.step - len(audio)), np.float32)])
    states = [np.zeros([size or 1 for size in tensor.shape], np.float32) for tensor in manifest.state]
    source = (
        _waveform_runs(manifest, heard) if isinstance(manifest.features, Waveform) else _image_runs(manifest, heard)
    )
    rows = []
    for start in places:
        logits, *after = _run(module, [_input(manifest, source(start - context)), *states])
        states = after[: len(states)]  # behind them may be an embedding
        rows.append(logits)
    return np.stack(rows)


def _waveform_runs(manifest: Manifest, heard: F32) -> Callable[[int], F32]:
    lead = np.zeros(manifest.window, np.float32)
    padded = np.concatenate([lead, heard])

    def run(first: int) -> F32:
        return padded[first + len(lead) : first + len(lead) + manifest.window]

    return run


def _image_runs(manifest: Manifest, heard: F32) -> Callable[[int], F32]:
    features = manifest.features
    assert isinstance(features, LogMel | Fbank)
    images = _images(manifest)
    whole = images(heard[None])[0]
    silence = images(np.zeros((1, features.frame_length), np.float32))[0]
    frames = (manifest.window - features.frame_length) // features.frame_shift + 1

    def run(first: int) -> F32:
        at = first // features.frame_shift
        before = max(0, min(frames, -at))
        return np.concatenate([silence.repeat(before, axis=0), whole[max(0, at) : at + frames]])

    return run


def _images(manifest: Manifest) -> Callable[[F32], F32]:
    features = manifest.features
    if isinstance(features, LogMel):
        return lambda windows: logmel_images(windows, features, manifest.rate)
    assert isinstance(features, Fbank)
    return lambda windows: fbank_images(windows, features, manifest.rate)


def _input(manifest: Manifest, features: F32) -> F32:
    """Features of one run as the graph takes them, with a batch axis of 1."""
    if isinstance(manifest.features, Waveform) and manifest.features.normalise == "window":
        features = (features - features.mean()) / np.sqrt(features.var() + _VARIANCE_FLOOR)
    if manifest.input_layout.endswith("bands-time"):
        features = features.T
    if manifest.input_layout.startswith("channel-"):
        features = features[None]
    return np.ascontiguousarray(features[None], dtype=np.float32)


def _run(module: Any, inputs: Sequence[F32]) -> list[F32]:
    """Logits (F, classes) of a batch of one, then the new states."""
    import torch

    with torch.inference_mode():
        given = module(*(torch.from_numpy(np.ascontiguousarray(value)) for value in inputs))
    logits, *states = given if isinstance(given, tuple) else (given,)
    rows: F32 = logits[0].float().numpy()
    return [rows if rows.ndim == 2 else rows[None], *(state.numpy() for state in states)]
