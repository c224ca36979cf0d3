"""`classify` in several processes: the same results in the same order; a process that dies takes one file with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamclf.commands.fileear import Failed, FileAsked, FileEar, FileWish, Heard
from streamclf.commands.formats import FileScores
from streamclf.commands.workers import WorkerError, Workers
from streamclf.config import Config
from tools.lab.tinypack import RATE, stateful_pack


@pytest.fixture(scope="module")
def wish(tmp_path_factory: pytest.TempPathFactory) -> FileWish:
    return FileWish(
        Config(model=(str(stateful_pack(tmp_path_factory.mktemp("packs") / "tiny")),)), scores=True, best=True
    )


def noise(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, round(seconds * RATE)), RATE)
    return path


def test_results_are_those_of_one_process_in_the_order_of_the_files(tmp_path: Path, wish: FileWish) -> None:
    files = [noise(tmp_path / f"{at}.wav", 1 + at) for at in (3, 0, 2)]
    absent = tmp_path / "absent.wav"
    command = [sys.executable, "-m", "streamclf", "classify", *map(str, [files[0], absent, *files[1:]]), "--scores"]
    command += ["--model", wish.config.model[0], "--format", "csv"]

    alone, together = (
        subprocess.run([*command, "--jobs", jobs], capture_output=True, text=True, timeout=100, check=False)
        for jobs in ("1", "2")
    )

    assert alone.stdout == together.stdout
    assert len(alone.stdout.splitlines()) == 1 + 50 * (4 + 1 + 3)
    assert (alone.returncode, together.returncode) == (1, 1)
    assert alone.stderr == together.stderr
    assert str(absent) in alone.stderr


def test_a_process_that_dies_takes_one_file_with_it(tmp_path: Path, wish: FileWish) -> None:
    files = [
        FileAsked(os.fsencode(noise(tmp_path / f"{at}.wav", seconds)), f"{at}.wav")
        for at, seconds in enumerate((1200, 1, 1))
    ]
    killed: list[int] = []

    def kill(at: int, share: float) -> None:
        if at == 0 and not killed:
            killed.append(workers.pids[0])
            os.kill(killed[0], signal.SIGKILL)

    with Workers(wish, 1, tell=pytest.fail, advance=kill) as workers:
        found = [one for one in workers.heard(files) if not isinstance(one, FileScores)]
    assert [type(one) for one in found] == [Failed, Heard, Heard]
    assert isinstance(found[0], Failed)
    assert "0.wav cannot be heard: the process that heard it was killed" in found[0].said


def test_a_process_that_dies_over_several_files_takes_one_with_it(tmp_path: Path, wish: FileWish) -> None:
    """Where rows are not kept files are heard side by side; then each alone, so that it is known which one it was."""
    files = [
        FileAsked(os.fsencode(noise(tmp_path / f"{at}.wav", seconds)), f"{at}.wav")
        for at, seconds in enumerate((60, 1200, 60, 60))
    ]
    killed: list[int] = []
    heard_at: set[int] = set()

    def kill(at: int, share: float) -> None:
        heard_at.add(at)
        if at == 1 and workers.pids[0] not in killed and (killed or heard_at >= {0, 1, 2, 3}):
            killed.append(workers.pids[0])
            os.kill(killed[-1], signal.SIGKILL)

    told = msgspec.structs.replace(wish, scores=False)
    with Workers(told, 1, tell=pytest.fail, advance=kill) as workers:
        found = list(workers.heard(files))
    assert [type(one) for one in found] == [Heard, Failed, Heard, Heard]
    assert isinstance(found[1], Failed)
    assert "1.wav cannot be heard: the process that heard it was killed" in found[1].said
    assert len(killed) == 2


def test_files_side_by_side_are_each_heard_as_alone(tmp_path: Path, wish: FileWish) -> None:
    """Of all lengths, one that is absent and one that breaks off among them."""
    pieces = [np.random.default_rng(at).uniform(-0.9, 0.9, round((0.3 + 1.7 * at) * RATE)) for at in range(10)]
    paths = [tmp_path / f"{at}.wav" for at in range(10)]
    for path, piece in zip(paths, pieces, strict=True):
        soundfile.write(path, piece, RATE)
    paths.insert(3, tmp_path / "absent.wav")
    paths[5].write_bytes(b"no sound")
    files = [FileAsked(os.fsencode(path), path.name) for path in paths]
    told = msgspec.structs.replace(wish, scores=False)
    ear = FileEar(told)
    assert ear.side_by_side > 1

    def heard(some: list[FileAsked]) -> dict[int, Heard | Failed]:
        said = ear.hear(
            some,
            tell=lambda at, said: pytest.fail(said),
            advance=lambda at, share: None,
            rows=lambda piece: pytest.fail("rows are not asked for"),
        )
        return dict(said)

    together = heard(files)
    assert [type(together[at]) for at in range(11)].count(Failed) == 2
    for at, one in enumerate(files):
        assert msgspec.json.encode(heard([one])[0], enc_hook=lambda row: row.tolist()) == msgspec.json.encode(
            together[at], enc_hook=lambda row: row.tolist()
        )
    assert any(isinstance(one, Heard) and one.events for one in together.values())


def test_a_long_file_holds_back_others_and_all_are_given_in_the_end(tmp_path: Path, wish: FileWish) -> None:
    long, short = noise(tmp_path / "long.wav", 100), noise(tmp_path / "short.wav", 0.1)
    files = [FileAsked(os.fsencode(path), f"{at}.wav") for at, path in enumerate([long, *[short] * 20])]
    with Workers(wish, 2, tell=pytest.fail, advance=lambda at, share: None) as workers:
        found = [one.stream for one in workers.heard(files) if isinstance(one, Heard)]
    assert found == [asked.name for asked in files]


def test_what_an_engine_cannot_be_made_of_is_told_as_ever() -> None:
    with (
        Workers(
            FileWish(Config(model=("nowhere/at-all",))), 1, tell=pytest.fail, advance=lambda at, share: None
        ) as workers,
        pytest.raises(WorkerError, match="nowhere/at-all"),
    ):
        workers.packs  # noqa: B018


def test_rows_that_wait_for_their_turn_are_bounded(
    tmp_path: Path, wish: FileWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file is the longest; who hears the others stands still until it is done."""
    monkeypatch.setattr("streamclf.commands.workers._HELD_BYTES", 1)
    files = [
        FileAsked(os.fsencode(noise(tmp_path / f"{at}.wav", seconds)), f"{at}.wav")
        for at, seconds in enumerate((60, 9, 9))
    ]
    held: list[int] = []
    with Workers(wish, 2, tell=pytest.fail, advance=lambda at, share: None) as workers:
        found = []
        for one in workers.heard(files):
            held.append(workers.held_bytes)
            found.append((one.stream, len(one.rows)) if isinstance(one, FileScores) else type(one))
    assert found == [("0.wav", 3000), Heard, ("1.wav", 450), Heard, ("2.wav", 450), Heard]
    assert max(held) <= 450 * 4 * 10


def test_rows_of_files_apart_wait_for_nobody(tmp_path: Path, wish: FileWish) -> None:
    files = [
        FileAsked(os.fsencode(noise(tmp_path / f"{at}.wav", seconds)), f"{at}.wav")
        for at, seconds in enumerate((1200, 1, 1))  # the first takes longer than the start of the second process
    ]
    with Workers(wish, 2, tell=pytest.fail, advance=lambda at, share: None) as workers:
        found = [
            (one.stream, isinstance(one, FileScores))
            for one in workers.heard(files, mixed=True)
            if not isinstance(one, Failed)
        ]
    assert [name for name, rows in found if not rows] == ["0.wav", "1.wav", "2.wav"]
    assert found[-1] == ("2.wav", False)
    assert found.index(("1.wav", True)) < found.index(("0.wav", False))
