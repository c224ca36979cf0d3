#!/usr/bin/env python
"""What running statistics cost in agreement and save in time: `streamclf export --running-statistics`, measured.

    python tools/bench/running.py --sound SPEECH [--sound DIALOGUES] [--base] [--checkpoint FOLDER]

Exports checkpoints whose encoders rest on their whole window and prints a line of Markdown for each and each SOUND, a
recording or a folder: random weights, or those of the FOLDERs. `--fresh FOLDER` only saves a small one with group norm,
to be trained: `tools/train_speakers.py --arch wav2vec2 --from FOLDER`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families.family import Wishes
from tools.lab.checkpoints import save_checkpoint

_SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 32,
    "num_conv_pos_embedding_groups": 4,
}
_BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": (512,) * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
# what it is -> class, changes of its configuration; both extractors normalise the whole input
_NORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "group norm": ("Wav2Vec2ForAudioFrameClassification", {}),
    "layer norm": ("HubertForAudioFrameClassification", {"conv_bias": True}),
}


def main() -> None:
    """Print the table, a line as soon as it is measured."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sound", type=Path, action="append", default=[], help="to measure on; may be repeated")
    asked.add_argument("--base", action="store_true", help="also random weights of base size")
    asked.add_argument("--checkpoint", type=Path, action="append", default=[], help="these in place of random weights")
    asked.add_argument("--fresh", type=Path, help="save a small checkpoint there, and do nothing else")
    options = asked.parse_args()
    if options.fresh:
        _save_fresh(options.fresh)
        return
    print("| checkpoint | measured on | same top class | probabilities off | correlation | ms for 20 ms | saves |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        places = {folder.name: folder for folder in options.checkpoint}
        if not places:
            sizes = {"small": _SMALL, **({"base": _BASE} if options.base else {})}
            for size, configuration in sizes.items():
                for norm, (architecture, changes) in _NORMS.items():
                    folder = Path(scratch) / f"{size}-{norm.replace(' ', '-')}"
                    places[f"{size}, {norm}"] = save_checkpoint(architecture, folder, **configuration, **changes)
        for name, folder in places.items():
            for sound in options.sound or [None]:
                wishes = Wishes(running_statistics=True)
                out = Path(scratch) / "pack"
                report = export_checkpoint(folder, out, wishes=wishes, measure_on=sound, replace=True)
                print(_row(name, report), flush=True)


def _save_fresh(folder: Path) -> None:
    """As transformers draws its weights, with nothing dropped or masked."""
    torch.manual_seed(1)
    tokens = ["<pad>", "<unk>", "|", "a", "b", "c", "d", "e"]
    config = transformers.Wav2Vec2Config(
        vocab_size=len(tokens), pad_token_id=0, conv_bias=False, mask_time_prob=0.0, layerdrop=0.0, **_SMALL
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)  # type: ignore[no-untyped-call]
    extractor.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))


def _row(name: str, report: ExportReport) -> str:
    held = report.agreement
    assert held is not None
    told = [
        f"{name}, {report.parameters / 1e6:.2g} M",
        f"{held.recordings}, {held.seconds:.0f} s",
        f"{100 * held.top_1:.0f} % of {held.rows} rows",
        f"{held.mean:.3f} mean, {held.worst:.2f} worst",
        f"{held.correlation:.2f}",
        f"{held.run_ms:.1f}, not {held.anew_ms:.1f}",
        f"{held.saves:.1f}x",
    ]
    return f"| {' | '.join(told)} |"


if __name__ == "__main__":
    main()
