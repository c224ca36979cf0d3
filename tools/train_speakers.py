"""The speaker example: who is speaking now? From single recordings of a few speakers to a live pack, in one command.

    python tools/train_speakers.py --data DIGITS --out PACK [--arch crnn] [--from CHECKPOINT] [--dialogues 300]

DIGITS holds recordings named WORD_SPEAKER_TAKE (the Free Spoken Digit Dataset). They are divided by recording: the
first takes are held out, the next ones say when to stop and at which thresholds an event begins and ends. Each part is
mixed into dialogues of its own with known turns, one speaker at a time in room noise; a frame classifier learns from
the rest and is judged on the held-out ones through the live engine.

Everything is mixed at 8 kHz, the recordings' own rate: else a net would know the voices by their bandwidth.
"""

import argparse
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# waiting threads must sleep, or a shared core is spent on waiting
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import soundfile

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.errors import StreamclfError
from streamclf.train.data import augment
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.scenes import LoneSound, Scenes, SceneSpec, audible
from streamclf.train.evaluate.evaluation import Evaluation
from streamclf.train.evaluate.merit import frame_span, speaker_metrics
from streamclf.train.fit.job import Options, default_learning_rate, train
from streamclf.train.fit.training import FitSettings
from tools.lab.training import EpochLines, say, tell

RATE = 8000
SUFFIXES = (".flac", ".wav", ".ogg")
DIALOGUE = SceneSpec(
    rate=RATE,
    seconds=12.0,
    turns=(3, 6),
    turn=(1, 5),
    pause_s=(0.05, 0.4),
    overlap=False,
    snr_db=(10.0, 35.0),
    level_db=(-65.0, -40.0),
    band_share=0.0,
)
NOISES, NOISE_S = 12, 20.0
LEARN, TRY, STOP = 1, 2, 3
HIGH_HZ = 3750.0
"""Nothing above it is looked at: the recordings end at 4 kHz."""


def main() -> None:
    """Mix, train, export, judge; print the figures."""
    given = _parser().parse_args()
    work = given.out.with_name(given.out.name + ".run")
    if not given.resume:
        takes = {TRY: range(given.held_out), STOP: range(given.held_out, given.held_out + given.validation)}
        speakers = write_dialogues(given.data, work / "dialogues", given.dialogues, takes, given.seed)
        print(f"speakers: {', '.join(speakers)}")
    result = train(
        work / "dialogues",
        given.out,
        work,
        _options(given),
        licence="CC BY-SA 4.0",
        resume=given.resume,
        replace=True,
        watch=EpochLines(2),
        say=say,
    )
    tell(result, what="dialogues of recordings it never heard")
    if result.judged is not None:
        print(f"  {'DER of frames all right':24} {100 * least_error(result.judged.evaluation):.1f} %")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", default="crnn")
    parser.add_argument("--from", dest="source", default="", metavar="CHECKPOINT")
    parser.add_argument("--size", default="tiny", choices=("tiny", "small"), help="of an --arch of transformers")
    parser.add_argument("--window", type=float, default=0.0, help="seconds; default by architecture")
    parser.add_argument("--look-ahead-ms", type=int, help="of a causal net: how much later than its frame a row comes")
    parser.add_argument(
        "--dialogues", type=int, default=240, help="to learn from; a quarter as many in each other part"
    )
    parser.add_argument("--held-out", type=int, default=3, help="takes 0 to N - 1 are held out")
    parser.add_argument("--validation", type=int, default=2, help="so many takes after them say when to stop")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    return parser


def _options(given: argparse.Namespace) -> Options:
    rate = given.learning_rate or default_learning_rate(given.arch, pretrained=bool(given.source))
    return Options(
        arch=given.arch,
        mode="frame",
        source=given.source,
        size=given.size,
        high_hz=HIGH_HZ,
        window_s=given.window,
        look_ahead_ms=given.look_ahead_ms,
        augment=("gain", "noise", "shift", "filter", "room", "mask"),
        train_folds=(LEARN,),
        validation_folds=(STOP,),
        test_folds=(TRY,),
        settings=FitSettings(
            epochs=given.epochs,
            batch=16,
            learning_rate=rate,
            encoder_share=0.3 if given.source else 1.0,
            threads=given.threads,
            seed=given.seed,
        ),
    )


def least_error(evaluation: Evaluation) -> float:
    """DER of answers that name every frame of 20 ms right: words are short, and their edges lie between frames."""
    true = [recording.spans or () for recording in evaluation.recordings]
    best = [
        [
            frame_span(round(s.onset_s * FRAMES_PER_SECOND), round(s.offset_s * FRAMES_PER_SECOND), s.label)
            for s in spans
        ]
        for spans in true
    ]
    return speaker_metrics(true, best, evaluation.seconds).der or 0.0


def write_dialogues(data: Path, folder: Path, count: int, takes: Mapping[int, range], seed: int) -> list[str]:
    """Dialogues of all parts as recordings with one annotations.csv. Returns the speakers' names.

    count: dialogues to learn from, a quarter as many in each other part. takes: of the other parts.
    """
    parts: dict[int, list[LoneSound]] = {fold: [] for fold in (LEARN, *takes)}
    for path in sorted(path for path in data.iterdir() if path.suffix in SUFFIXES):
        word, speaker, take = path.stem.split("_")
        samples = read_sound(path, RATE)
        stretches = audible(samples, RATE)
        if stretches:
            said = samples[stretches[0][0] : stretches[-1][1]]
            fold = next((fold for fold, own in takes.items() if int(take) in own), LEARN)
            parts[fold].append(LoneSound(said, speaker, f"{word}-{take}"))
    if not all(parts.values()):
        raise StreamclfError(f"{data} has too few takes for three parts; lower --held-out or --validation")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    for fold, sounds in parts.items():
        scenes = Scenes(sounds, room_noises(seed, fold), DIALOGUE, seed=2 * seed + fold)
        for at in range(count if fold == LEARN else max(1, count // 4)):
            scene, name = scenes.scene(at), f"part-{fold}-{at:04}.flac"
            soundfile.write(folder / name, scene.samples, RATE, subtype="PCM_16")
            rows += [[name, f"{s.onset_s:.4f}", f"{s.offset_s:.4f}", s.label, str(fold), f"part-{fold}"]
                     for s in scene.spans]  # fmt: skip
    with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["file", "onset", "offset", "label", "fold", "source"], *rows])
    return sorted({sound.label for sound in parts[LEARN]})


def room_noises(seed: int, fold: int) -> Sequence[LoneSound]:
    """White, pink and brown noise to speak in, other noise in each part."""
    rng = np.random.default_rng([seed, fold])
    return [LoneSound(augment.noise(round(NOISE_S * RATE), 0.1, rng), "", f"noise-{at}") for at in range(NOISES)]


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
