"""The default model from its recordings to its pack, stage by stage; a stage that is done is skipped.

    python -m models.default.recipe --data RECORDINGS --models PACKS [--work .run/default] [--out FOLDER]
        [--before PACK] [--scenes N] [--steps N] [--processes N] [--until gather|render|fit|choose|pack|price]

RECORDINGS is the folder of recordings (esc10, ambience, clips, digits, animal_song, soundscapes, more), PACKS the
folder that holds the packs `yamnet`, the teacher, and `silero-vad`, which says where voices in `more` speak. With
--before the net goes on from a pack of this recipe in place of fresh weights. Nothing is learnt from the recordings of
the test: the weights that ship are those that tools/evaluate_default.py judges. Killed at any moment, it goes on where
it was when it is started again.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from models.default.recipe import card, corpus, fit, gather, pack, pool, price, thresholds, watch
from models.default.recipe.fit import RecipeSettings
from models.default.recipe.net import DELAYS, LevelNet, Trainee, rescale
from streamclf.errors import StreamclfError
from streamclf.model.loader import load_pack


def main() -> None:
    """Run the stages in turn."""
    parser = argparse.ArgumentParser(
        prog="tools/train_default", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".run/default"))
    parser.add_argument("--until", choices=[name for name, _ in STAGES], default=STAGES[-1][0])
    parser.add_argument("--out", type=Path, help="of the pack; models/default")
    parser.add_argument("--steps", type=int, default=RecipeSettings().steps, help="of the training")
    parser.add_argument("--scenes", type=int, default=SCENES, help="to train on")
    parser.add_argument("--before", type=Path, help="a pack of this recipe to go on from, at a third of the rate")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="and threads")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES:
        print(f"{name}:", flush=True)
        try:
            stage(given)
        except StreamclfError as fault:
            sys.exit(f"error: {fault}")
        if name == given.until:
            break


def _gather(given: argparse.Namespace) -> None:
    if not (given.work / "provenance.json").exists():
        gather.gather(given.data, given.work, given.models)
    print(gather.counts(corpus.load(given.work)))


def _render(given: argparse.Namespace) -> None:
    pool.render(given.work, "train", given.scenes, models=given.models, processes=given.processes, say=_say)


def _fit(given: argparse.Namespace) -> None:
    _trained(given)


def _choose(given: argparse.Namespace) -> None:
    pool.render(given.work, "choose", CHOOSING, models=None, processes=given.processes, say=_say)
    pool.render(given.work, "backgrounds", BEHIND, models=None, processes=given.processes, say=_say)
    sounds, backgrounds = pool.read(given.work, "choose", CHOOSING), pool.read(given.work, "backgrounds", BEHIND)
    net = _trained(given)
    scores, behind = (thresholds.probabilities(net, held) for held in (sounds, backgrounds))
    right = watch.ten_way(net, given.work, "choose")
    found: dict[str, dict[str, Any]] = {}
    for delay in DELAYS:
        chosen = thresholds.choose(sounds, scores[delay], backgrounds, behind[delay])
        onsets = thresholds.onsets(sounds.first(BEGUN), scores[delay][:BEGUN], chosen)
        clips = {f"{gain:g}": right[gain, delay] for gain in watch.GAINS}
        found[str(delay)] = {"thresholds": [asdict(one) for one in chosen], "onsets": asdict(onsets), "clips": clips}
        _say(f"look-ahead {delay} rows: {onsets}, ESC-10 kept for choosing {clips}")
    for one in found[str(pack.DELAY)]["thresholds"]:
        _say(str(one))
    _chosen(given).write_text(json.dumps(found, indent=1))


def _pack(given: argparse.Namespace) -> None:
    report = pack.write(_shipped(given), pack.plain_labels(), given.work / "pack", card="Not priced yet.", say=_say)
    _say(f"{report.folder}: {report.parameters:,} parameters, parity {report.parity.worst:.1e}")


def _price(given: argparse.Namespace) -> None:
    plain = load_pack(given.work / "pack")
    chosen = price.choose(plain, price.unlearnt(given.data), given.data, given.work)
    net = _shipped(given)
    rescale(net, torch.tensor([one.level for one in chosen]), price.FACTOR)
    found = json.loads(_chosen(given).read_text())
    delays = {delay: _told(found[str(delay)]) for delay in DELAYS}
    table = price.table(chosen)
    print(table)
    out = given.out or given.work / "priced"
    text = card.card(given.work, given.data, delays, table)
    pack.write(net, [one.label for one in chosen], out, card=text, say=_say)
    if not given.out:
        pack.ship(out, SHIPPED)
        _say(f"{SHIPPED}: as in {out}")


def _shipped(given: argparse.Namespace) -> LevelNet:
    return _trained(given).shipped(pack.DELAY)


SHIPPED = Path("models/default")


def _told(found: dict[str, Any]) -> str:
    onsets = thresholds.Onsets(**found["onsets"])
    return (
        f"onsets of {onsets.sounds} sounds kept for choosing off by {onsets.median_ms:.0f} ms (median) and "
        f"{onsets.p95_ms:.0f} ms (95 %), {100 * onsets.found:.0f} % of them found, "
        f"{100 * found['clips']['1']:.0f} % of the ESC-10 clips kept for choosing right"
    )


def _trained(given: argparse.Namespace) -> Trainee:
    run, settings = given.work / "run", _settings(given)
    done = fit.finished(run, settings)
    if done is not None:
        return done
    return fit.fit(pool.read(given.work, "train", given.scenes), settings, run, say=_say, before=given.before)


def _settings(given: argparse.Namespace) -> RecipeSettings:
    plain = RecipeSettings(steps=given.steps, threads=given.processes)
    # what is there already is not to be learnt anew, and the more of the time the rate falls the nearer it stays
    return replace(plain, learning_rate=plain.learning_rate / 3, falling=0.7) if given.before else plain


def _chosen(given: argparse.Namespace) -> Path:
    return Path(given.work / "chosen.json")


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


STAGES: tuple[tuple[str, Callable[[argparse.Namespace], None]], ...] = (
    ("gather", _gather),
    ("render", _render),
    ("fit", _fit),
    ("choose", _choose),
    ("pack", _pack),
    ("price", _price),
)
SCENES, CHOOSING, BEHIND, BEGUN = 15_000, 1800, 1800, 600
"""Scenes of ten seconds to train on, and to choose thresholds on: with sounds, and of backgrounds alone; and how many
of those with sounds are cut into events, to see how soon these begin.
"""


if __name__ == "__main__":
    main()
