#!/usr/bin/env python
"""Draws checkpoints at random, exports them, and prints how far each is from transformers on a real recording.

    nice python tools/draw_checkpoints.py [--count 200] [--first 0] [--seed 0] [--minutes M] [--audio FILE]

Drawn are the class (of all that `streamclf export --families` lists, in turns), sizes, strides, the rate, the window,
the labels, the problem type, the extractor's normalisation and the type of the saved weights. Of each, every row and
every 20 ms frame of a stretch of the recording is compared: transformers' own extractor and model against ONNX at
batch 1, at batch 4, and the engine that runs live, on uneven blocks. Printed is a Markdown table, a row a family.
"""

import argparse
import copy
import random
import sys
import tempfile
import time
import unittest.mock
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.clock import hop_of
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.train.data.asheard import read_sound
from streamclf.train.export import parity
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families import families, family_of
from streamclf.train.families import family as family_module
from streamclf.train.families.family import Plan, Wishes
from streamclf.train.families.speech import SEQUENCE_KIN
from streamclf.train.pretrained import load_checkpoint, quiet
from streamclf.types import F32, Provider
from tools.lab.checkpoints import LOGMEL, SQUARE, classes, save_checkpoint

MOST = 1e-4
"""Of a difference of probabilities."""
STEEP = 4.0
"""So many times what the last bit of samples moves: two programs differ in more places than in their input."""
TRIES = 8
RUNS = 10
"""Windows of each, 20 ms apart, at least."""
NAMES = ("Dog bark", "dog_bark", "Größe", "Ωmega", "сова", "rain", "Rain", "x" * 80, "1", "a,b", "<b>", "鳥")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STRIDES = {
    160: (5, 2, 2, 2, 2, 2, 1),
    320: (5, 2, 2, 2, 2, 2, 2),
    480: (5, 3, 2, 2, 2, 2, 2),
    640: (5, 4, 2, 2, 2, 2, 2),
    960: (5, 4, 3, 2, 2, 2, 2),
}
"""Samples from one row of an encoder to the next, and its convolutions' strides."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a checkpoint is made of, in the words of `save_checkpoint`, and how it is exported."""

    architecture: str
    dtype: torch.dtype
    extractor: dict[str, Any]
    image: dict[str, Any] | None
    changes: dict[str, Any]
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Compared:
    """One checkpoint. worst: largest difference of any probability; fault: why there is none.

    trembling: where that is over `MOST`, by how much transformers' own answers to the same windows change where each
    sample changes in its last bit: a net that is so steep answers no more exactly than that, whoever computes it.
    wide: then also how far transformers' float32 and ours are from transformers' own in float64.
    """

    family: str
    rate: int
    frames: int
    worst: float
    fault: str = ""
    trembling: float = 0.0
    wide: tuple[float, float] = (0.0, 0.0)

    @property
    def good(self) -> bool:
        """Exported, and as near as the net itself is sure."""
        return not self.fault and self.worst <= max(MOST, STEEP * self.trembling)


def main() -> int:
    """Draw, compare and print. Returns 1 where a checkpoint could not be exported or is off by over 1e-4."""
    asked = argparse.ArgumentParser(description="Draw checkpoints, export them, and compare them with transformers.")
    asked.add_argument("--count", type=int, default=200)
    asked.add_argument("--first", type=int, default=0, help="Number of the first, to go on with what is left.")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--minutes", type=float, default=1e9, help="Draw no more after so long.")
    asked.add_argument("--audio", type=Path, default=DEMO_FILE, help="Recording to compare them on.")
    options = asked.parse_args()
    torch.set_num_threads(1)
    names = [name for name in classes() if not name.startswith("TimmWrapper")]
    random.Random(options.seed).shuffle(names)
    until = time.monotonic() + 60 * options.minutes
    done: list[Compared] = []
    for number in range(options.first, options.first + options.count):
        if time.monotonic() > until:
            break
        drawn = draw(names[number % len(names)], random.Random(f"{options.seed} {number}"))
        with tempfile.TemporaryDirectory() as scratch:
            done.append(compare(drawn, number, options.audio, Path(scratch)))
        line = done[-1]
        told = line.fault or f"{line.worst:.1e}"
        if line.trembling:
            told += f", and transformers' own moves by {line.trembling:.1e} with the last bit of its samples"
            told += "; from float64 it is {:.1e} away, ours {:.1e}".format(*line.wide)
        print(
            f"{number} {drawn.architecture} {str(drawn.dtype)[6:]} {line.rate} Hz: {told}", file=sys.stderr, flush=True
        )
    print(table(done))
    return int(not all(line.good for line in done))


