"""Files of the score log: what a crash leaves of them, days, names, a disk that is full."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Decision
from streamclf.errors import StoreError
from streamclf.store import scores
from streamclf.store.filenames import safe_name
from streamclf.store.packfacts import PackFacts
from streamclf.store.scorefile import ScoreFile, Stretch
from streamclf.store.scores import BLOCK_FRAMES, ScoreLog
from streamclf.types import FrameScores, Label, Levels

FACTS = {"p": PackFacts.of("ab", [Label("a", "A", "g"), Label("b", "B")], [Decision(), Decision(enter=0.7)])}
EPOCH = round(datetime(2026, 5, 1, 23, 59, 50, tzinfo=UTC).timestamp()) * 10**9


def rows_of(frames: int, first: int = 0, *, final: bool = True, stream: str = "mic") -> FrameScores:
    rows = np.linspace(0, 1, 2 * frames, dtype=np.float32).reshape(frames, 2)
    return FrameScores(stream, "p", first, rows, final, 0)


def read(folder: Path, since_ns: int = 0, until_ns: int = 1 << 62) -> list[Stretch]:
    return list(scores.read(scores.files(folder), since_ns=since_ns, until_ns=until_ns))


def test_a_file_says_what_its_rows_are(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(3)], {"mic": EPOCH})
    log.close()

    (stretch,) = read(tmp_path)
    header = stretch.header
    assert (header.stream, header.pack, header.pack_hash, header.run) == ("mic", "p", "ab", "run1")
    assert header.labels == (Label("a", "A", "g"), Label("b", "B"))
    assert header.decisions == (Decision(), Decision(enter=0.7))
    assert (stretch.first_ns, stretch.end_ns) == (EPOCH, EPOCH + 3 * NS_PER_FRAME)


def test_rows_are_written_every_ten_seconds_and_the_provisional_ones_never(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(BLOCK_FRAMES - 1)], {"mic": EPOCH})
    assert read(tmp_path) == []
    log.take([rows_of(1, BLOCK_FRAMES - 1), rows_of(5, 0, final=False)], {"mic": EPOCH})
    assert [len(stretch.codes) for stretch in read(tmp_path)] == [BLOCK_FRAMES]


def test_a_day_has_its_own_folder(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(BLOCK_FRAMES), rows_of(BLOCK_FRAMES, BLOCK_FRAMES)], {"mic": EPOCH})
    log.close()
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["2026-05-01", "2026-05-02"]
    assert [stretch.first_frame for stretch in read(tmp_path)] == [0, BLOCK_FRAMES]


def test_levels_come_back_in_decibels(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    rms = np.array([1.0, 0.1, 0.0], dtype=np.float32)
    log.take([Levels("mic", 7, rms, rms)], {"mic": EPOCH})
    log.close()
    (stretch,) = read(tmp_path)
    assert (stretch.header.kind, stretch.first_frame) == ("levels", 7)
    assert stretch.rows[:, 0].tolist() == [0.0, -20.0, -127.5]


def test_a_time_range_is_cut_to_the_frame(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(100)], {"mic": EPOCH})
    log.close()
    (part,) = read(tmp_path, EPOCH + 10 * NS_PER_FRAME - 1, EPOCH + 20 * NS_PER_FRAME)
    assert (part.first_frame, len(part.codes)) == (10, 10)
    assert read(tmp_path, EPOCH + 100 * NS_PER_FRAME) == []


def test_whatever_a_crash_cuts_off_the_whole_blocks_before_it_are_read(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(50), rows_of(50, 60)], {"mic": EPOCH})
    log.close()
    (whole,) = scores.files(tmp_path)
    content = whole.path.read_bytes()
    assert [s.first_frame for s in whole.stretches()] == [0, 60]
    assert whole.torn == 0
    second = content.rindex(b"SCLR")
    for cut in range(second, len(content)):
        whole.path.write_bytes(content[:cut])
        torn = ScoreFile(whole.path)
        assert [s.first_frame for s in torn.stretches()] == [0]
        assert torn.torn == cut - second


def test_a_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(50)], {"mic": EPOCH})
    log.close()
    (file,) = scores.files(tmp_path)
    content = bytearray(file.path.read_bytes())
    content[-1] ^= 1
    file.path.write_bytes(content)
    assert read(tmp_path) == []


def test_what_is_no_score_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.scores").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(StoreError, match=r"x\.scores is not a file of score rows"):
        ScoreFile(tmp_path / "x.scores")


def test_a_full_disk_costs_the_block_and_leaves_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real full disk is in tests/fault; here it takes half a record, as a write to one may."""
    log = ScoreLog(tmp_path, "run1", FACTS)
    log.take([rows_of(BLOCK_FRAMES)], {"mic": EPOCH})
    with monkeypatch.context() as patch:
        real = os.write
        patch.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
        with pytest.raises(OSError, match="No space left") as fault:
            log.take([rows_of(BLOCK_FRAMES, BLOCK_FRAMES)], {"mic": EPOCH})
    assert fault.value.errno == errno.ENOSPC
    log.take([rows_of(BLOCK_FRAMES, 2 * BLOCK_FRAMES)], {"mic": EPOCH})
    log.close()
    assert [stretch.first_frame for stretch in read(tmp_path)] == [0, 2 * BLOCK_FRAMES]


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "a/b", "$(touch x)", "a\nb", "", ".", "-rf", "é" * 99, "a b", "\ud800"]
)
def test_no_name_leaves_its_folder_or_means_anything(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= 49
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert not name.startswith("-")


def test_different_texts_have_different_names() -> None:
    texts = ["mic", "mic!", "mic?", "mi/c", "mi\\c", "x" * 41, "x" * 42]
    assert len({safe_name(text) for text in texts}) == len(texts)
    assert safe_name("silero-vad") == "silero-vad"
