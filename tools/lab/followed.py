"""Kill the daemon and those who follow its events again and again: does any of them miss an event, or get one twice?

    python -m tools.lab.followed --times 200

The followers are the two recipes in examples/, in Python and in JavaScript. At random moments the daemon is killed, or
one of them, in turns. At the end a last daemon is left alone until both have come to the newest number. Then what they
have is held against the store: each event in its newest stage, each line once.
"""

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from streamclf.store.database import reader
from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon
from tools.lab.kills import STREAMS, beeps
from tools.lab.tinypack import stateful_pack

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_LIVES_S = 2.0  # so long at most nobody is killed
_READY_S = 300.0  # a campaign goes on where the machine is busy
_POLL_S = 0.1
_EVERY = 20


@dataclass(frozen=True, slots=True)
class FollowReport:
    """What a campaign found, for each follower (python, node). missing: events, or their newest stage. twice: lines."""

    kills_of_daemon: int
    kills_of_followers: int
    events: int
    missing: dict[str, int]
    twice: dict[str, int]


class _Follower:
    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = command
        self._log = log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process.poll() is None, f"{self.name} ended by itself: {self._log.read_text()}"
        self._process.kill()
        self._process.wait()


def follow(folder: Path, times: int, *, say: Callable[[str], object] = lambda text: None) -> FollowReport:
    """A campaign of so many kills."""
    chance, port, store = random.Random(7), free_port(), folder / "store"
    pack, sound = stateful_pack(folder / "pack"), beeps(folder / "beeps.wav")
    env = clean_env(folder, {"STREAMCLF_STORE_PATH": str(store)})
    loud = [word for i in range(STREAMS) for word in ("--source", f"file:{sound}#loop=yes&name=mic{i}")]
    url = f"http://127.0.0.1:{port}"
    kept = {"python": folder / "kept.db"}
    commands = {"python": [sys.executable, str(EXAMPLES / "follow_events.py"), str(kept["python"]), "--daemon", url]}
    if node := shutil.which("node"):
        kept["node"] = folder / "kept.ndjson"
        commands["node"] = [node, str(EXAMPLES / "follow_events.mjs"), str(kept["node"]), url]

    _watch(kept["python"])

    def start(number: int, sources: Sequence[str]) -> Daemon:
        daemon = start_daemon([*sources, "--model", str(pack)], port=port, env=env, log=folder / f"daemon-{number % 2}")
        daemon.wait_ready(_READY_S)
        return daemon

    killed: Counter[str] = Counter()
    followers = [_Follower(name, command, folder / f"{name}.log") for name, command in commands.items()]
    daemon = start(0, loud)
    try:
        for number in range(1, times + 1):
            time.sleep(chance.uniform(0.0, _LIVES_S))  # the fault itself: any moment
            if number % 2:
                daemon.kill()
                killed["daemon"] += 1
                daemon = start(number, loud)
            else:
                one = chance.choice(followers)
                one.kill()
                killed["follower"] += 1
                one.start()
            if number % _EVERY == 0:
                say(f"{number} kills: {dict(killed)}")
        daemon.kill()
        daemon = start(times + 1, ["--source", "push:quiet,16000"])  # its first commit closes what was open
        _until_reached(store, kept)
    finally:
        daemon.kill()
        for one in followers:
            one.kill()
    return _judge(store, kept, killed)


def _watch(path: Path) -> None:
    """The recipe replaces what it has; what it was ever told is noted besides, so that it is seen to come twice."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE events (id TEXT PRIMARY KEY, stage TEXT, event TEXT)")
        made.execute("CREATE TABLE told (event TEXT)")
        made.execute("CREATE TRIGGER tell AFTER INSERT ON events BEGIN INSERT INTO told VALUES (new.event); END")


def _kept(path: Path) -> list[tuple[str, int, str]]:
    """(id, seq, stage) of each line or row."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path, timeout=30)) as found:
            events = [json.loads(text) for (text,) in found.execute("SELECT event FROM told")]
    else:
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(event["id"], event["seq"], event["stage"]) for event in events]


def _stored(store: Path) -> dict[str, tuple[int, str]]:
    with closing(reader(store)) as found:
        return {id: (seq, stage) for id, seq, stage in found.execute("SELECT id, seq, stage FROM events")}


def _until_reached(store: Path, kept: dict[str, Path]) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        stored = _stored(store)
        newest = max(seq for seq, _ in stored.values())
        closed = all(stage == "close" for _, stage in stored.values())
        if closed and all(max((seq for _, seq, _ in _kept(path)), default=0) >= newest for path in kept.values()):
            return
        assert time.monotonic() < deadline, "the followers did not come to the end"
        time.sleep(_POLL_S)


def _judge(store: Path, kept: dict[str, Path], killed: Counter[str]) -> FollowReport:
    stored = _stored(store)
    missing, twice = {}, {}
    for name, path in kept.items():
        had = _kept(path)
        newest = {event_id: (seq, stage) for event_id, seq, stage in sorted(had, key=lambda one: one[1])}
        missing[name] = sum(newest.get(event_id) != stage for event_id, stage in stored.items())
        lines = Counter(seq for _, seq, _ in had)
        closes = Counter(event_id for event_id, _, stage in had if stage == "close")
        twice[name] = sum(count > 1 for count in (*lines.values(), *closes.values()))
    return FollowReport(killed["daemon"], killed["follower"], len(stored), missing, twice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the outcome as JSON; 1 where anything is missing or came twice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=200, help="how often one is killed (200)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="streamclf-followed-") as folder:
        outcome = follow(Path(folder), asked.times, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(asdict(outcome)))
    return 1 if any(outcome.missing.values()) or any(outcome.twice.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