def draw(architecture: str, rng: random.Random) -> Drawn:
    """A checkpoint of that class."""
    changes: dict[str, Any] = {}
    extractor: dict[str, Any] = {}
    image = None
    if not architecture.endswith(("CTC", "XVector")):
        count = rng.randint(1, len(NAMES))
        changes |= {"id2label": dict(enumerate(rng.sample(NAMES, count))), "num_labels": count}
        several = ["single_label_classification"] if count > 1 else []
        changes["problem_type"] = rng.choice([None, "multi_label_classification", *several])
    wishes = Wishes()
    if architecture.startswith(tuple(f"{kin}For" for kin in SEQUENCE_KIN)):
        changes |= _speech(architecture, rng)
        rate = _rate(architecture, changes, rng)
        spectral = architecture.startswith("Wav2Vec2Bert")
        extractor = {"sampling_rate": rate} | ({} if spectral else {"do_normalize": rng.random() < 0.5})
        shortest = [1280.0, 2000.0] if architecture.endswith("XVector") else [600.0, 815.0, 1000.0, 1280.0]
        wishes = Wishes(window_ms=rng.choice(shortest))
    elif "ForImageClassification" in architecture:
        image = _image(architecture, rng)
        wishes = Wishes(look_ahead_ms=rng.choice([None, 0.0, 100.0]))
    else:
        wishes = Wishes(window_ms=rng.choice([500.0, 815.0, 1000.0]))
    return Drawn(architecture, rng.choice(DTYPES), extractor, image, changes, wishes)


def _speech(architecture: str, rng: random.Random) -> dict[str, Any]:
    heads = rng.choice([1, 2, 4])
    changes: dict[str, Any] = {
        "hidden_size": 16 * heads * rng.choice([1, 2]),
        "num_attention_heads": heads,
        "num_hidden_layers": rng.randint(1, 3),
        "intermediate_size": rng.choice([24, 48, 80]),
    }
    if architecture.startswith("Wav2Vec2Bert"):
        return {**changes, "output_hidden_size": changes["hidden_size"]}
    if not architecture.startswith("SEW"):
        changes["conv_stride"] = STRIDES[rng.choice(list(STRIDES))]
    if architecture.startswith(("Wav2Vec2For", "Hubert", "WavLM", "UniSpeech")):
        changes["feat_extract_norm"] = rng.choice(["group", "layer"])
    if not architecture.endswith("CTC") and not architecture.startswith("SEW"):
        changes["use_weighted_layer_sum"] = rng.random() < 0.3
    return changes


def _rate(architecture: str, changes: dict[str, Any], rng: random.Random) -> int:
    """A rate at which the rows of a head on frames make whole frames of 20 ms, any other for whole windows."""
    if architecture.startswith("Wav2Vec2Bert"):
        return 16_000
    stride = int(np.prod(changes.get("conv_stride", (320,))))
    rates = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
    if architecture.endswith(("CTC", "AudioFrameClassification")):
        rates = [rate for rate in rates if not (hop_of(rate) % stride and stride % hop_of(rate))]
    return rng.choice(rates)


def _image(architecture: str, rng: random.Random) -> dict[str, Any]:
    rate = rng.choice([8_000, 16_000, 22_050, 44_100])
    hop = hop_of(rate) // rng.choice([1, 3] if hop_of(rate) % 2 else [1, 2])
    features: Any = LOGMEL["features"]
    side = next((side for kind, side in SQUARE.items() if architecture.startswith(f"{kind}For")), None)
    halved = architecture.startswith("Hiera")  # its patches of 4 are, three times
    bands = side or rng.choice([32, 64] if halved else [32, 40, 64])
    frames = side or rng.choice([64, 96] if halved else [40, 60, 96])
    length = hop * rng.choice([1, 2, 3])
    return {
        "rate": rate,
        "window": (frames - 1) * hop + length,
        "layout": rng.choice(["bands-time", "time-bands"]),
        "features": {
            **features,
            "frame_length": length,
            "frame_shift": hop,
            "fft_size": 1 << (length - 1).bit_length(),
            "bands": bands,
            "low_hz": rng.choice([20.0, 50.0]),
            "high_hz": 0.45 * rate,
            "mel_scale": rng.choice(["htk", "slaney"]),
            "log_offset": rng.choice([0.001, 1e-6]),
        },
    }


