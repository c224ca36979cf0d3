"""Files that are not what they were: folders, pipes, links, of a gigabyte, cut off, of another version."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tools.faults.groups.configuration import ruled, rules_of
from tools.faults.groups.store import SMALL, events, keeping, kept_again, none_lost
from tools.faults.lab import Lab, told
from tools.faults.registry import FaultGroup

group = FaultGroup("files", owner="store")
_CLIPS = SMALL + "[clips]\nenabled = true\npre_ms = 100\npost_ms = 100\nvisit_ms = 0\n"
_GIGABYTE = 1_000_000_000


def _any_clip(clips: Path) -> bool:
    return any(clips.rglob("*.flac"))


def _holes(place: Path) -> None:
    """A gigabyte of nothing."""
    place.touch(0o600)
    os.truncate(place, _GIGABYTE)


def _fill(place: Path) -> None:
    """All that there is room for."""
    with place.open("wb", buffering=0) as other, suppress(OSError):
        while other.write(bytes(4096)):
            pass


def _another_in_its_place(lab: Lab, make: Callable[[Path], object]) -> None:
    """Something else under the rules' name is told, the rules before go on; a good file again is taken."""
    patient, file, out = ruled(lab)

    def replace() -> None:
        file.unlink()
        make(file)

    lab.detect(patient, replace, by=told, limit_s=8)
    before, kib = out.read_text().count("\n"), patient.rss_kib()
    lab.must(lab.happens(lambda: out.read_text().count("\n") > before, 6) is not None, "the rules before do not go on")
    lab.must(patient.rss_kib() - kib < 50_000, f"memory grew by {(patient.rss_kib() - kib) // 1024} MiB")
    begun_s = time.monotonic()
    file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    file.write_text(rules_of(out, "corrected"))
    if lab.must(lab.happens(lambda: '"corrected"' in out.read_text(), 10) is not None, "a good file is not taken"):
        lab.recovered_s = time.monotonic() - begun_s
    lab.untouched(patient)


@group.fault(
    "rules-a-folder", "a folder in its place: told, the rules before go on; a good file again: taken", cheap=True
)
def folder(lab: Lab) -> None:
    """A mount point without its mount."""
    _another_in_its_place(lab, Path.mkdir)


@group.fault("rules-a-pipe", "a pipe in its place: told, nothing waits for it, the rules before go on")
def pipe(lab: Lab) -> None:
    """Whoever reads it hangs."""
    _another_in_its_place(lab, os.mkfifo)


@group.fault("rules-of-a-gigabyte", "a gigabyte in its place: told, not read, the rules before go on")
def gigabyte(lab: Lab) -> None:
    """Of holes."""
    _another_in_its_place(lab, _holes)


@group.fault("rules-a-round-of-links", "a link to itself in its place: told, the rules before go on")
def links(lab: Lab) -> None:
    """ELOOP."""
    _another_in_its_place(lab, lambda file: file.symlink_to(file))


@group.fault("rules-a-device", "/dev/zero in its place: told, not read for ever, the rules before go on")
def device(lab: Lab) -> None:
    """It never ends."""
    _another_in_its_place(lab, lambda file: file.symlink_to("/dev/zero"))


@group.fault(
    "configuration-not-a-file",
    "a NUL byte, a folder, a pipe, a gigabyte, /dev/zero as configuration: exit 78 with one sentence each",
    owner="packs",
)
def configuration(lab: Lab) -> None:
    """At the start."""
    place = lab.folder / "odd.toml"
    makes: dict[str, Callable[[], object]] = {
        "NUL": lambda: place.write_bytes(b'source = ["demo\0"]\n'),
        "folder": place.mkdir,
        "pipe": lambda: os.mkfifo(place),
        "gigabyte": lambda: _holes(place),
        "device": lambda: place.symlink_to("/dev/zero"),
    }
    for name, make in makes.items():
        make()
        patient = lab.start(env={"STREAMCLF_CONFIG": str(place)}, ready=False, watch=False)
        if not lab.refused(patient, 78, limit_s=20):
            lab.note(f"{name}: {patient.stderr[-120:]}")
            patient.kill()
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink()


@group.fault(
    "database-of-a-newer-version", "made by a version to come: left as it is; exit with one sentence, or heard and told"
)
def newer(lab: Lab) -> None:
    """Somebody went back to an older version."""
    patient, database = keeping(lab, lab.folder)
    patient.unwatch()
    patient.stop()
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA journal_mode = DELETE")
        opened.execute("PRAGMA user_version = 9999")
    before = events(database.parent)
    again = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, ready=False)
    took = lab.happens(lambda: not again.alive or bool(again.rows.of("steady").times_s), 30.0)
    lab.must(took is not None, "neither an end nor rows")
    lab.note(f"exit {again.process.returncode}: {again.stderr.strip()[-200:]}" if not again.alive else "it runs")
    lab.must("newer" in again.stderr or "9999" in again.stderr, f"nothing names the version: {again.stderr[-200:]}")
    with closing(sqlite3.connect(database)) as opened:
        version = opened.execute("PRAGMA user_version").fetchone()[0]
    lab.must((version, events(database.parent)) == (9999, before), "the database was changed or deleted")


