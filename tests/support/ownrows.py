"""What a checkpoint says of a signal by transformers alone: its own extractor and model, window by window.

Nothing here uses streamclf's features, graphs or engine; of the pack only the geometry is taken. Spectrograms for image
models, which have no extractor of sound, are written out from their definition.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tr

from streamclf.model.pack import Manifest
from streamclf.types import F32, Shape

HOP = 320


def own_grid(architecture: str, folder: Path, audio: F32, manifest: Manifest) -> F32:
    """The row of every 20 ms frame, (frames, classes), for windows 20 ms apart with the newest row at each frame."""
    frames = -(-len(audio) // HOP)
    framed = manifest.shape is Shape.WINDOW_FRAMES
    beyond = manifest.window - manifest.rows_per_window * HOP if framed else manifest.look_ahead
    heard = np.concatenate([audio, np.zeros(frames * HOP + beyond + manifest.window, np.float32)])
    runs = max(frames * HOP + beyond - manifest.window, 0) // HOP + 1
    rows = own_rows(architecture, folder, np.stack([heard[i * HOP :][: manifest.window] for i in range(runs)]))
    if framed:
        # rows of 40 or 80 ms hold for the frames they cover; behind them Parakeet's extractor has a masked one
        rows = np.repeat(rows, -(-manifest.rows_per_window // rows.shape[1]), axis=1)
    grid = []
    for frame in range(frames):
        if framed:
            first = max(0, frame - manifest.rows_per_window + 1)
            grid.append(rows[first, frame - first])
        else:
            complete = ((frame + 1) * HOP + manifest.look_ahead - manifest.window) // HOP
            grid.append(rows[min(max(complete, 0), runs - 1), 0])
    return np.stack(grid)


def own_rows(architecture: str, folder: Path, windows: F32) -> F32:
    """Probabilities (n, F, classes) of windows (n, samples) at 16 kHz."""
    model = _model(architecture, folder)
    logits = []
    for at in range(0, len(windows), 16):
        inputs = _inputs(architecture, folder, windows[at : at + 16])
        with torch.inference_mode(), warnings.catch_warnings():
            # what transformers does inside itself is its own affair
            warnings.simplefilter("ignore")
            given = getattr(model(**inputs), _OUTPUTS.get(architecture, _embedding(architecture)))
        logits.append(given if given.ndim == 3 else given[:, None])
    whole = torch.cat(logits)
    if not (architecture in _OUTPUTS or architecture.endswith("XVector")):
        whole = whole.sigmoid() if architecture.endswith("FrameClassification") else whole.softmax(dim=-1)
    values: F32 = whole.numpy()
    return values


_OUTPUTS = {"ClapModel": "audio_embeds", "ClapAudioModelWithProjection": "audio_embeds"}


def _embedding(architecture: str) -> str:
    return "embeddings" if architecture.endswith("XVector") else "logits"


def _model(architecture: str, folder: Path) -> Any:
    if architecture == "HubertForAudioFrameClassification":
        from streamclf.train.families.hubert import HubertForAudioFrameClassification

        hubert: Any = HubertForAudioFrameClassification
        return hubert.from_pretrained(folder).eval()
    if architecture == "ClapModel":
        architecture = "ClapAudioModelWithProjection"
    return getattr(tr, architecture).from_pretrained(folder).eval()


def _inputs(architecture: str, folder: Path, windows: F32) -> Any:
    if "ForImageClassification" not in architecture:
        extractor: Any = tr.AutoFeatureExtractor
        inputs = extractor.from_pretrained(folder)(list(windows), sampling_rate=16_000, return_tensors="pt")
        if "is_longer" in inputs:
            inputs["is_longer"][:] = False  # which the extractor draws at random where no clip is
        return inputs
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    images = np.stack([log_mel(samples, settings["streamclf"]["features"]).T for samples in windows])
    pairs = zip(settings["image_mean"], settings["image_std"], strict=True)
    pixels = np.stack([(images - mean) / std for mean, std in pairs], axis=1)
    return {"pixel_values": torch.from_numpy(pixels.astype(np.float32))}


def log_mel(samples: F32, settings: dict[str, Any]) -> Any:
    """(samples, ) -> (frames, bands): Hann window, power, triangles over Hz, natural logarithm."""
    length, size = settings["frame_length"], settings["fft_size"]
    low, high = (2595 * np.log10(1 + settings[key] / 700) for key in ("low_hz", "high_hz"))
    edges = 700 * (10 ** (np.linspace(low, high, settings["bands"] + 2) / 2595) - 1)
    bins = (np.arange(size // 2 + 1) * 16_000 / size)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rising, falling))
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[:: settings["frame_shift"]]
    power = np.abs(np.fft.rfft(frames * taper, size)) ** 2
    return (np.log(power @ bank + settings["log_offset"]) - settings["mean"]) / settings["scale"]
