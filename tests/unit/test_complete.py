"""A hand-written pack becomes a whole one; none of it is guessed, and none of it is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tomlkit
from click.testing import CliRunner, Result

from streamclf.cli import cli
from streamclf.engine.verify import verify
from streamclf.errors import StreamclfError
from streamclf.model import complete as completing
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import load_pack
from streamclf.types import Shape
from tools.lab import tinypack
from tools.reference import packs

MAKERS: dict[Shape, Callable[[Path], Path]] = {
    Shape.STATEFUL: lambda folder: tinypack.stateful_pack(folder, window=384),
    Shape.WINDOW_ROW: lambda folder: tinypack.window_row_pack(folder, features="logmel"),
    Shape.WINDOW_FRAMES: tinypack.window_frames_pack,
    Shape.FUSED: lambda folder: tinypack.fused_pack(
        folder,
        members={
            "edges": tinypack.stateful_pack(folder.parent / "edges"),
            "names": tinypack.window_row_pack(folder.parent / "names", features="logmel"),
        },
    ),
}


@pytest.fixture(params=MAKERS, ids=lambda shape: shape.value)
def shape(request: pytest.FixtureRequest) -> Shape:
    found: Shape = request.param
    return found


def by_hand(folder: Path, shape: Shape, *, labels: str = "id,name\nloud,Loud\nc1,One\nc2,Two\n") -> Path:
    """The example of the documents with a graph of that shape: no hashes, a table of labels with two columns."""
    made = MAKERS[shape](folder.parent / "made")
    folder.mkdir()
    if shape is Shape.FUSED:
        shutil.copytree(made / "members", folder / "members")
        shutil.copy(made / "fusion.csv", folder)
    else:
        shutil.copy(made / "model.onnx", folder)
    (folder / "labels.csv").write_text(labels)
    (folder / "pack.toml").write_text(packs.example(shape))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["models", "complete", *map(str, arguments)])


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "pack.toml").read_text()
    assert old in text
    (folder / "pack.toml").write_text(text.replace(old, new))


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, StreamclfError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_the_example_of_each_shape_is_completed_loads_and_verifies(tmp_path: Path, shape: Shape) -> None:
    folder = by_hand(tmp_path / "pack", shape)

    result = run(folder)

    assert result.exit_code == 0, result.output
    assert "is complete" in result.output
    pack = load_pack(folder)
    assert [label.id for label in pack.labels] == ["loud", "c1", "c2"]
    assert verify(pack).problems == []


def test_comments_and_order_stay_and_a_second_time_changes_nothing(tmp_path: Path, shape: Shape) -> None:
    folder = by_hand(tmp_path / "pack", shape)
    there = sorted(entry.name for entry in folder.iterdir())
    run(folder)
    once = (folder / "pack.toml").read_text()

    result = run(folder)

    lines = packs.example(shape).splitlines()
    kept = [line for line in once.splitlines() if line in lines]
    assert kept == lines or [line for line in kept if line] == [line for line in lines if line]
    assert "#" in once
    assert (folder / "pack.toml").read_text() == once
    assert "was complete already" in result.output
    assert sorted(entry.name for entry in folder.iterdir()) == there


def test_a_new_folder_gets_the_whole_and_the_old_one_stays(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL)
    (folder / "notes.txt").write_text("mine")
    (folder / "LICENSE").write_text("MIT")
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}

    result = run(folder, "--out", tmp_path / "whole", "--golden")

    assert result.exit_code == 0, result.output
    assert "notes.txt" in result.output
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before
    pack = load_pack(tmp_path / "whole")
    assert set(pack.manifest.files) == {"LICENSE", "golden.npz", "labels.csv", "model.onnx"}
    report = verify(pack)
    assert report.golden is not None
    assert report.golden < 1e-5
    assert refused(folder, "--out", tmp_path / "whole").endswith("--out takes a new folder")


@pytest.mark.parametrize(
    ("stated", "row_at", "look_ahead"),
    [("look_ahead = 1600", 1280, 1600), ("look_ahead = 0", 2880, 0), ("row_at = 1600", 1600, 1280)],
)
def test_row_at_and_look_ahead_come_out_of_each_other(
    tmp_path: Path, stated: str, row_at: int, look_ahead: int
) -> None:
    folder = by_hand(tmp_path / "pack", Shape.WINDOW_ROW)
    edit(folder, "look_ahead = 1600 ", stated)

    assert run(folder).exit_code == 0

    manifest = load_pack(folder).manifest
    assert (manifest.row_at, manifest.look_ahead) == (row_at, look_ahead)


def test_row_at_is_measured_on_sounds_that_begin_suddenly(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    made = tinypack.window_row_pack(tmp_path / "made")
    shutil.copytree(made, folder)
    text = "\n".join(
        line for line in (made / "pack.toml").read_text().splitlines() if not line.startswith(("row_at", "look_ahead"))
    )
    (folder / "pack.toml").write_text(text)
    (tmp_path / "sounds" / "loud").mkdir(parents=True)
    random = np.random.default_rng(3)
    for number in range(3):
        sound = random.uniform(-0.3, 0.3, size=tinypack.RATE * 2).astype(np.float32)
        sound[: tinypack.RATE // 2] = 0.0
        soundfile.write(tmp_path / "sounds" / "loud" / f"{number}.wav", sound, tinypack.RATE)
    assert "--sounds FOLDER" in refused(folder)

    result = run(folder, "--sounds", tmp_path / "sounds")

    # `loud` reaches a half where the mean of |x| is 0.06; this noise has 0.15, so four of ten frames have to hold it
    assert result.exit_code == 0, result.output
    assert "measured" in result.output
    manifest = load_pack(folder).manifest
    assert manifest.row_at == 6 * tinypack.HOP
    assert manifest.look_ahead == manifest.window - manifest.row_at - tinypack.HOP


@pytest.mark.parametrize(
    ("text", "ids", "names"),
    [
        ("Loud\nA dog\nA cat\n", ["loud", "a_dog", "a_cat"], ["Loud", "A dog", "A cat"]),
        ("name,index\nA cat,2\nLoud,0\nA dog,1\n", ["loud", "a_dog", "a_cat"], ["Loud", "A dog", "A cat"]),
        ("group,id\n,loud\npet,dog\npet,cat\n", ["loud", "dog", "cat"], ["loud", "dog", "cat"]),
    ],
)
def test_labels_may_be_written_in_several_ways(tmp_path: Path, text: str, ids: list[str], names: list[str]) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL, labels=text)

    assert run(folder).exit_code == 0

    labels = load_pack(folder).labels
    assert [label.id for label in labels] == ids
    assert [label.name for label in labels] == names
    assert [label.group for label in labels][1:] in (["", ""], ["pet", "pet"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rate = 16000\n", "", "the key `rate` is missing; state it, nothing is guessed"),
        (
            'title = "Whistles, by a small recurrent net"\nlicence = "MIT"\n',
            "",
            "the keys `title`, `licence` are missing; state them, nothing is guessed",
        ),
        ("step = 320 ", "step = 999 ", "`step` is 999"),
        ("step = 320 ", "stepp = 320 ", "unknown key `stepp`; did you mean `step`?"),
        ('output = "state_out"', 'output = "states"', "it has no output 'states', only 'scores', 'state_out'"),
        ('input = "state_in"', 'input = "audio"', "'state_in' has the shape [2, any, 6], expected [any, 384]"),
        ("name = ", "name = = ", "is not TOML"),
        ('kind = "waveform"', 'kind = "waves"', "wrong value in `features.kind`"),
        ("rate = 16000", "rate = 16001", "16001"),
        ("[features]", 'files = "none"\n[features]', "`files` is not a table"),
        ("[features]", '[files]\n"../secret" = "1"\n[features]', "expected plain names"),
        ("[features]", '[files]\n"encoder.onnx" = "1"\n[features]', "encoder.onnx is missing"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL)
    edit(folder, old, new)
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}

    assert says in refused(folder)

    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("id\nloud\nc1\n", "expected [any, 2]"),
        ("id\nl1\nl2\nl3\nl4\n", "expected [any, 4]"),
        ("mid,display\nx,Loud\n", "expected some of the columns id,name,group,enter,hidden and index"),
        ("id,index\nloud,0\nc1,0\nc2,1\n", "does not count from 0 to 2"),
        ("id,enter\nloud,much\nc1,\nc2,\n", "enter is 'much'"),
        ("id,enter\nloud,2\nc1,\nc2,\n", "enter is '2'"),
        ("id\nloud\nloud\nc2\n", "gives the id 'loud' twice"),
        ("", "expected some of the columns"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, labels: str, says: str) -> None:
    assert says in refused(by_hand(tmp_path / "pack", Shape.STATEFUL, labels=labels))


def test_a_folder_that_lacks_a_file_or_holds_no_graph_is_refused(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL)
    (folder / "model.onnx").write_bytes(b"no graph")
    assert "is not an ONNX file" in refused(folder)
    (folder / "model.onnx").unlink()
    assert "has no model.onnx" in refused(folder)
    assert "is not a folder" in refused(tmp_path / "nowhere")


def test_a_file_that_has_changed_gets_its_new_hash_and_is_told(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL)
    run(folder)
    shutil.copy(tinypack.stateful_pack(tmp_path / "other", window=384, seed=9) / "model.onnx", folder)

    assert "hash of model.onnx, which has changed since" in run(folder).output
    assert load_pack(folder).manifest.name == "whistles"


def test_a_disk_that_takes_nothing_leaves_every_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL)
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    assert "cannot be written: No space left on device" in refused(folder)
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before


def test_names_and_sizes_come_from_the_graph_alone(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "pack", Shape.WINDOW_FRAMES)

    done = completing.complete(folder)

    told = tomlkit.parse(done.contents["pack.toml"].decode())
    assert (told["input"], told["output"], told["rows_per_window"]) == ("features", "scores", 10)
    assert any("rows that the graph gives" in line for line in done.said)


def test_the_pack_that_ships_gets_back_what_was_taken_out_of_it(tmp_path: Path) -> None:
    shipped = shipped_models_dir() / "default"
    folder = tmp_path / "default"
    shutil.copytree(shipped, folder)
    document = tomlkit.parse((folder / "pack.toml").read_text())
    for key in ("files", "format", "input", "output"):
        del document[key]
    for state in document["state"]:
        del state["shape"]
    (folder / "pack.toml").write_text(tomlkit.dumps(document))

    assert run(folder).exit_code == 0

    assert load_pack(folder).manifest == load_pack(shipped).manifest


def test_where_two_outputs_could_be_meant_it_says_what_to_add(tmp_path: Path) -> None:
    # six labels, and a state of six values that nothing takes for one
    labels = "id\n" + "".join(f"c{number}\n" for number in range(6))
    folder = by_hand(tmp_path / "pack", Shape.STATEFUL, labels=labels)
    made = tinypack.stateful_pack(tmp_path / "six", window=384, classes=6)
    shutil.copy(made / "model.onnx", folder)
    edit(folder, 'output = "state_out"', 'output = "elsewhere"')

    assert 'add one of these to pack.toml: output = "scores", output = "state_out"' in refused(folder)


def test_a_sealed_pack_has_hashes_its_row_and_golden_rows_and_its_weights_inside(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "mine", Shape.WINDOW_ROW)
    text = (folder / "pack.toml").read_text().splitlines()
    (folder / "pack.toml").write_text("\n".join(line for line in text if not line.startswith(("row_at", "look_ahead"))))
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)

    sealed = CliRunner().invoke(cli, ["models", "seal", str(folder)])

    assert sealed.exit_code == 0, sealed.output
    assert "the middle of the window" in sealed.output
    pack = load_pack(folder)
    assert pack.manifest.look_ahead == pack.manifest.window // 2
    assert pack.golden is not None
    assert verify(pack).golden == pytest.approx(0, abs=1e-6)
    assert not any(tensor.external_data for tensor in onnx.load_from_string(pack.model).graph.initializer)
