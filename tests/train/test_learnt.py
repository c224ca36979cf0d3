"""What a pack keeps of its training, and what `eval` says by it: no figure differs from the card's without a reason."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamclf.commands.evaluation import say_learnt
from streamclf.config import Config
from streamclf.engine.engine import Engine
from streamclf.errors import UsageError
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.packwriter import write_files
from streamclf.train.data.annotations import Recording
from streamclf.train.data.labelmap import LabelMap
from streamclf.train.data.tasks import Partition
from streamclf.train.evaluate import learnt
from streamclf.train.evaluate.evaluation import PackResult, pooling_of
from streamclf.train.evaluate.inputs import held_out, make_engines
from streamclf.train.evaluate.merit import clip_metrics
from tools.lab.tinypack import window_row_pack


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recording]:
    """Four files of different bytes."""
    made = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(bytes([number]) * 100)
        made.append(Recording(path, str(number), ("loud",)))
    return made


def taught(tmp_path: Path, recordings: Sequence[Recording], **figures: float) -> Pack:
    """A pack that has learnt from the first two, was stopped by the third, and tried on the fourth."""
    folder = window_row_pack(tmp_path / "pack")
    pack = load_pack(folder)
    files = {name: (folder / name).read_bytes() for name in pack.manifest.files}
    kept = msgspec.json.decode(
        learnt.written(Partition(list(recordings[:2]), list(recordings[2:3]), list(recordings[3:])), None),
        type=learnt.Learnt,
    )
    own = msgspec.structs.replace(kept, pooling="mean", hop_ms=40, figures=dict(figures))
    write_files(folder, pack.manifest, {**files, learnt.LEARNT: msgspec.json.encode(own)})
    return load_pack(folder)


def result(pack: Pack) -> PackResult:
    truth = np.array([[True], [False]])
    clip = clip_metrics(("loud",), np.array([[0.9], [0.1]], dtype=np.float32), truth)
    return PackResult(pack, LabelMap({"loud": (0,)}, frozenset(), ()), pooling_of(pack), clip)


def test_what_a_pack_has_heard_is_known_by_its_bytes_alone(tmp_path: Path, recordings: list[Recording]) -> None:
    pack = taught(tmp_path, recordings)
    kept = learnt.of_pack(pack)
    assert kept is not None
    moved = tmp_path / "elsewhere.wav"
    moved.write_bytes(recordings[0].path.read_bytes())
    known = learnt.heard_before(kept, [*recordings, Recording(moved, "moved", ("loud",))])
    assert [recording.path.name for recording in known] == ["0.wav", "1.wav", "2.wav", "elsewhere.wav"]
    assert kept.held_out == {hashlib.sha256(recordings[3].path.read_bytes()).hexdigest()[:16]}
    text = (Path(pack.path) / learnt.LEARNT).read_text()
    assert "wav" not in text


def test_eval_says_what_was_learnt_and_what_the_card_says(
    tmp_path: Path, recordings: list[Recording], capsys: pytest.CaptureFixture[str]
) -> None:
    pack = taught(tmp_path, recordings, clip_accuracy=2 / 3)
    say_learnt(["mine"], [result(pack)], recordings)
    told = capsys.readouterr().err
    assert "mine has learnt from 3 of these 4 recordings" in told
    assert "--held-out leaves those out" in told
    assert "the card of mine says clip accuracy 66.7 %: on the 1 recordings that were held out, clips by mean" in told
    say_learnt(["mine"], [result(pack)], recordings[3:])
    told = capsys.readouterr().err
    assert "has learnt" not in told
    assert "held out" not in told


def test_held_out_leaves_what_was_learnt_out(tmp_path: Path, recordings: list[Recording]) -> None:
    taught(tmp_path, recordings)
    engines, names = make_engines([str(tmp_path / "pack")], Config())
    assert held_out(recordings, engines, names) == recordings[3:]
    with pytest.raises(UsageError, match="have learnt from every recording"):
        held_out(recordings[:3], engines, names)
    plain: list[Engine]
    plain, names = make_engines([str(window_row_pack(tmp_path / "plain"))], Config())
    with pytest.raises(UsageError, match="does not keep which recordings it has learnt from"):
        held_out(recordings, plain, names)
