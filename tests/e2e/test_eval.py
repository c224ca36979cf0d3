"""`streamclf eval` as a process: what a user types, what is said, and the figures of real packs on real recordings."""

import csv
import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tools.lab.daemon import run_cli
from tools.lab.tinypack import RATE, stateful_pack, window_row_pack

EXTRA = ("sklearn", "scipy", "sed_eval", "dcase_util", "pkg_resources", "pyannote", "matplotlib")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(any(find_spec(name) is None for name in EXTRA), reason="the extra `train` is not installed"),
]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return stateful_pack(tmp_path / "tiny")


def burst(path: Path, onset: float = 0.0, offset: float = 0.0) -> Path:
    """Two seconds of hum, loud from onset to offset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(2 * RATE) / RATE
    level = np.where((time >= onset) & (time < offset), 0.3, 0.001)
    soundfile.write(path, level * np.sin(2 * np.pi * 440 * time), RATE)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Loud and calm clips in two folds."""
    folder = tmp_path / "clips"
    for fold in (1, 2):
        for take in "AB":
            burst(folder / "loud" / f"{fold}-10{fold}-{take}.wav", 0.5, 1.5)
            burst(folder / "calm" / f"{fold}-20{fold}-{take}.wav")
    return folder


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two recordings with strong labels."""
    folder = tmp_path / "scenes"
    burst(folder / "a.wav", 0.5, 1.5).with_suffix(".txt").write_text("0.5\t1.5\tLoud\n")
    burst(folder / "b.wav", 0.8, 1.0).with_suffix(".csv").write_text("onset,offset,label\n0.8,1.0,loud\n")
    return folder


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def test_clips_in_words_and_in_files(tmp_path: Path, pack: Path, clips: Path) -> None:
    out = tmp_path / "out"

    done = run_cli("eval", str(pack), "--data", str(clips), "--labels-map", "calm=c1", "--out", str(out), home=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{clips}: 8 recordings, 0.00 h, 2 labels judged"
    assert lines[1].startswith("hop 20 ms, latency 500 ms, cpu")
    assert any(line.startswith("clip accuracy") for line in lines)
    assert any(line.startswith("loud ") and line.endswith(" loud") for line in lines)
    assert (out / "confusion-tiny-stateful.png").read_bytes().startswith(b"\x89PNG")
    saved = json.loads((out / "report.json").read_text())
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == saved["recordings"] == 8
    assert {row["fold"] for row in rows} == {"1", "2"}
    for row in rows:
        assert (float(row["tiny-stateful:loud"]) > 0.9) == (row["labels"] == "loud")
    assert np.sum(saved["packs"][0]["clip"]["confusion"]) == 8


def test_folds_and_negatives_by_an_unknown_label(tmp_path: Path, pack: Path, clips: Path) -> None:
    done = run_cli("eval", str(pack), "--data", str(clips), "--folds", "2", "--json", home=tmp_path)

    found = report(done)
    assert "no label of tiny-stateful answers them: calm" in done.stderr
    assert (found["folds"], found["recordings"]) == ([2], 4)
    assert found["packs"][0]["unmapped"] == ["calm"]
    # what `calm` may hold is not known, so no event in it is called false
    assert found["packs"][0]["figures"] == {"clip_accuracy": None, "clip_map": 1.0, "clip_auc": 1.0}


def test_strong_labels_and_what_less_level_costs(tmp_path: Path, pack: Path, scenes: Path) -> None:
    full = report(run_cli("eval", str(pack), "--data", str(scenes), "--json", home=tmp_path))
    quiet = report(run_cli("eval", str(pack), "--data", str(scenes), "--gain", "0.1", "--json", home=tmp_path))

    # one label in two spellings is two labels of the data, and each has its figures
    assert full["labels"] == ["Loud", "loud"]
    assert full["strong"] is True
    figures = full["packs"][0]["figures"]
    assert figures["onset_median_ms"] == 0.0
    assert figures["events_missed"] == 0.0
    assert "der" not in figures
    assert quiet["settings"]["gain"] == 0.1
    assert quiet["packs"][0]["figures"]["events_missed"] == 1.0
    assert quiet["packs"][0]["figures"]["event_f1"] == 0.0


def test_two_packs_side_by_side(tmp_path: Path, pack: Path, clips: Path) -> None:
    other = window_row_pack(tmp_path / "other")
    asked = ("eval", str(pack), str(other), "--data", str(clips), "--labels-map", "calm=c1")

    found = report(run_cli(*asked, "--json", home=tmp_path))
    words = run_cli(*asked, home=tmp_path).stdout.splitlines()

    first, second = (one["figures"] for one in found["packs"])
    assert [one["name"] for one in found["packs"]] == ["tiny-stateful", "tiny-window-row"]
    for key, difference in found["difference"].items():
        assert difference == pytest.approx(second[key] - first[key])
    header = next(line for line in words if line.startswith("FIGURE"))
    assert header.split() == ["FIGURE", "tiny-stateful", "tiny-window-row", "DIFFERENCE"]


def test_two_versions_of_one_pack_are_called_by_their_folders(tmp_path: Path, pack: Path, clips: Path) -> None:
    other = stateful_pack(tmp_path / "newer", seed=9)

    found = report(run_cli("eval", str(pack), str(other), "--data", str(clips), "--json", home=tmp_path))

    assert [one["name"] for one in found["packs"]] == [str(pack), str(other)]


def test_a_corrupt_clip_among_good_ones_is_named_and_counted(tmp_path: Path, pack: Path, clips: Path) -> None:
    bad = clips / "loud" / "1-101-A.wav"
    bad.write_bytes(b"this is not audio")

    done = run_cli("eval", str(pack), "--data", str(clips), "--json", home=tmp_path)

    assert report(done)["recordings"] == 7
    assert [left["path"] for left in report(done)["left_out"]] == [str(bad)]
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"data: {bad} is not audio")
    assert lines[1] == "1 problem with the data; what is left out is in no figure"


def test_false_events_on_background(tmp_path: Path, pack: Path, clips: Path) -> None:
    found = report(
        run_cli("eval", str(pack), "--data", str(clips), "--labels-map", "*=;loud=", "--json", home=tmp_path)
    )

    false = found["packs"][0]["false_events"]["loud"]
    assert found["labels"] == []
    assert (false["count"], false["hours"]) == (4, pytest.approx(8 * 2 / 3600))
    assert false["per_hour"] is None, "eight clips of two seconds say nothing of an hour"


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--data", "absent"], 2, "the data folder absent does not exist"),
        (["--data", "{clips}", "--folds", "3"], 2, "--folds names 3, but the data has 1, 2"),
        (["--data", "{clips}", "--folds", "2-1"], 2, "write 4 or 1-3 or 1,5"),
        (["--data", "{scenes}", "--folds", "1"], 2, "--folds was given, but the data has none"),
        (["--data", "{clips}", "--labels-map", "clam=c1"], 2, "did you mean 'calm'?"),
        (["--data", "{clips}", "--labels-map", "calm=c9"], 2, "no label of tiny-stateful is"),
        (["--data", "{clips}", "--labels-map", "calm"], 2, "neither an entry DATA=PACK,PACK nor a file"),
        (["--data", "{clips}/calm"], 1, "holds no labelled recording"),
        (["--data", "{one}"], 1, "every clip of the data has the label 'loud'"),
        (["--data", "{other}"], 1, '--labels-map "cat=PACK_LABEL"'),
        (["--data", "{clips}", "--gain", "0"], 2, "--gain"),
        (["--data", "{clips}", "--hop-ms", "30"], 2, "hop_ms"),
        (["{pack}", "--data", "{clips}"], 2, "are the same pack"),
        (["nopack", "--data", "{clips}"], 1, "there is no pack named 'nopack'"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, pack: Path, clips: Path, scenes: Path, args: list[str], status: int, said: str
) -> None:
    shutil.copytree(clips / "loud", tmp_path / "one" / "loud")
    shutil.copytree(clips, tmp_path / "other")
    (tmp_path / "other" / "loud").rename(tmp_path / "other" / "dog")
    (tmp_path / "other" / "calm").rename(tmp_path / "other" / "cat")
    names = {"clips": clips, "scenes": scenes, "pack": pack, "one": tmp_path / "one", "other": tmp_path / "other"}

    done = run_cli("eval", str(pack), *(arg.format(**names) for arg in args), home=tmp_path)

    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("streamclf: error: ")
    assert said in done.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, pack: Path, clips: Path) -> None:
    # what stands first on the path is what is imported
    (tmp_path / "hidden" / "sklearn").mkdir(parents=True)
    (tmp_path / "hidden" / "sklearn" / "__init__.py").write_text("raise ImportError('absent', name='sklearn')\n")

    done = run_cli("eval", str(pack), "--data", str(clips), home=tmp_path, env={"PYTHONPATH": str(tmp_path / "hidden")})

    assert done.returncode == 1
    assert "pip install 'streamclf[train]'" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.timeout(300)
def test_yamnet_names_real_clips(tmp_path: Path, shared: Path, packs_dir: Path) -> None:
    for label in ("dog_bark", "rooster", "baby_cry", "sea_waves"):
        target = tmp_path / "clips" / label
        target.mkdir(parents=True)
        for path in sorted((shared / "data" / "esc10" / label).glob("4-*.ogg"))[:4]:
            shutil.copy(path, target)
    mapped = "dog_bark=dog,bark;rooster=chicken_rooster,crowing_cock_a_doodle_doo;sea_waves=ocean,waves_surf"

    done = run_cli(
        "eval", "yamnet", "--data", str(tmp_path / "clips"), "--labels-map", f"{mapped};baby_cry=baby_cry_infant_cry",
        "--json", home=tmp_path, env={"STREAMCLF_MODELS": str(packs_dir)}, timeout_s=240.0,
    )  # fmt: skip

    figures = report(done)["packs"][0]["figures"]
    assert figures["clip_accuracy"] >= 0.9
    assert figures["clip_auc"] >= 0.97


@pytest.mark.timeout(300)
def test_silero_hears_when_somebody_speaks(tmp_path: Path, shared: Path, packs_dir: Path) -> None:
    from streamclf.train.data.annotations import Recording
    from streamclf.train.data.asheard import read_sound
    from streamclf.train.data.scenes import LoneSound, Scenes, SceneSpec, sounds_of, write_scenes

    digits = sorted((shared / "data" / "digits").glob("[0-9]_*_1.flac"))
    sounds = [
        sound
        for path in digits
        for sound in sounds_of(Recording(path, path.stem, ("speech",)), RATE, read_sound(path, RATE))
    ]
    behind = [
        LoneSound(read_sound(shared / "data" / "ambience" / f"{name}.ogg", RATE), "", name) for name in ("rain", "wind")
    ]
    spec = SceneSpec(seconds=12.0, turns=(2, 4), turn=(2, 5), overlap=False, snr_db=(10.0, 25.0), band_share=0.0)
    maker = Scenes(sounds, behind, spec, seed=5)
    write_scenes(tmp_path / "scenes", [maker.scene(number) for number in range(6)])

    done = run_cli(
        "eval", "silero-vad", "--data", str(tmp_path / "scenes"), "--json", home=tmp_path,
        env={"STREAMCLF_MODELS": str(packs_dir)}, timeout_s=240.0,
    )  # fmt: skip

    figures = report(done)["packs"][0]["figures"]
    assert figures["frame_auc"] >= 0.9
    assert figures["segment_f1"] >= 0.9
    assert figures["onset_median_ms"] <= 60


def test_an_annotation_beyond_the_end_costs_itself_alone(pack: Path, scenes: Path, tmp_path: Path) -> None:
    before = report(run_cli("eval", str(pack), "--data", str(scenes), "--json", home=tmp_path))
    with (scenes / "a.txt").open("a") as labels:
        labels.write("50\t60\tLoud\n")

    done = run_cli("eval", str(pack), "--data", str(scenes), "--json", home=tmp_path)

    assert report(done)["packs"] == before["packs"]
    assert "the annotation 'Loud' goes from 50.00 to 60.00 s; it is left out" in done.stderr


def test_what_was_left_out_is_named_also_where_nothing_can_be_judged(tmp_path: Path, pack: Path) -> None:
    burst(tmp_path / "data" / "garden" / "a.wav", 0.5, 1.5).with_suffix(".TextGrid").write_text("x")

    done = run_cli("eval", str(pack), "--data", str(tmp_path / "data"), home=tmp_path)

    assert done.returncode == 1
    assert "no label of the data (garden)" in done.stderr
    assert "a.TextGrid: no annotations of these recordings (it is a TextGrid of Praat, which is not read" in done.stderr
