"""Keeps every event that a daemon keeps, in a database of your own: none missing, none twice, whoever is started again.

How to run it, with nothing but Python:

    python examples/follow_events.py events.db
    python examples/follow_events.py events.db --daemon http://127.0.0.1:8765

A token is taken from STREAMCLF_TOKEN. Each message of /v1/live is an event and has a number, its `seq`. What makes it
safe is that the number reached is written in the same transaction as what was done with the event: after a crash on
either side the next connection asks for what comes after that number. A later stage of an event replaces the former.
"""

import argparse
import http.client
import json
import os
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

RETRY_S = 1.0
SILENCE_S = 60.0  # the daemon says something every 15 s


def messages(daemon: str, after: int) -> Iterator[tuple[str, int, str]]:
    """(type, number, text) of each message after that number, until the connection ends."""
    token = os.environ.get("STREAMCLF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{daemon}/v1/live?after={after}", headers=headers)
    with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:
        kind, number, text = "message", after, ""
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                number = int(value)
            elif name == "data":
                text = value
            elif not name and text:  # an empty line ends a message
                yield kind, number, text
                kind, text = "message", ""


def keep(database: sqlite3.Connection, kind: str, number: int, text: str) -> None:
    """One message, in one transaction with the number that it brings us to."""
    with database:
        if kind == "message":
            event = json.loads(text)
            database.execute("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", (event["id"], event["stage"], text))
            # what you do with an event goes here, into the same transaction
        database.execute("UPDATE reached SET number = ?", (number,))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", metavar="FILE.db")
    parser.add_argument("--daemon", default="http://127.0.0.1:8765", metavar="URL")
    given = parser.parse_args()
    database = sqlite3.connect(given.database)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, stage TEXT, event TEXT)")
        database.execute("CREATE TABLE IF NOT EXISTS reached (number INTEGER)")
        database.execute("INSERT INTO reached SELECT 0 WHERE NOT EXISTS (SELECT * FROM reached)")
    while True:
        (after,) = database.execute("SELECT number FROM reached").fetchone()
        try:
            for kind, number, text in messages(given.daemon, after):
                keep(database, kind, number, text)
        except urllib.error.HTTPError as refused:
            if refused.code < 500:
                raise SystemExit(f"the daemon refused: {refused.read(300).decode(errors='replace').strip()}") from None
        except (OSError, http.client.HTTPException):
            pass  # it is being started again
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