def compare(drawn: Drawn, number: int, audio: Path, scratch: Path) -> Compared:
    """Save, export and run one checkpoint."""
    family = next(one for one in families() if drawn.architecture in one.classes)
    rate = 0
    try:
        with quiet():
            folder = save_checkpoint(
                drawn.architecture,
                scratch / "checkpoint",
                seed=number,
                image=drawn.image,
                extractor=drawn.extractor,
                dtype=drawn.dtype,
                **drawn.changes,
            )
        checkpoint = load_checkpoint(str(folder))
        plan = family_of(checkpoint).plan(checkpoint, drawn.wishes)
        rate = plan.rate
        report = export_checkpoint(folder, scratch / "pack", wishes=drawn.wishes)
        pack = load_pack(scratch / "pack")
        heard = stretch(read_sound(audio, rate), plan, number)
        expected = reference(plan, pack.manifest, heard)
        measured = parity.measure(pack, Session(pack, provider=Provider.CPU, max_batch=4), heard, expected)
        worst = max(measured.worst, report.parity.worst)
        moved = trembling(plan, pack.manifest, heard, expected) if worst > MOST else 0.0
        wide = distances(plan, pack, heard, expected) if worst > MOST else (0.0, 0.0)
        return Compared(family.title, rate, measured.frames + report.parity.frames, worst, trembling=moved, wide=wide)
    except Exception as fault:  # whatever it is: it is the result of this draw
        return Compared(family.title, rate, 0, float("inf"), f"{type(fault).__name__}: {str(fault)[:300]}")


def stretch(recording: F32, plan: Plan, number: int) -> F32:
    """A stretch of the recording that holds `RUNS` windows, elsewhere for each number."""
    length = plan.window + RUNS * hop_of(plan.rate) + 77
    first = (number * 7_919) % max(1, len(recording) - length)
    return recording[first : first + length]


def reference(plan: Plan, manifest: Any, audio: F32) -> F32:
    """Rows of every window by transformers."""
    rows = [plan.reference(window[None]) for window in parity.windows(manifest, audio)]
    return parity.probabilities(np.concatenate(rows), plan.activation)


def trembling(plan: Plan, manifest: Any, audio: F32, expected: F32) -> float:
    """Largest change of any probability of transformers' own, over `TRIES` signals that differ in their last bits."""
    rng = np.random.default_rng(0)
    moved = 0.0
    for _ in range(TRIES):
        last = (1 + np.finfo(np.float32).eps * rng.uniform(-1, 1, len(audio))) * audio
        moved = max(moved, float(np.abs(reference(plan, manifest, last.astype(np.float32)) - expected).max()))
    return moved


def distances(plan: Plan, pack: Pack, audio: F32, expected: F32) -> tuple[float, float]:
    """How far transformers' float32 and ONNX are from transformers' float64, both on its extractor's features."""

    def wide(model: Any, inputs: Any, *, taken: str = "logits") -> F32:
        changed = {name: one.double() if one.is_floating_point() else one for name, one in inputs.items()}
        with torch.inference_mode(), quiet():
            given = getattr(copy.deepcopy(model).double()(**changed), taken)
        rows: F32 = given.numpy()
        return rows if rows.ndim == 3 else rows[:, None, :]

    with unittest.mock.patch.object(family_module, "run_torch", wide):
        exact = reference(plan, pack.manifest, audio)
    ours = parity.offline(pack, Session(pack, provider=Provider.CPU, max_batch=4), audio, batch=1)
    return parity.difference(expected, exact), parity.difference(ours, exact)


def table(done: list[Compared]) -> str:
    """Markdown: a row a family, and all of them at the end."""
    lines = [
        "| family | checkpoints | frames compared | worst | over 1e-4 | not exported |",
        "|---|---|---|---|---|---|",
    ]
    for title in [*dict.fromkeys(line.family for line in done), None]:
        own = [line for line in done if title in (line.family, None)]
        good = [line for line in own if not line.fault]
        worst = f"{max(line.worst for line in good):.1e}" if good else "-"
        frames = sum(line.frames for line in good)
        over = sum(line.worst > MOST for line in good)
        lines.append(f"| {title or 'all'} | {len(own)} | {frames} | {worst} | {over} | {len(own) - len(good)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
