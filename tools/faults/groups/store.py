"""What disks do: full, read-only, gone, damaged, locked, and the daemon killed in the middle of it."""

import itertools
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from tools.faults.lab import Lab, WatchedDaemon, told
from tools.faults.registry import FaultGroup, NotHereError

group = FaultGroup("store", owner="store")
_DATABASE = "streamclf.db"
SMALL = "[store]\nheadroom_mb = 2\nballast_mb = 2\n"


def keeping(lab: Lab, place: Path, config: str = SMALL) -> tuple[WatchedDaemon, Path]:
    """A daemon that keeps an event each second in `place`, and the database."""
    store = place / "store"
    patient = lab.start(env={"STREAMCLF_STORE_PATH": str(store)}, config=config)
    lab.until(lambda: events(store), 20, "an event to be kept", patient)
    return patient, store / _DATABASE


def events(store: Path) -> int:
    """How many are kept."""
    address = f"file:{store / _DATABASE}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=1)) as opened:
        return int(opened.execute("SELECT count(*) FROM events").fetchone()[0])
    return 0


def kept_again(lab: Lab, patient: WatchedDaemon, store: Path, *, limit_s: float = 30.0) -> None:
    """New events are kept."""
    begun_s, before = time.monotonic(), events(store)
    took = lab.happens(lambda: events(store) > before, limit_s)
    if lab.must(took is not None, f"no event is kept within {limit_s:.0f} s after it was over"):
        lab.recovered_s = time.monotonic() - begun_s
    well = lab.happens(lambda: patient.health.last and patient.health.last.ok, 80.0)  # a notice stays for a minute
    last = patient.health.last
    lab.must(well is not None, f"health did not come back: {last.words if last else ''}")


def none_lost(lab: Lab, store: Path, patient: WatchedDaemon) -> None:
    """After the end of the daemon: an event each second, without a hole."""
    patient.unwatch()
    with suppress(AssertionError):
        patient.stop()
    with closing(sqlite3.connect(store / _DATABASE)) as opened:
        asked = "SELECT onset_frame FROM events WHERE label = 'loud' AND stream = 'steady' ORDER BY onset_frame"
        onsets = [row[0] for row in opened.execute(asked)]
    holes = [b - a for a, b in itertools.pairwise(onsets) if b - a > 75]
    lab.must(not holes, f"{len(holes)} holes among {len(onsets)} events, {sum(holes) // 50 if holes else 0} s")
    lab.note(f"{len(onsets)} events, none missing" if not holes else "")


@group.fault(
    "full-disk",
    "told within 2 s of the next event, events wait in memory, none is lost, rows go on",
    detect_s=3,
    cheap=True,
)
def full(lab: Lab) -> None:
    """Somebody else takes all of it, and gives it back after 5 s."""
    disk = lab.tmpfs("16m")
    patient, _ = keeping(lab, disk)

    def fill() -> None:
        for _ in range(3):
            with suppress(OSError), (disk / "filler").open("ab", buffering=0) as out:
                while out.write(bytes(65536)):
                    pass
            with suppress(OSError), (disk / "filler").open("ab", buffering=0) as out:
                while out.write(bytes(512)):
                    pass

    fill()
    asked_s = time.monotonic()
    while time.monotonic() - asked_s < 12 and not any(told(look) for look in patient.health.since(asked_s)):
        fill()
        time.sleep(0.3)
    hits = [look for look in patient.health.since(asked_s) if told(look)]
    if lab.must(hits, "health said nothing of a full disk"):
        lab.detected_s = hits[0].told_s - asked_s
        lab.note(hits[0].words)
    time.sleep(3.0)
    (disk / "filler").unlink()
    kept_again(lab, patient, disk / "store")
    lab.untouched(patient)
    none_lost(lab, disk / "store", patient)


