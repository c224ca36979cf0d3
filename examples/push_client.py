"""Sends a recording to a daemon, as a microphone elsewhere would: in real time, or as fast as it goes.

How to run it:

    streamclf run --source push:kitchen,16000
    python examples/push_client.py recording.wav --stream kitchen

Needs `websockets`, and a WAV file of 16 bit whose rate is the stream's; of several channels the first is sent. A token
is taken from STREAMCLF_TOKEN. A message is the index of its first sample (64 bits, little-endian) and then the samples:
the index alone says where they belong, so a message that never came is a gap, and one that comes twice is dropped.
With --fast the times of what is heard are not those of any clock; to classify a file, use `streamclf classify`.
"""

import argparse
import asyncio
import json
import os
import secrets
import wave
from collections.abc import Iterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("streamclf.v1")
BLOCK_MS = 100
WIDTH = 2  # bytes of a sample


def blocks(file: wave.Wave_read) -> Iterator[bytes]:
    """Mono samples, s16le, 100 ms at a time."""
    channels = file.getnchannels()
    while frames := file.readframes(file.getframerate() * BLOCK_MS // 1000):
        samples = memoryview(frames).cast("h")[::channels]
        yield samples.tobytes()


async def answered(socket: ClientConnection, kind: str) -> None:
    """Waits for a message of this type; ends the program with what the daemon said where it refuses."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "error":
            raise SystemExit(f"the daemon refused: {message['message']}")
        if message["type"] == kind:
            return


async def send(file: wave.Wave_read, daemon: str, stream: str, *, fast: bool) -> int:
    """Sends all of it. Returns how many samples that were."""
    token = os.environ.get("STREAMCLF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(daemon, subprotocols=[PROTOCOL], additional_headers=headers, compression=None) as socket:
        push = {"type": "push", "stream": stream, "rate": file.getframerate(), "format": "s16le"}
        # with this word a client that lost its connection would take its place again, and count on
        await socket.send(json.dumps(push | {"sender": secrets.token_hex(8)}))
        await answered(socket, "pushing")
        first = 0
        began = asyncio.get_running_loop().time()
        for block in blocks(file):
            await socket.send(first.to_bytes(8, "little") + block)
            first += len(block) // WIDTH
            if not fast:
                await asyncio.sleep(began + first / file.getframerate() - asyncio.get_running_loop().time())
    return first


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", metavar="FILE.wav")
    parser.add_argument("--daemon", default="ws://127.0.0.1:8765/v1", metavar="URL")
    parser.add_argument("--stream", default="kitchen", metavar="NAME")
    parser.add_argument("--fast", action="store_true", help="as fast as it goes, not in real time")
    given = parser.parse_args()
    with wave.open(given.recording) as file:
        if file.getsampwidth() != WIDTH:
            raise SystemExit(f"{given.recording} has {8 * file.getsampwidth()} bits a sample; expected 16")
        sent = asyncio.run(send(file, given.daemon, given.stream, fast=given.fast))
    print(f"{sent} samples sent")


if __name__ == "__main__":
    main()
