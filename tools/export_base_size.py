#!/usr/bin/env python
"""Exports checkpoints of the size that people use, with random weights, and prints parity and ms a window.

    nice python tools/export_base_size.py [--tiny] [--classes NAME,NAME] [--int8] [--keep FOLDER]

One class after another, because a base-size model and its graph take a few GB. Random weights serve: neither the time
of a run nor the arithmetic of parity asks what a model has learnt. Weights are drawn larger than a fresh model's, so
that rows differ. `--tiny` takes the checkpoints of the test suite, of every class. The table is Markdown.
"""

import argparse
import gc
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from streamclf.errors import StreamclfError
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.export.quantise import Variant
from streamclf.train.pretrained import quiet
from tools.lab.checkpoints import COMMON, LOGMEL, save_checkpoint

_LABELS = {index: f"class {index}" for index in range(50)}
_BODY = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_SPEECH = {
    **_BODY,
    "conv_dim": (512,) * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "classifier_proj_size": 256,
}
_IMAGE = {**LOGMEL, "window": 16_240, "features": {**LOGMEL["features"], "bands": 128}}  # type: ignore[dict-item]
# class -> (what it is the size of, its configuration)
BASE: dict[str, tuple[str, dict[str, Any]]] = {
    "ResNetForImageClassification": (
        "ResNet-18",
        {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "num_channels": 1},
    ),
    "ConvNextForImageClassification": (
        "ConvNeXt-T",
        {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3], "num_channels": 3},
    ),
    "ViTForImageClassification": ("ViT-B/16", {**_BODY, "image_size": [128, 100], "patch_size": 16}),
    "ASTForAudioClassification": ("AST base, 1024 frames", {**_BODY, "max_length": 1024, "num_mel_bins": 128}),
    "Wav2Vec2ForSequenceClassification": ("Wav2Vec2 base", _SPEECH),
    "HubertForAudioFrameClassification": (
        "HuBERT base, layer norm",
        {**_SPEECH, "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    ),
    "WavLMForAudioFrameClassification": (
        "WavLM base, layer norm",
        {**_SPEECH, "feat_extract_norm": "layer", "num_buckets": 320, "max_bucket_distance": 800},
    ),
    "Data2VecAudioForCTC": (
        "Data2VecAudio base",
        {**_SPEECH, "num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 19},
    ),
    "UniSpeechSatForAudioFrameClassification": ("UniSpeechSat base", _SPEECH),
    "SEWForSequenceClassification": (
        "SEW tiny",
        {**_SPEECH, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048, "conv_dim": (64,) * 13},
    ),
    "Wav2Vec2BertForSequenceClassification": (
        "w2v-BERT at base width",
        {**_BODY, "left_max_position_embeddings": 64, "right_max_position_embeddings": 8, "classifier_proj_size": 256},
    ),
    "WhisperForAudioClassification": (
        "Whisper tiny, 30 s",
        {
            "d_model": 384,
            "encoder_layers": 4,
            "encoder_attention_heads": 6,
            "encoder_ffn_dim": 1536,
            "max_source_positions": 1500,
            "classifier_proj_size": 256,
        },
    ),
}


def main() -> None:
    """Print the table, a line as soon as it is measured."""
    asked = argparse.ArgumentParser(description="Export base-size checkpoints with random weights and measure them.")
    asked.add_argument("--classes", help="Only these, separated by commas.")
    asked.add_argument("--tiny", action="store_true", help="Every class, with a few thousand weights each.")
    asked.add_argument("--int8", action="store_true", help="Also the int8 variant of each.")
    asked.add_argument("--keep", type=Path, help="Leave the packs in this folder.")
    options = asked.parse_args()
    sizes = {name: ("tiny", {}) for name in COMMON} if options.tiny else BASE
    names = options.classes.split(",") if options.classes else list(sizes)
    print(f"{platform.machine()}, {os.cpu_count()} cores, ms of one core; load {os.getloadavg()[0]:.1f} at the start\n")
    print("| class | size of | parameters | window | parity | ms a window | hop held | look-ahead |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    variants: list[Variant | None] = [None, "int8"] if options.int8 else [None]
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            kept = options.keep or Path(scratch)
            size, configuration = sizes[name]
            more: dict[str, Any] = {} if options.tiny else {"image": _IMAGE, "id2label": _LABELS}
            with quiet():
                folder = save_checkpoint(name, Path(scratch) / name, **more, **configuration)
            gc.collect()
            for variant in variants:
                _line(name, size, folder, kept / f"{name}-{variant or 'fp32'}", variant)
                gc.collect()


def _line(name: str, size: str, folder: Path, out: Path, variant: Variant | None) -> None:
    try:
        report = export_checkpoint(folder, out, variant=variant, replace=True)
    except StreamclfError as fault:
        print(f"| {name} | {size} | failed: {fault} |", flush=True)
        return
    print(_row(report, size), flush=True)


def _row(report: ExportReport, size: str) -> str:
    told = [
        report.architecture + (f", {report.loss.variant}" if report.loss else ""),
        size,
        f"{report.parameters / 1e6:.1f} M",
        f"{report.receptive_field_ms:g} ms",
        f"{report.parity.worst:.1e}" if report.loss is None else f"same top class {100 * report.loss.top_1:.1f} %",
        f"{report.run_ms:.1f}",
        f"{report.hop_ms:g} ms",
        f"{report.look_ahead_ms:g} ms",
    ]
    return f"| {' | '.join(told)} |"


if __name__ == "__main__":
    main()