@group.fault(
    "read-only-after-an-error",
    "ext4 goes read-only under it: told within 2 s of the next event, rows go on; repaired: kept again",
    detect_s=3,
)
def read_only(lab: Lab) -> None:
    """A real file system with errors=remount-ro, and a real error."""
    lab.need(root=True, tools=["mkfs.ext4", "mount", "e2fsck", "losetup"], files=["/dev/loop-control"])
    image, place = lab.folder / "image", lab.folder / "volume"
    place.mkdir()
    with image.open("wb") as out:
        out.truncate(40_000_000)
    lab.sh("mkfs.ext4", "-q", str(image))
    device = lab.sh("losetup", "--find", "--show", str(image)).strip()
    lab.held.callback(subprocess.run, ["losetup", "-d", device], check=False, capture_output=True)
    lab.sh("mount", "-o", "errors=remount-ro", device, str(place))
    lab.held.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False, capture_output=True)
    patient, _ = keeping(lab, place)
    trigger = Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error")
    if not trigger.exists():
        raise NotHereError("this kernel's ext4 cannot be told to have an error")
    lab.detect(patient, lambda: trigger.write_text("made by tools.faults\n"), by=told)
    lab.lasting(patient, 3.0, by=told)

    lab.untouched(patient)
    freed = lab.happens(
        lambda: not subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode, 10
    )
    if not lab.must(freed is not None, "the daemon holds the broken file system, so that nobody can repair it"):
        return
    subprocess.run(["e2fsck", "-fy", device], capture_output=True, check=False)
    lab.sh("mount", "-o", "errors=remount-ro", device, str(place))
    kept_again(lab, patient, place / "store")


@group.fault(
    "folder-removed",
    "told within 2 s of the next event, rows go on; kept again in a new folder or when it is back",
    detect_s=3,
)
def removed(lab: Lab) -> None:
    """rm -r of the store."""
    patient, _ = keeping(lab, lab.folder)
    lab.detect(patient, lambda: shutil.rmtree(lab.folder / "store"), by=told)
    lab.untouched(patient)
    (lab.folder / "store").mkdir(exist_ok=True)
    kept_again(lab, patient, lab.folder / "store")


@group.fault(
    "folder-becomes-a-link",
    "moved to another disk, a symbolic link in its place: events are kept where it leads, none is lost",
)
def linked(lab: Lab) -> None:
    """Somebody makes room while it runs."""
    patient, _ = keeping(lab, lab.folder)
    store, disk = lab.folder / "store", lab.tmpfs()
    shutil.move(store, disk / "store")
    store.symlink_to(disk / "store")
    kept_again(lab, patient, store)
    lab.untouched(patient)
    none_lost(lab, store, patient)


@group.fault("database-deleted", "told within 1 s, as issue 14 has it; later events are kept in a new one", detect_s=1)
def deleted(lab: Lab) -> None:
    """It said ok, and every later event was lost."""
    patient, database = keeping(lab, lab.folder)
    lab.detect(patient, database.unlink, by=told)
    kept_again(lab, patient, lab.folder / "store")
    lab.untouched(patient)


@group.fault(
    "database-replaced", "another file under its name: told, set aside or opened; later events are kept", detect_s=3
)
def replaced(lab: Lab) -> None:
    """A backup is copied over it."""
    patient, database = keeping(lab, lab.folder)

    def replace() -> None:
        other = database.with_name("other")
        other.write_bytes(b"this is no database" * 100)
        other.replace(database)

    lab.detect(patient, replace, by=told)
    kept_again(lab, patient, lab.folder / "store")
    lab.untouched(patient)


@group.fault(
    "database-damaged",
    "its pages overwritten: told, set aside and named, never deleted; later events are kept",
    detect_s=6,
)
def damaged(lab: Lab) -> None:
    """Random bytes over everything behind the header."""
    patient, database = keeping(lab, lab.folder)

    def damage() -> None:
        for name in (database, database.with_name(database.name + "-wal")):
            if name.exists():
                with name.open("r+b") as out:
                    size = name.stat().st_size
                    out.seek(100)
                    out.write(os.urandom(max(0, size - 100)))

    lab.detect(patient, damage, by=told)
    kept_again(lab, patient, lab.folder / "store")
    aside = [path.name for path in (lab.folder / "store").iterdir()]
    lab.note(f"in the folder: {', '.join(sorted(aside))[:100]}")
    lab.untouched(patient)


