"""Trains a small Wav2Vec2ForCTC from scratch to spell spoken digits, and saves it as `save_pretrained` does.

    python tools/train_ctc.py --data DIGITS --out CHECKPOINT [--epochs N]

DIGITS holds recordings named DIGIT_SPEAKER_TAKE (the Free Spoken Digit Dataset). The result is what `streamclf train
--from CHECKPOINT` puts a new head on: its vocabulary of letters is exchanged for labels. Takes up to `--held-out` are
not learned from; on them the share of words spelled right is printed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# waiting threads must sleep, or a shared core is spent on waiting
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

from streamclf.errors import StreamclfError
from streamclf.train.data.annotations import Recording
from streamclf.train.data.augment import augment
from streamclf.train.data.corpus import Corpus, decode
from streamclf.train.fit.newhead import save
from streamclf.train.fit.runstate import seed_all
from streamclf.train.fit.scratch import speech_config
from streamclf.types import F32

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 16_000
BLANK, UNKNOWN, SPACE = "<pad>", "<unk>", "|"
# 0.12 M weights: enough for ten words, and a minute of CPU goes a long way
NET = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32,) * 7,
}
# nothing is dropped or masked at random: a net of this size has nothing to spare
DROPPED = {
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
}


def main() -> None:
    """Train, save, print how well it spells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=3, help="takes 0 to N - 1 are held out")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seed_all(given.seed)
    begun, spent = time.monotonic(), time.process_time()
    given.out.mkdir(parents=True, exist_ok=True)
    everything = [
        Recording(path, path.stem, (path.stem.split("_")[0],)) for path in sorted(given.data.glob("[0-9]_*_*.*"))
    ]
    corpus, recordings, _ = decode(everything, RATE, given.out / "audio")
    learned = [r for r in recordings if int(r.path.stem.split("_")[2]) >= given.held_out]
    held_out = [r for r in recordings if int(r.path.stem.split("_")[2]) < given.held_out]
    tokens = [BLANK, UNKNOWN, SPACE, *sorted({letter for word in WORDS for letter in word})]
    model = make_model(tokens, given.out)
    order = np.random.default_rng(given.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=given.learning_rate, weight_decay=0.01)
    steps = given.epochs * -(-len(learned) // given.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, given.learning_rate, total_steps=steps, pct_start=0.2)
    for epoch in range(given.epochs):
        model.train()
        losses = []
        shuffled = [learned[at] for at in order.permutation(len(learned))]
        for at in range(0, len(shuffled), given.batch):
            part = shuffled[at : at + given.batch]
            audio, lengths = pad([augment(corpus.audio(r), RATE, ("gain", "noise"), order) for r in part])
            loss = ctc_loss(model, audio, lengths, [spell(r, tokens) for r in part])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1} of {given.epochs}: loss {np.mean(losses):.3f}", flush=True)
    save(model, given.out)
    right = sum(heard(model, corpus, r, tokens) == word(r) for r in held_out)
    print(f"words spelled right: {right} of {len(held_out)} held out ({100 * right / len(held_out):.1f} %)")
    print(f"{(time.monotonic() - begun) / 60:.1f} min, {(time.process_time() - spent) / 60:.1f} min of CPU")


def make_model(tokens: Sequence[str], folder: Path) -> Wav2Vec2ForCTC:
    """The untrained model, its extractor and tokenizer saved in `folder`."""
    config, extractor = speech_config("wav2vec2", "tiny")
    config.update({**NET, **DROPPED, "vocab_size": len(tokens), "pad_token_id": 0, "ctc_loss_reduction": "mean"})
    extractor.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(tokens)}), encoding="utf-8")
    Wav2Vec2CTCTokenizer(  # type: ignore[no-untyped-call]
        str(folder / "vocab.json"), pad_token=BLANK, unk_token=UNKNOWN, word_delimiter_token=SPACE
    ).save_pretrained(folder)
    return Wav2Vec2ForCTC(config)


def word(recording: Recording) -> str:
    """What is said in it."""
    return WORDS[int(recording.labels[0])]


def spell(recording: Recording, tokens: Sequence[str]) -> list[int]:
    """The letters of its word as numbers of tokens."""
    return [tokens.index(letter) for letter in word(recording)]


def pad(sounds: Sequence[F32]) -> tuple[torch.Tensor, list[int]]:
    """(B, longest) samples with zeros behind each, and their lengths."""
    lengths = [len(sound) for sound in sounds]
    audio = np.zeros((len(sounds), max(lengths)), dtype=np.float32)
    for row, sound in zip(audio, sounds, strict=True):
        row[: len(sound)] = sound
    return torch.from_numpy(audio), lengths


def ctc_loss(
    model: Wav2Vec2ForCTC, audio: torch.Tensor, lengths: Sequence[int], words: list[list[int]]
) -> torch.Tensor:
    """Mean CTC loss of a batch; frames that lie beyond a recording's end do not count."""
    logits = model(audio).logits.log_softmax(-1).transpose(0, 1)
    frames = torch.tensor([max(1, (length - 400) // 320 + 1) for length in lengths])
    flat = torch.tensor([letter for letters in words for letter in letters])
    return torch.nn.functional.ctc_loss(
        logits, flat, frames, torch.tensor([len(letters) for letters in words]), zero_infinity=True
    )


def heard(model: Wav2Vec2ForCTC, corpus: Corpus, recording: Recording, tokens: Sequence[str]) -> str:
    """The word that the model spells, greedily."""
    model.train(False)
    with torch.no_grad():
        best = model(torch.from_numpy(corpus.audio(recording).copy())[None]).logits[0].argmax(-1).tolist()
    letters = [at for number, at in enumerate(best) if number == 0 or at != best[number - 1]]
    return "".join(tokens[at] for at in letters if at > tokens.index(SPACE))


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
