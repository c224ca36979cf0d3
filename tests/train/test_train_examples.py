"""The example tools lay their recordings out so that nothing that teaches is ever tried on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")

from streamclf.errors import StreamclfError, UsageError
from streamclf.train.data.annotations import read_data
from tests.support.recordings import tone
from tools import train_birds, train_speakers


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Two voices that differ by pitch, six takes of two words each; a take is told by its length."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for at, speaker in enumerate(("ann", "bob")):
        for word in (0, 1):
            for take in range(6):
                sound = tone(200 * (1 + at), 0.3 + 0.05 * take, seed=word, rate=8000)
                quiet = np.zeros(1600, np.float32)
                soundfile.write(folder / f"{word}_{speaker}_{take}.flac", np.concatenate([quiet, sound, quiet]), 8000)
    return folder


TAKES = {train_speakers.TRY: range(2), train_speakers.STOP: range(2, 4)}


def test_dialogues_of_the_three_parts_share_no_recording(tmp_path: Path, digits: Path) -> None:
    speakers = train_speakers.write_dialogues(digits, tmp_path / "out", 8, TAKES, 0)

    recordings, problems = read_data(tmp_path / "out")
    assert speakers == ["ann", "bob"]
    assert not problems
    assert [sum(r.fold == fold for r in recordings) for fold in (1, 2, 3)] == [8, 2, 2]
    assert len({(r.fold, r.source) for r in recordings}) == 3
    # take n lasts 0.3 + 0.05 n seconds
    ranges = {1: (0.48, 0.57), 2: (0.28, 0.37), 3: (0.38, 0.47)}
    for recording in recordings:
        assert recording.fold is not None
        least, most = ranges[recording.fold]
        lengths = [span.offset_s - span.onset_s for span in recording.spans or ()]
        assert lengths
        assert all(least < each < most for each in lengths)


def test_one_speaks_at_a_time(tmp_path: Path, digits: Path) -> None:
    train_speakers.write_dialogues(digits, tmp_path / "out", 4, TAKES, 0)

    for recording in read_data(tmp_path / "out")[0]:
        spans = recording.spans or ()
        assert all(after.onset_s >= span.offset_s for span, after in pairwise(spans))


def test_there_must_be_takes_for_every_part(tmp_path: Path, digits: Path) -> None:
    with pytest.raises(StreamclfError, match="too few takes for three parts"):
        train_speakers.write_dialogues(digits, tmp_path / "out", 4, {2: range(2), 3: range(2, 6)}, 0)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Empty files under the names of the collection; nothing looks into them."""
    names = [f"esc10/rooster/{fold}-{number}-{take}.ogg" for fold in "12" for number in range(6) for take in "AB"]
    names += [f"esc10/rain/1-{number}-A.ogg" for number in range(90, 99)]
    names += ["ambience/birds.ogg", "ambience/summer-night.ogg", "ambience/SOUNDS.md", "clips/piano.flac"]
    names += [
        "animal_song/birds_10s.flac",
        "animal_song/deermouse-go.flac",
        "more/birds/crow.ogg",
        "more/other/cow.ogg",
    ]
    for name in names:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


def test_birds_are_told_from_others_and_the_unsure_are_left_out(collection: Path) -> None:
    folders = [collection / name for name in (*train_birds.FOLDERS, "more")]

    found = {r.path.relative_to(collection).as_posix(): r.labels[0] for r in train_birds.recordings(folders)}

    birds = {name for name, label in found.items() if label == "bird"}
    assert {name for name in birds if not name.startswith("esc10/rooster/")} == {
        "ambience/birds.ogg", "animal_song/birds_10s.flac", "more/birds/crow.ogg",
    }  # fmt: skip
    assert sum(name.startswith("esc10/rooster/") for name in birds) == 24
    assert "ambience/summer-night.ogg" not in found
    assert {"clips/piano.flac", "animal_song/deermouse-go.flac", "more/other/cow.ogg"} <= found.keys() - birds


def test_no_source_of_the_collection_lies_in_two_folds(tmp_path: Path, collection: Path) -> None:
    everything = list(train_birds.recordings([collection / name for name in train_birds.FOLDERS]))

    counts = train_birds.lay_out(everything, tmp_path / "clips")

    laid, problems = read_data(tmp_path / "clips")
    assert not problems
    assert len(laid) == len(everything) == sum(recordings for recordings, _ in counts.values())
    own = {recording.path.resolve(): recording.source for recording in everything}
    folds: dict[str, set[int | None]] = {}
    for recording in laid:
        folds.setdefault(own[recording.path.resolve()], set()).add(recording.fold)
    assert all(len(each) == 1 for each in folds.values())
    assert {fold for each in folds.values() for fold in each} == {1, 2, 3, 4}


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="esc10 is not there"):
        list(train_birds.recordings([tmp_path / "esc10"]))
