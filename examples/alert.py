"""Acts on an event: calls `act` as soon as a label is heard loudly enough, once in a while at most.

How to run it, beside a daemon (`streamclf run`):

    python examples/alert.py                                    # dogs at ws://127.0.0.1:8765/v1
    python examples/alert.py --label bird --label owl --daemon birds.local:8765

A token is taken from STREAMCLF_TOKEN. Put what you want done into `act`. It lives through restarts of the daemon; what
it missed meanwhile is sent to it. Where a message or a webhook is all you want, rules do that without a script.
"""

import argparse
import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from streamclf.client import DEFAULT_URL, Client
from streamclf.protocol import wire


def act(event: wire.Event) -> None:
    """What is done: here a line with a bell. A program is best run without a shell, which would read the label."""
    heard = datetime.fromtimestamp(event.onset_ns / 1e9, UTC).astimezone()
    print(f"\a{heard:%H:%M:%S} {event.label} on {event.stream}, {event.peak:.0%}", flush=True)


async def watch(daemon: str, labels: list[str], min_peak: float, every_s: float) -> None:
    """Calls `act`; returns never."""
    told_ns: dict[str, int] = {}
    # `update` and `close` come too: the peak of an event that just opened may still rise
    async for message in Client(daemon, tier="events", labels=labels).messages():
        if not isinstance(message, wire.Event) or message.peak < min_peak:
            continue
        since_ns = message.onset_ns - told_ns.get(message.label, 0)
        if since_ns >= every_s * 1e9:
            told_ns[message.label] = message.onset_ns
            await asyncio.to_thread(act, message)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", default=DEFAULT_URL, metavar="URL")
    parser.add_argument("--label", action="append", metavar="ID", help="or group:NAME; repeatable")
    parser.add_argument("--min-peak", type=float, default=0.6, help="least probability")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="once in this time for each label")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(watch(given.daemon, given.label or ["dog"], given.min_peak, given.every))


if __name__ == "__main__":
    main()
