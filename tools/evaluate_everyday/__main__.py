"""How right packs are about sounds from anywhere: one table for all of them, on the same recordings.

    python -m tools.evaluate_everyday FOLDER --pack NAME_OR_FOLDER [--pack ...] --out DIR
        [--esc10 FOLDER --fold 4] [--sources FILE] [--most 40] [--hop-ms 200] [--sensitivity low]
        [--cache DIR] [--page FILE] [--only clips,onsets,speech,esc10]

FOLDER has an index.csv with the columns file, label and source (or source_id); what it marks as weak is left out and
counted. DIR gets report.json and page.md. Rows and events come from the engine that `classify` uses and are kept in
the cache folder (DIR/cache) by pack and sound, so that a second run costs little. --sources: a text file with the
sources that a pack was neither trained nor tuned on, one a line; without it all are judged. --most: a smaller set, for
a quick look. --page: a second place for
the page, such as docs/figures/everyday.md. Needs the extra `train`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
from streamclf.config import Config
from streamclf.errors import SourceError, StreamclfError
from streamclf.sensitivity import Sensitivity
from streamclf.train.data.annotations import read_data
from streamclf.train.evaluate import inputs
from tools.evaluate_everyday import timed
from tools.evaluate_everyday.classes import Answers, answers_of, judged_classes
from tools.evaluate_everyday.clips import judge_clips
from tools.evaluate_everyday.listen import Listener, read_samples
from tools.evaluate_everyday.recordings import Index, read_index, read_sources
from tools.evaluate_everyday.report import PackReport, Report, as_json, page

_PARTS = ("clips", "onsets", "speech", "esc10")
_GAINS = (1.0, 0.02)
Item = TypeVar("Item")


def main() -> None:
    """Judge, and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.evaluate_everyday",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pack", action="append", required=True, help="name or folder; may be repeated")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="DIR/cache")
    parser.add_argument("--sources", type=Path, help="take only these sources")
    parser.add_argument("--most", type=int, help="clips of one class, those of new sources first")
    parser.add_argument("--hop-ms", type=int, default=200, help="of window packs, a multiple of 20")
    parser.add_argument("--sensitivity", choices=list(Sensitivity), default=Sensitivity.NORMAL)
    parser.add_argument("--esc10", type=Path, help="folder of ESC-10")
    parser.add_argument("--fold", type=int, default=4, help="of ESC-10")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", default=",".join(_PARTS), help="which parts")
    given = parser.parse_args()
    parts = frozenset(given.only.split(","))
    if unknown := sorted(parts - set(_PARTS)):
        parser.error(f"--only names {unknown[0]}; expected some of {','.join(_PARTS)}")
    if given.hop_ms < 20 or given.hop_ms % 20:
        parser.error(f"--hop-ms is {given.hop_ms}, expected a multiple of 20")
    try:
        report = judge(given, parts)
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "report.json").write_text(json.dumps(as_json(report), indent=1) + "\n", encoding="utf-8")
        for place in filter(None, (given.out / "page.md", given.page)):
            place.write_text(page(report), encoding="utf-8")
    except StreamclfError as fault:
        sys.exit(f"error: {fault}")
    print(page(report))


def judge(given: argparse.Namespace, parts: frozenset[str]) -> Report:
    """All parts for all packs."""
    sources = read_sources(given.sources) if given.sources else None
    index = _readable(read_index(given.folder, sources=sources, most=given.most))
    engines, names = inputs.make_engines(given.pack, Config(sensitivity=Sensitivity(given.sensitivity)))
    cache = given.cache or given.out / "cache"
    listeners = [
        Listener(name, engine, cache=cache / given.sensitivity, hop_ms=given.hop_ms)
        for name, engine in zip(names, engines, strict=True)
    ]
    answers = [answers_of(listener.pack.labels) for listener in listeners]
    packs = [_begin(listener, own) for listener, own in zip(listeners, answers, strict=True)]
    hours = _clips(index, listeners, answers, packs) if "clips" in parts else 0.0
    if "onsets" in parts:
        mixtures = timed.onset_mixtures(index.clips)
        for pack, listener, own in zip(packs, listeners, answers, strict=True):
            pack.onsets = timed.judge_onsets(mixtures, listener, own)
            _say(f"{pack.name}: onsets done")
    if "speech" in parts:
        made = timed.dialogues(index.clips)
        for pack, listener, own in zip(packs, listeners, answers, strict=True):
            pack.speech = timed.judge_speech(made, listener, own)
            _say(f"{pack.name}: speech done")
    if "esc10" in parts and given.esc10:
        recordings = inputs.of_folds(read_data(given.esc10)[0], frozenset({given.fold}))
        samples = [read_samples(recording.path) for recording in recordings]
        for pack, listener, own in zip(packs, listeners, answers, strict=True):
            told = [timed.judge_folder(recordings, samples, gain, listener, own) for gain in _GAINS]
            pack.esc10 = [one for one in told if one is not None]
            _say(f"{pack.name}: esc10 done")
    count = len({clip.source for clip in index.clips})
    return Report(_command(given), len(index.clips), count, hours, index.left_out, packs)


def _readable(index: Index) -> Index:
    """Without the recordings that cannot be read to their end: each is named, and they are counted."""
    clips = []
    for clip in index.clips:
        try:
            read_samples(clip.path)
        except SourceError as fault:
            _say(f"left out: {fault}")
        else:
            clips.append(clip)
    unread = len(index.clips) - len(clips)
    return Index(clips, {**index.left_out, "cannot be read": unread}) if unread else index


def _clips(index: Index, listeners: list[Listener], answers: list[Answers], packs: list[PackReport]) -> float:
    """Judge the single recordings. Returns the hours of them."""
    seconds = 0.0
    for pack, listener, own in zip(packs, listeners, answers, strict=True):
        sounds = (read_samples(clip.path) for clip in _counted(index.clips, pack.name))
        heard = [one.brief() for one in listener.hear(sounds)]
        pack.clips = judge_clips(index.clips, heard, own)
        seconds = sum(one.seconds for one in heard)
    return seconds / 3600


def _begin(listener: Listener, answers: Answers) -> PackReport:
    labels = {
        name: [listener.pack.labels[column].id for column in columns]
        for name in judged_classes()
        if (columns := answers.columns(name))
    }
    manifest = listener.pack.manifest
    return PackReport(listener.name, manifest.version, listener.pack.digest, listener.hop_ms, labels)


def _command(given: argparse.Namespace) -> str:
    """What gives these figures again, without the places of this machine."""
    words = ["python -m tools.evaluate_everyday RECORDINGS"]
    words += [f"--pack {Path(pack).name}" for pack in given.pack]
    words += [f"--esc10 ESC10 --fold {given.fold}"] if given.esc10 else []
    words += ["--sources HELD_OUT"] if given.sources else []
    words += [f"--most {given.most}"] if given.most else []
    words += [f"--sensitivity {given.sensitivity}"] if given.sensitivity != Sensitivity.NORMAL else []
    words += [f"--only {given.only}"] if given.only != ",".join(_PARTS) else []
    return " ".join([*words, f"--hop-ms {given.hop_ms}", "--out DIR"])


def _counted(items: list[Item], name: str) -> Iterator[Item]:
    for at, item in enumerate(items):
        if at % 100 == 0:
            _say(f"{name}: {at} of {len(items)}")
        yield item


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