@group.fault("damaged-before-the-start", "a damaged database at start: set aside and named, or exit with one sentence")
def damaged_at_start(lab: Lab) -> None:
    """After a power cut on a bad card."""
    patient, database = keeping(lab, lab.folder)
    patient.unwatch()
    patient.stop()
    database.write_bytes(b"SQLite format 3\0" + os.urandom(20_000))
    again = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, ready=False)
    took = lab.happens(lambda: not again.alive or bool(again.rows.of("steady").times_s), 30.0)
    lab.must(took is not None, "neither an end nor rows")
    lab.note(f"exit {again.process.returncode}: {again.stderr.strip()[-140:]}" if not again.alive else "it runs")
    lab.must("Traceback" not in again.stderr, "a traceback")


@group.fault("database-locked", "another program holds its lock for 8 s: told, events wait, none is lost", detect_s=8)
def locked(lab: Lab) -> None:
    """A careless script."""
    patient, database = keeping(lab, lab.folder)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        lab.detect(patient, lambda: other.execute("BEGIN IMMEDIATE"), by=told, limit_s=12)
        time.sleep(2.0)
        other.execute("ROLLBACK")
    kept_again(lab, patient, lab.folder / "store")
    lab.untouched(patient)
    none_lost(lab, lab.folder / "store", patient)


@group.fault(
    "killed-ten-times",
    "kill -9 and restart, ten times: every event that was told by /v1/events is still there",
    limit_s=150,
)
def killed(lab: Lab) -> None:
    """At any moment."""
    promised: set[str] = set()
    for round_number in range(10):
        patient = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, watch=False)
        seen: set[str] = set()

        def look(patient: WatchedDaemon = patient, seen: set[str] = seen, known: set[str] = promised) -> bool:
            with suppress(OSError, AssertionError):
                seen |= {one["id"] for one in patient.get_json("/v1/events?limit=1000")["events"]}
            return len(seen - known) >= 2

        lab.until(look, 20, "two more events", patient)
        time.sleep(0.07 * round_number)
        patient.kill()
        promised |= seen
    last = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, watch=False)
    kept = {one["id"] for one in last.get_json("/v1/events?limit=1000")["events"]}
    lab.must(promised <= kept, f"{len(promised - kept)} of {len(promised)} events are lost")
    lab.note(f"{len(promised)} events promised, {len(promised & kept)} there")


@group.fault(
    "folder-of-another-daemon", "a second daemon on the same folder: exit 75 with one sentence; the first goes on"
)
def second(lab: Lab) -> None:
    """One folder, one daemon."""
    patient, _ = keeping(lab, lab.folder)
    other = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, ready=False, watch=False)
    lab.refused(other, 75)
    lab.untouched(patient)


@group.fault(
    "folder-unwritable-at-start",
    "a folder that cannot be written: heard without a store and told, or exit with one sentence",
)
def unwritable(lab: Lab) -> None:
    """A file where the folder should be."""
    (lab.folder / "store").write_text("a file")
    patient = lab.start(env={"STREAMCLF_STORE_PATH": str(lab.folder / "store")}, ready=False)
    took = lab.happens(lambda: not patient.alive or bool(patient.rows.of("steady").times_s), 30.0)
    lab.must(took is not None, "neither an end nor rows")
    lab.note(f"exit {patient.process.returncode}: {patient.stderr.strip()[-140:]}" if not patient.alive else "it runs")
    lab.must("Traceback" not in patient.stderr, "a traceback")


@group.fault("clips-folder-removed", "the folder of clips goes: events are still kept, clips come again or are told")
def clips(lab: Lab) -> None:
    """Somebody cleans up."""
    config = SMALL + "[clips]\nenabled = true\npre_ms = 100\npost_ms = 100\nvisit_ms = 0\n"
    patient, _ = keeping(lab, lab.folder, config)
    folder = lab.folder / "store" / "clips"
    lab.until(lambda: folder.exists() and any(folder.rglob("*.flac")), 20, "a clip", patient)
    shutil.rmtree(folder)
    begun_s = time.monotonic()
    took = lab.happens(
        lambda: (
            (folder.exists() and any(folder.rglob("*.flac"))) or any(told(x) for x in patient.health.since(begun_s))
        ),
        15.0,
    )
    lab.must(took is not None, "no clip comes, and nothing is told")
    kept_again(lab, patient, lab.folder / "store")
    lab.untouched(patient)