@group.fault(
    "journal-cut-off", "kill -9, then the write-ahead log cut in half: it starts, keeps, and loses no earlier event"
)
def journal(lab: Lab) -> None:
    """A power cut while the card was writing."""
    patient, database = keeping(lab, lab.folder)
    lab.until(lambda: events(database.parent) >= 4, 20, "four events", patient)
    patient.unwatch()
    patient.killed = True
    patient.kill()
    journal = database.with_name(database.name + "-wal")
    lab.must(journal.exists(), "there is no write-ahead log")
    size = journal.stat().st_size if journal.exists() else 0
    if size:
        os.truncate(journal, size // 2 + 7)
    again = lab.start(env={"STREAMCLF_STORE_PATH": str(database.parent)}, config=SMALL)
    lab.note(f"log of {size // 1024} KiB cut; {events(database.parent)} events after it")
    kept_again(lab, again, database.parent)
    lab.untouched(again)


@group.fault(
    "database-locked-a-minute",
    "another program holds its lock for a minute: told as long as it lasts, events wait, none is lost",
    detect_s=8,
    limit_s=240,
)
def locked(lab: Lab) -> None:
    """A backup that takes its time."""
    patient, database = keeping(lab, lab.folder)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        lab.detect(patient, lambda: other.execute("BEGIN EXCLUSIVE"), by=told, limit_s=12)
        lab.lasting(patient, 60.0, by=told)
        other.execute("ROLLBACK")
    kept_again(lab, patient, database.parent)
    lab.untouched(patient)
    none_lost(lab, database.parent, patient)


@group.fault(
    "clips-folder-becomes-a-link",
    "a link to a folder of somebody else: nothing of it is deleted or changed; told, or clips are kept",
)
def clips_link(lab: Lab) -> None:
    """Whoever may write there wants to have another's files deleted, or written over."""
    patient, _ = keeping(lab, lab.folder, _CLIPS + "max_mb = 1\nkeep_per_label = 2\n")
    clips = lab.folder / "store" / "clips"
    lab.until(lambda: clips.exists() and any(clips.rglob("*.flac")), 20, "a clip", patient)
    victim = lab.folder / "victim"
    (victim / "2001-01-01").mkdir(parents=True)
    for name in ("letter.txt", "2001-01-01/song.flac", "2001-01-01/big.flac"):
        (victim / name).write_bytes(b"x" * 2_000_000)
        os.utime(victim / name, (1_000_000_000, 1_000_000_000))
    names = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    shutil.rmtree(clips)
    clips.symlink_to(victim)
    time.sleep(15.0)
    lab.must(all(path.exists() and path.read_bytes() == was for path, was in names.items()), "a foreign file is gone")
    new = [path for path in victim.rglob("*") if path.is_file() and path not in names]
    last = patient.health.last
    lab.note(f"{len(new)} clips where it leads; {last.words if last else ''}")
    kept_again(lab, patient, lab.folder / "store")
    lab.untouched(patient)


@group.fault("disk-full-at-a-clip", "the disk fills while clips are written: told, events are kept, no half clip stays")
def half_clip(lab: Lab) -> None:
    """Clips are the first to go."""
    import soundfile

    disk = lab.tmpfs("16m")
    patient, _ = keeping(lab, disk, _CLIPS)
    clips = disk / "store" / "clips"
    lab.until(lambda: clips.exists() and any(clips.rglob("*.flac")), 20, "a clip", patient)

    lab.detect(patient, lambda: _fill(disk / "other"), by=told)
    time.sleep(4.0)
    (disk / "other").unlink()
    kept_again(lab, patient, disk / "store")
    broken = []
    for path in clips.rglob("*.flac"):
        try:
            soundfile.read(path)
        except soundfile.LibsndfileError:
            broken.append(path.name)
    left = [path.name for path in clips.rglob("*") if path.is_file() and path.suffix != ".flac"]
    lab.must(not broken, f"half clips: {broken[:3]}")
    lab.note(f"{len(left)} other files: {left[:3]}" if left else "no half clip")
    lab.untouched(patient)
    none_lost(lab, disk / "store", patient)


@group.fault("no-room-for-temporary-files", "/tmp full and TMPDIR not there: it starts and is heard, clips are kept")
def temporary(lab: Lab) -> None:
    """Somebody else's downloads."""
    disk = lab.tmpfs("1m")
    _fill(disk / "full")
    for place in (disk, lab.folder / "absent"):
        env = {"TMPDIR": str(place), "STREAMCLF_STORE_PATH": str(lab.folder / f"store-{place.name}")}
        patient = lab.start(env=env, config=_CLIPS)
        clips = Path(env["STREAMCLF_STORE_PATH"]) / "clips"
        lab.must(lab.happens(partial(_any_clip, clips), 15) is not None, "no clip is kept")
        lab.untouched(patient)
        lab.healthy(patient)
        patient.unwatch()
        patient.stop()
