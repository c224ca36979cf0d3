"""Live sound from the real daemon, over real sockets: what is heard is what was played."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from websockets.asyncio.client import connect as connect_soon
from websockets.sync.client import ClientConnection, connect

from streamclf.protocol.sound import SoundBlock, decode, is_sound
from streamclf.types import Sound
from tests.conftest import StartDaemon
from tests.support.server import run, serving, subscribed, take, url
from tests.support.serving import HOP, scores
from tools.lab.daemon import clean_env, run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

LISTENING = {"STREAMCLF_SERVER_LISTENING": "true"}


def played(folder: Path, seconds: int) -> np.ndarray:
    """A file of noise in 16 bits; every sample of it."""
    samples = np.random.default_rng(7).integers(-32768, 32768, seconds * RATE).astype(np.int16)
    soundfile.write(folder / "noise.wav", samples, RATE, subtype="PCM_16")
    return samples


def hear(client: ClientConnection, samples: int) -> list[SoundBlock]:
    """The next messages of sound."""
    heard: list[SoundBlock] = []
    while sum(len(part.samples) for part in heard) < samples:
        message = client.recv(timeout=20)
        if isinstance(message, bytes):
            assert is_sound(message)
            heard.append(decode(message))
    return heard


def test_what_is_heard_is_what_was_played_sample_by_sample(tmp_path: Path, daemon: StartDaemon) -> None:
    samples = played(tmp_path, 20)
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{tmp_path / 'noise.wav'}", "--model", str(pack), env=LISTENING)
    with connect(f"{running.url}?tier=events&audio=noise", compression=None) as client:
        hello = json.loads(client.recv(timeout=20))
        heard = hear(client, 2 * RATE)

    assert hello["no_audio"] == ""
    assert {(part.stream, part.rate, len(part.samples)) for part in heard} == {(0, RATE, RATE // 50)}
    first = heard[0].first_sample
    assert first % (RATE // 50) == 0
    assert [part.first_sample for part in heard] == [first + i * RATE // 50 for i in range(len(heard))]
    assert np.array_equal(np.concatenate([part.samples for part in heard]), samples[first:][: len(heard) * RATE // 50])


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "listening is switched off on this daemon; set listening = true under [server] to allow it"),
        (
            LISTENING | {"STREAMCLF_CLIPS_PRIVACY": "mute"},
            'live sound would carry the speech that clips.privacy = "mute" keeps out of clips',
        ),
    ],
)
def test_nobody_listens_where_it_is_off_or_privacy_is_on(
    tmp_path: Path, daemon: StartDaemon, env: dict[str, str], why: str
) -> None:
    played(tmp_path, 20)
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{tmp_path / 'noise.wav'}", "--model", str(pack), env=env)
    with connect(running.url, compression=None) as client:
        hello = json.loads(client.recv(timeout=20))
        client.send(json.dumps({"type": "subscribe", "audio": "noise"}))
        refused = json.loads(client.recv(timeout=20))
        client.send(json.dumps({"type": "subscribe"}))
        got = [client.recv(timeout=20) for _ in range(20)]

    assert hello["no_audio"] == why
    assert refused == {"type": "error", "code": "bad-subscription", "message": why}
    assert not any(isinstance(message, bytes) for message in got)


def test_a_listener_that_never_reads_costs_the_other_nothing_and_a_gap_is_a_jump() -> None:
    async def main() -> None:
        async with (
            serving() as server,
            connect_soon(url(server), compression=None) as good,
            connect_soon(url(server), compression=None, max_queue=1) as deaf,
        ):
            answer = await subscribed(good, audio="mic", packs=[], tier="events")
            await subscribed(deaf, audio="mic", tier="frame")
            noise = np.random.default_rng(3).integers(-9999, 9999, (50, HOP)).astype(np.int16)
            frames = [frame for frame in range(3000) if frame != 1500]
            heard: list[SoundBlock] = []

            async def read() -> None:
                while len(heard) < len(frames):
                    message = await asyncio.wait_for(good.recv(), 20)
                    assert isinstance(message, bytes)
                    heard.append(decode(message))

            reading = asyncio.create_task(read())
            for frame in frames:
                server.publish([Sound("mic", frame, noise[frame % 50][None]), scores(frame)], 0)
                await asyncio.sleep(0)
                while len(heard) < frame - 20:
                    await asyncio.sleep(0.001)
            await reading
            deaf.transport.abort()

        assert answer["audio"] == "mic"
        assert [part.first_sample // HOP for part in heard] == frames
        assert all(np.array_equal(part.samples, noise[part.first_sample // HOP % 50]) for part in heard)

    run(main)


def test_without_the_wish_nothing_is_sent() -> None:
    async def main() -> None:
        async with serving() as server, connect_soon(url(server), compression=None) as client:
            answer = await subscribed(client)
            server.publish([Sound("mic", 0, np.ones((5, HOP), dtype=np.int16)), scores(0)], 0)
            server.hub.flush()
            assert answer["audio"] is None
            assert (await take(client))["type"] == "scores"

    run(main)


def test_who_may_only_see_labels_is_told_so_and_hears_nothing() -> None:
    async def main() -> None:
        async with serving(token="a" * 16, audio_token="b" * 16, labels_token="c" * 16) as server:
            said = {}
            for token in "abc":
                async with connect_soon(url(server, f"?token={token * 16}"), compression=None) as client:
                    hello = await take(client)
                    await client.send(json.dumps({"type": "subscribe", "audio": "mic"}))
                    said[token] = (hello["no_audio"], (await take(client))["type"])

        why = "live sound needs the role audio, and this connection has labels"
        assert said == {"a": ("", "subscribed"), "b": ("", "subscribed"), "c": (why, "error")}

    run(main)


def test_listen_audio_writes_plain_samples(tmp_path: Path, daemon: StartDaemon) -> None:
    samples = played(tmp_path, 20)
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{tmp_path / 'noise.wav'}", "--model", str(pack), env=LISTENING)
    command = [sys.executable, "-m", "streamclf", "listen", running.url, "--audio", "noise"]
    with subprocess.Popen(command, env=clean_env(tmp_path), stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        written = np.frombuffer(listener.stdout.read(2 * RATE), "<i2")
        listener.terminate()
    assert listener.returncode == 0
    first = int(np.flatnonzero((sliding_window_view(samples, 8) == written[:8]).all(axis=1))[0])
    assert np.array_equal(written, samples[first:][: len(written)])
    refused = run_cli("listen", running.url, "--audio", "noisy", home=tmp_path)
    assert refused.returncode == 1
    assert "there is no stream 'noisy' here; did you mean 'noise'?" in refused.stderr


def test_who_may_listen_changes_while_clients_are_there() -> None:
    async def main() -> None:
        async with serving(no_audio="") as server, connect_soon(url(server)) as client:
            assert (await take(client))["no_audio"] == ""
            server.forbid_audio("privacy")
            await asyncio.wait_for(client.wait_closed(), 20)
            assert client.close_code == 1012
            async with connect_soon(url(server)) as again:
                assert (await take(again))["no_audio"] == "privacy"

    run(main)
