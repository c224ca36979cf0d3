"""The log: what a line looks like, floods that are counted, and a reader that does not read, over a real pipe."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamclf import metrics
from streamclf.daemon.log import JsonFormatter, QueuedHandler, TextFormatter, form_for
from streamclf.daemon.outlet import MAX_LINES, Outlet
from streamclf.daemon.repeats import ALIKE, EQUAL, MAX_KEYS, Repeats, Said

SECRET = "s3cr3t"
WAIT_S = 30.0


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def read_until(descriptor: int, words: bytes) -> bytes:
    data = b""
    while words not in data:
        data += os.read(descriptor, 65536)
    return data


def lost_lines() -> float:
    return metrics.REGISTRY.get_sample_value("streamclf_log_lines_dropped_total", {"reason": "unread"}) or 0.0


def record(message: str, *args: object, name: str = "streamclf") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)


def test_who_writes_never_waits_for_a_reader_and_what_was_lost_is_told_in_its_place() -> None:
    before = lost_lines()
    with pipe() as (reading, writing):
        outlet = Outlet(writing, missed=lambda count: f"lost {count}\n".encode())
        for number in range(3 * MAX_LINES):
            outlet.put(f"line {number:06} of some length {'.' * 40}\n".encode())
        assert not outlet.flush(0.05)
        data = read_until(reading, b"lost ")
        while not outlet.flush(0.01):
            data += os.read(reading, 65536)
        outlet.put(b"and on it goes\n")
        data += read_until(reading, b"goes\n")

    lines = data.decode().splitlines()
    told = [number for number, line in enumerate(lines) if line.startswith("lost ")]
    assert len(told) == 1
    count = int(lines[told[0]].split()[1])
    kept = lines[: told[0]]
    assert [int(line.split()[1]) for line in kept] == list(range(len(kept)))
    assert len(kept) + count == 3 * MAX_LINES
    assert lines[told[0] + 1 :] == ["and on it goes"]
    assert lost_lines() == before + count


def test_a_disk_that_was_full_for_a_while_is_told_of_once_it_takes_lines_again() -> None:
    before = lost_lines()
    place = os.open("/dev/full", os.O_WRONLY)
    outlet = Outlet(place, missed=lambda count: f"lost {count}\n".encode())
    for number in range(3):
        outlet.put(b"line %d\n" % number)
        outlet.flush(WAIT_S)
    with pipe() as (reading, writing):
        os.dup2(writing, place)
        told = read_until(reading, b"lost ")
        outlet.put(b"and on it goes\n")
        told += read_until(reading, b"goes\n")
    os.close(place)

    assert told == b"lost 3\nand on it goes\n"
    assert lost_lines() == before + 3


def test_a_reader_that_has_gone_holds_nothing_up() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = lost_lines()
    outlet = Outlet(writing, missed=lambda count: b"")
    outlet.put(b"to nobody\n")

    assert outlet.flush(WAIT_S)
    assert lost_lines() == before + 1
    os.close(writing)


def test_a_line_of_json_is_one_object_with_its_time_and_hides_what_text_hides() -> None:
    try:
        raise ValueError(f"no answer from https://u:{SECRET}@hooks.example/{SECRET}")
    except ValueError:
        made = logging.LogRecord(
            "httpx", logging.ERROR, __file__, 1, 'at "%s" \x1b[31m\n\ud800', (f"https://h.example/{SECRET}",),
            sys.exc_info(),
        )  # fmt: skip
    made.created = 1_777_609_867.1239
    line = JsonFormatter().format(made)
    told = json.loads(line.encode())

    assert "\n" not in line
    assert SECRET not in line
    assert SECRET not in TextFormatter("%(asctime)s %(message)s").format(made)
    assert {key: told[key] for key in ("time", "level", "logger")} == {
        "time": "2026-05-01T04:31:07.123Z",
        "level": "ERROR",
        "logger": "httpx",
    }
    assert told["message"] == 'at "https://h.example/…" \\x1b[31m\\n\\ud800'
    assert told["exception"].startswith("Traceback")
    assert set(json.loads(JsonFormatter().format(record("quiet")))) == {"time", "level", "logger", "message"}


def test_a_person_reads_text_and_a_program_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, (tmp_path / "log").open("w") as file:
        assert (form_for(terminal), form_for(file)) == ("text", "json")
        found = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert form_for(file) == "text"
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert form_for(file) == "json"
    os.close(ours)


def test_equal_lines_are_told_a_few_times_and_then_counted_each_minute() -> None:
    repeats = Repeats()
    line = Said("asyncio", logging.ERROR, "out of files", "out of files")
    other = Said("asyncio", logging.ERROR, "another", "another")

    assert [repeats.admit(line, 0.1 * n) for n in range(100)] == [True] * EQUAL + [False] * (100 - EQUAL)
    assert repeats.admit(other, 10.0)
    assert repeats.ended(59.0) == []
    (first,) = repeats.ended(60.0)
    assert (first.lines, first.said) == (100 - EQUAL, line)
    assert first.sentence() == f"said {100 - EQUAL} more times in the last minute: out of files"
    # it goes on: no line of it is told, and the next minute has its count
    assert not repeats.admit(line, 61.0)
    assert [one.lines for one in repeats.ended(120.0)] == [1]
    # a minute of calm: it is news again
    assert repeats.ended(180.0) == []
    assert repeats.admit(line, 181.0)
    assert repeats.rest() == []


def test_lines_of_one_wording_count_together_and_memory_is_bounded() -> None:
    repeats = Repeats()
    lines = [Said("serve", logging.WARNING, "client %s was cut off", f"client {n} was cut off") for n in range(2000)]

    assert sum(repeats.admit(line, 0.0) for line in lines) == ALIKE
    assert len(repeats._equal) <= MAX_KEYS
    (left,) = [one for one in repeats.rest() if not one.equal]
    assert left.lines == 2000 - ALIKE


def test_a_flood_through_the_handler_is_short_and_its_end_tells_the_count() -> None:
    with pipe() as (reading, writing):
        handler = QueuedHandler(writing, TextFormatter("%(message)s"))
        for _ in range(20_000):
            handler.handle(record("the same"))
        handler.close()
        told = os.read(reading, 65536).decode().splitlines()

    assert told[:EQUAL] == ["the same"] * EQUAL
    assert told[EQUAL:] == [f"said {20_000 - EQUAL} more times in the last minute: the same"]


def test_what_python_writes_to_standard_error_goes_the_same_way(tmp_path: Path) -> None:
    program = (
        "import sys, threading, logging\n"
        "from streamclf.daemon.log import to_stderr\n"
        "from streamclf.daemon.deadline import end_process\n"
        "from streamclf.errors import StreamclfError\n"
        "to_stderr(quiet=False, form=sys.argv[1])\n"
        "for n in range(300): logging.getLogger('streamclf').info('line %d', n)\n"
        "print('by hand', file=sys.stderr)\n"
        "end_process(StreamclfError('it is over'))\n"
    )
    text, objects = (
        subprocess.run([sys.executable, "-c", program, form], stderr=subprocess.PIPE, check=False, timeout=60)
        for form in ("text", "json")
    )
    lines = text.stderr.decode().splitlines()
    told = [json.loads(line) for line in objects.stderr.decode().splitlines()]

    assert (text.returncode, objects.returncode) == (1, 1)
    assert lines[-3:-1] == ["by hand", "streamclf: error: it is over"]
    assert lines[-1].endswith(f"{300 - ALIKE} more lines like this one in the last minute: line 0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} line 0", lines[0])
    assert len(lines) == ALIKE + 3
    assert told[-2] == {**told[-2], "level": "ERROR", "message": "streamclf: error: it is over"}
