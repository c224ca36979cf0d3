"""The default model's recordings: what is kept of them, where they sound, and that no source is in two splits."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.default.recipe import check, corpus, debian, gather, made, more, packages, provenance, sources
from models.default.recipe.classes import LABELS
from models.default.recipe.corpus import RATE
from streamclf.errors import StreamclfError
from tests.support.soundset import SPLITS, burst, noise, recording, wanted


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path) -> None:
    given = wanted(tmp_path / "in")

    assert corpus.build(tmp_path, given) == []
    clips = corpus.load(tmp_path)

    assert len(clips) == len(given)
    assert {(c.label, c.kind, c.source, c.split, c.unsure) for c in clips} == {
        (c.label, c.kind, c.source, c.split, c.unsure) for c in given
    }
    assert corpus.samples_of(next(c for c in clips if c.source == "bird-test")).dtype == np.float32
    assert [c.seconds for c in clips if c.label == "rain"] == [3.0] * 3


def test_stretches_hold_what_sounds(tmp_path: Path) -> None:
    steady = np.concatenate([noise(2.0), np.zeros(2 * RATE, np.float32), noise(1.0)])
    corpus.build(
        tmp_path,
        [
            recording(tmp_path / "in/bird.wav", burst(3000, first_s=0.7, seconds=0.4), "bird", "train"),
            recording(tmp_path / "in/rain.wav", steady, "rain", "train"),
        ],
    )

    by_label = {clip.label: clip.stretches for clip in corpus.load(tmp_path)}

    ((first, end),) = by_label["bird"]
    assert abs(first / RATE - 0.7) < 0.03
    assert abs(end / RATE - 1.1) < 0.03
    assert [(round(a / RATE, 1), round(b / RATE, 1)) for a, b in by_label["rain"]] == [(0.0, 2.0), (4.0, 5.0)]


def test_what_cannot_be_learnt_from_is_left_out_with_a_reason(tmp_path: Path) -> None:
    bad = tmp_path / "in/broken.wav"
    recording(bad, noise(), "rain", "train")
    bad.write_bytes(b"no sound")
    silent = recording(tmp_path / "in/silent.wav", np.zeros(RATE, np.float32), "dog", "train")
    kept = recording(tmp_path / "in/kept.wav", burst(900, rate=11_025), "dog", "train", rate=11_025)
    broken = corpus.CorpusClip(bad, "rain", "event", "broken", "train", "CC0", "made up", 8000.0)

    dropped = corpus.build(tmp_path, [broken, silent, kept])

    assert [line.split(":")[0].split("/")[-1] for line in dropped] == ["broken.wav", "silent.wav"]
    (clip,) = corpus.load(tmp_path)
    assert abs(clip.seconds - 2.0) < 0.01


def test_folds_and_sources_decide_the_split(tmp_path: Path) -> None:
    for fold in range(1, 5):
        for number in range(4):
            for take in "AB":
                recording(tmp_path / f"esc10/dog_bark/{fold}-{fold}{number}-{take}.wav", noise(0.1), None, "train")

    clips = list(sources.esc10(tmp_path / "esc10"))

    by_source: dict[str, set[str]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in by_source.values())
    of_fold = {fold: {c.split for c in clips if c.path.stem[0] == str(fold)} for fold in range(1, 5)}
    assert of_fold == {1: {"train"}, 2: {"train"}, 3: {"train", "choose"}, 4: {"test"}}
    assert {clip.label for clip in clips} == {"dog"}


def test_every_sound_is_named_once_and_in_one_split() -> None:
    for package, (_, classes) in debian.SOUNDS.items():
        stems = [
            stem
            for splits in classes.values()
            for groups in splits.values()
            for group in groups.split()
            for stem in group.split("+")
        ]
        assert len(stems) == len(set(stems)), package
        assert all(set(splits) <= set(SPLITS) for splits in classes.values())


def test_a_second_opinion_masks_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.build(tmp_path, [clip for clip in wanted(tmp_path / "in") if clip.split == "train"])
    clips = corpus.load(tmp_path)
    quiet = dict.fromkeys(LABELS[:-1], 0.0)
    said = {
        "bird-train": {"bird": 0.01, "speech": 0.9},
        "rain-train": {"rain": 0.9, "thunder": 0.5, "wind": 0.1},
        "rooster-train": {"rooster": 0.8, "bird": 0.9},
    }
    scores = {clip.path.name: quiet | said.get(clip.source, {}) for clip in clips}
    monkeypatch.setattr(check, "heard", lambda clips, work, models: scores)

    kept, wrong = check.checked(clips, tmp_path, tmp_path)

    assert {clip.source for clip in clips} - {clip.source for clip in kept} == {"bird-train"}
    assert len(wrong) == 1
    unsure = {clip.source: clip.unsure for clip in kept}
    assert unsure["rain-train"] == ("thunder",)
    assert unsure["rooster-train"] == ()
    assert unsure["place-train"] == ("wind",)


def test_provenance_counts_every_clip(tmp_path: Path) -> None:
    corpus.build(tmp_path, wanted(tmp_path / "in"))
    clips = corpus.load(tmp_path)

    (row,) = gather.provenance(clips)

    assert (row["origin"], row["licence"], row["clips"], row["sources"]) == ("made up", "CC0", 27, 27)
    assert row["seconds"] == round(sum(clip.seconds for clip in clips))
    assert "rain " in gather.counts(clips)


def listed(folder: Path, rows: list[tuple[str, str, str, str, str]]) -> None:
    """An index of recordings: (label, source, origin, notes, weak) of each."""
    lines = ["file,label,source_id,origin,licence,notes,weak"]
    for number, (label, source, origin, notes, weak) in enumerate(rows):
        recording(folder / f"{number}.wav", noise(0.1), None, "train")
        lines.append(f"{number}.wav,{label},{source},{origin},CC0,{notes},{weak}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")


def test_the_larger_set_is_split_by_source(tmp_path: Path) -> None:
    plain = [("bird", f"fs:{n // 2}", "A", "", "") for n in range(24)]
    # one recording with two labels, two origins that are all of a kind, and what is not used
    shared = [("frog", "fs:1", "A", "", ""), *[("speech", f"pv:{n}", "Picovoice/x", "", "") for n in range(4)]]
    alike = [("aircraft", f"d:{n}", "DroneDetection/x", "", "") for n in range(4)]
    unused = [
        ("rir", "r:1", "A", "", ""),
        ("dog", "e:1", "A", "also in ESC-10 fold 4", ""),
        ("rain", "w:1", "A", "", "yes"),
    ]
    listed(tmp_path, [*plain, *shared, *alike, *unused])

    clips = list(more.folder(tmp_path))

    by_source: dict[str, set[str]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in by_source.values())
    birds = [clip.split for clip in clips if clip.label == "bird"]
    assert {split: birds.count(split) for split in SPLITS} == {"train": 10, "choose": 4, "test": 10}
    assert {clip.split for clip in clips if clip.label == "speech"} == {"train"}
    assert len({clip.source for clip in clips if clip.label == "helicopter"}) == 1
    assert {(clip.label, clip.name) for clip in clips if clip.path.stem == "24"} == {(None, "frog")}
    assert len(clips) == 24 + 5 + 4
    held_out = {f"{more.PREFIX}{source}" for source in more.held_out(tmp_path)}
    assert {clip.source for clip in clips if clip.split == "test" and clip.label != "helicopter"} <= held_out
    assert not held_out & {clip.source for clip in clips if clip.split != "test"}


def test_what_is_not_learnt_of_the_larger_set_can_be_named(tmp_path: Path) -> None:
    listed(tmp_path, [("bird", f"fs:{n}", "A", "", "") for n in range(6)])
    clips = list(more.folder(tmp_path))

    learnt = {clip.source.removeprefix(more.PREFIX) for clip in clips if clip.split == "train"}
    unlearnt = more.held_out(tmp_path, more.UNLEARNT)

    assert len(learnt) == len(unlearnt) == 3
    assert not learnt & set(unlearnt)


def test_credits_name_who_asks_for_it(tmp_path: Path) -> None:
    lines = [
        f"- **[{clip}.ogg](https://x/{clip}.ogg)**: clip derived from [a.wav](http://x) by *{author}* ([{licence}](http://y))"
        for clip, author, licence in (
            ("1-10-A", "Zoe B", "CC-BY"),
            ("2-11-A", "amy", "CC-BY"),
            ("2-11-B", "amy", "CC-BY"),
            ("3-12-A", "free", "CC0"),
            ("5-13-A", "reserved", "CC-BY"),
        )
    ]
    (tmp_path / "esc10").mkdir()
    (tmp_path / "esc10/README.md").write_text("\n".join(lines))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/origins.csv").write_text("origin,taken_from,authors\nmade up,a/b,Ann; Bo\nabsent,c/d,Cy\n")
    corpus.build(tmp_path, wanted(tmp_path / "in"))

    text = provenance.section(corpus.load(tmp_path), tmp_path)

    assert "| made up | CC0 | 27 | 27 |" in text
    assert "- made up: Ann; Bo\n" in text
    assert "Cy" not in text
    assert text.endswith("from Freesound by amy, Zoe B\n")


def test_a_sound_catalogue_gives_its_recordings() -> None:
    riff = b"RIFF" + bytes(200)
    entry = b"\x04abc\x00" + riff
    offsets = struct.pack("<IIII", 16, len(riff), 16 + len(entry), 10)

    found = list(packages.sound_catalogue(offsets + entry + b"\x02x\x00RIFF"))

    assert found == [("00.wav", riff)]


def test_qt_resources_give_sounds_that_are_not_compressed() -> None:
    def named(text: str) -> bytes:
        return struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")

    names = named("") + named("a.ogg") + named("b.wav") + named("c.svg")
    at = [0, 6, 6 + 6 + 10, 6 + 2 * (6 + 10)]
    contents = struct.pack(">I", 3) + b"ogg" + struct.pack(">I", 3) + b"zip" + struct.pack(">I", 3) + b"svg"
    tree = struct.pack(">IHII", at[0], 2, 3, 1)
    for name_at, flags, content_at in ((at[1], 0, 0), (at[2], 1, 7), (at[3], 0, 14)):
        tree += struct.pack(">IHHHI", name_at, flags, 0, 0, content_at)
    head = 20
    places = struct.pack(">III", head, head + len(tree), head + len(tree) + len(contents))

    found = list(packages.qt_resources(b"qres" + struct.pack(">I", 1) + places + tree + contents + names))

    assert found == [("a.ogg", b"ogg")]


def test_a_package_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin/apt-get"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho no such package >&2\nexit 100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")

    with pytest.raises(
        StreamclfError, match=r"apt-get -qq download asterisk.* failed .no such package.*apt-get update"
    ):
        packages.fetch(tmp_path / "work")


def test_packages_are_unpacked_wherever_the_working_folder_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("gcompris-qt-data", "openttd-opensfx")
    monkeypatch.setattr(packages, "PACKAGES", names)
    monkeypatch.chdir(tmp_path)
    debs = Path("work/debs")
    debs.mkdir(parents=True)
    for name in names:
        inside = tmp_path / name
        (inside / "DEBIAN").mkdir(parents=True)
        (inside / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: sounds\n"
        )
        (inside / "owl.ogg").write_text(name)
        subprocess.run(
            ["dpkg-deb", "--build", str(inside), f"{debs}/{name}_1_all.deb"], check=True, capture_output=True
        )

    packages.fetch(Path("work"))

    assert [(Path("work/unpacked") / name / "owl.ogg").read_text() for name in names] == list(names)


def test_made_birds_sing_in_the_range_of_their_kind(tmp_path: Path) -> None:
    ranges = {"song-0": (1500, 8000), "song-1": (1500, 8000), "song-2": (1000, 8000), "song-3": (200, 1500)}
    sung = made.sing(tmp_path, clips=12)

    for kind, path in sung:
        samples, rate = soundfile.read(path)
        power = np.abs(np.fft.rfft(samples)) ** 2
        middle = np.fft.rfftfreq(len(samples), 1 / rate)[np.cumsum(power).searchsorted(power.sum() / 2)]
        assert ranges[kind][0] < middle < ranges[kind][1], path.name
        assert 0.02 < len(samples) / rate < 12
    assert {kind for kind, _ in sung} == set(ranges)
    assert [path.read_bytes() for _, path in made.sing(tmp_path / "again", clips=12)] == [
        path.read_bytes() for _, path in sung
    ]
