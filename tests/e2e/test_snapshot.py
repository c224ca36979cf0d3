"""`streamclf snapshot`: what a daemon holds, drawn where it was heard; and what it says where it cannot."""

import asyncio
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")

from PIL import Image

from streamclf.client import Client
from streamclf.client.snapshot import Snapshot, gather
from streamclf.draw.layout import lay_out
from streamclf.draw.palette import THEMES
from streamclf.errors import ServeError
from streamclf.features.spectrum import BANDS
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.types import Event, Gap, Label, Levels, Picture, Stage, Status, StreamState
from tests.conftest import StartDaemon
from tests.support.served import served
from tests.support.serving import EPOCH_NS, HOP, LABELS, make_hub, publish, scores
from tools.lab.daemon import run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

FRAMES = 1000
EVENT = (300, 380)
GAP = (600, 650)


def heard(labels: tuple[Label, ...] = LABELS, **more: Any) -> Hub:
    """Stream `mic` over FRAMES frames: dog in EVENT, no sound in GAP, columns that hold the frame's number."""
    hub = make_hub(labels=labels, **more)
    for frame in range(0, FRAMES, 5):
        if GAP[0] <= frame < GAP[1]:
            continue
        if frame == GAP[1]:
            publish(hub, Gap("mic", GAP[0] * HOP, GAP[1] * HOP - 1, "overrun"))
        dog = 0.9 if EVENT[0] <= frame < EVENT[1] else 0.02
        rows = [[0.01, dog, 0.3] + [0.0] * (len(labels) - 3)] * 5
        publish(hub, scores(frame, *rows), scores(frame, *[[0.05]] * 5, pack="vad"))
        values = np.repeat(np.arange(frame, frame + 5)[:, None] % 256, BANDS, axis=1).astype(np.uint8)
        loud = np.full(5, 0.5, dtype=np.float32)
        publish(hub, Picture(Levels("mic", frame, loud, loud), values, 8000.0))
        for stage, at in ((Stage.OPEN, EVENT[0]), (Stage.CLOSE, EVENT[1])):
            if frame == at:
                end = EVENT[1] if stage is Stage.CLOSE else None
                publish(hub, Event("mic", "big", "e1", "dog", stage, EVENT[0], end, 0.9, 0.9, frame + 5))
    publish(hub, Status("mic", StreamState.ENDED, ""))
    return hub


def of(hub: Hub, **wish: Any) -> Snapshot:
    """What `gather` finds of a served hub."""

    async def main() -> Snapshot:
        async with served(hub) as server:
            asked: dict[str, Any] = {"stream": "mic", "seconds": 16} | wish
            return await gather(f"127.0.0.1:{server.port}", **asked)

    return asyncio.run(main())


def command(hub: Hub, home: Path, *args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """`streamclf snapshot` of a served hub."""

    async def main() -> subprocess.CompletedProcess[str]:
        async with served(hub, **settings) as server:
            url = f"127.0.0.1:{server.port}"
            return await asyncio.to_thread(run_cli, "snapshot", "--url", url, *args, home=home)

    return asyncio.run(main())


def test_the_last_seconds_are_gathered_to_the_frame() -> None:
    found = of(heard())
    passage = found.passage
    first = FRAMES - 800
    frames = np.arange(first, FRAMES)
    silent = (frames >= GAP[0]) & (frames < GAP[1])

    assert (passage.stream, passage.first_frame, passage.end_frame) == ("mic", first, FRAMES)
    assert (passage.epoch_ns, passage.high_hz, passage.packs) == (EPOCH_NS, 8000.0, ("big 1", "vad 1"))
    assert [(lane.name, lane.pack) for lane in passage.lanes] == [("Dog", "big"), ("Bird", "big"), ("Speech", "vad")]
    dog = passage.lanes[0]
    assert [(bar.onset_frame, bar.offset_frame) for bar in dog.bars] == [EVENT]
    assert np.array_equal(np.isnan(dog.values), silent)
    assert np.array_equal(frames[np.nan_to_num(dog.values) > 0.5], np.arange(*EVENT))
    assert passage.lanes[1].enter == pytest.approx(0.4)
    assert [(gap.first_frame, gap.end_frame, gap.reason) for gap in passage.breaks] == [(*GAP, "overrun")]
    assert np.array_equal(passage.drawn, ~silent)
    assert np.array_equal(passage.columns[~silent, 2], (frames[~silent] % 256).astype(np.uint8))
    assert found.notes == ()


def test_named_labels_get_the_lanes_and_what_is_not_held_is_said() -> None:
    found = of(heard(), labels=["speech", "group:animal"], seconds=60)

    lanes = [(lane.name, lane.pack) for lane in found.passage.lanes]
    assert lanes == [("Speech", "big"), ("Dog", "big"), ("Bird", "big"), ("Speech", "vad")]
    assert found.passage.first_frame == 0
    assert found.notes == ("the daemon holds 20.0 s; [server] replay_seconds says how many it may hold",)


def test_a_pack_of_thousands_of_classes_costs_its_lanes_alone() -> None:
    many = LABELS + tuple(Label(f"c{i}", f"Class {i}") for i in range(4000))
    found = of(heard(many), seconds=10)

    assert [lane.name for lane in found.passage.lanes][:2] == ["Bird", "Speech"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_has_the_event_at_its_frames(tmp_path: Path, theme: str) -> None:
    hub = heard()
    out = tmp_path / "a.png"
    ran = command(hub, tmp_path, "--stream", "mic", "--seconds", "16", "--theme", theme, "--out", str(out),
                  "--size", "1000x600", "--labels", "dog,bird")  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (600, 1000, 3)
    layout = lay_out(of(hub, labels=["dog", "bird"]).passage, (1000, 600))
    row = pixels[layout.lanes[0][1] + 1]
    painted = np.flatnonzero((row == THEMES[theme].lanes[0]).all(axis=-1))
    first = FRAMES - 800

    assert painted[0] == pytest.approx(layout.left + (EVENT[0] - first) / 800 * layout.width, abs=1)
    assert painted[-1] + 1 == pytest.approx(layout.left + (EVENT[1] - first) / 800 * layout.width, abs=1)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--stream", "mick"], 1, "there is no stream 'mick' here; did you mean 'mic'?"),
        ([], 2, "there are 2 streams (mic, yard); name one with --stream"),
        (["--size", "10x10"], 2, "a picture cannot be 10x10 pixels; expected 480x320 to 4096x4096"),
        (["--size", "big"], 2, "--size 'big' is not a size; write WIDTHxHEIGHT in pixels"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    out = tmp_path / "a.png"
    ran = command(make_hub(), tmp_path, *args, "--out", str(out))

    assert ran.returncode == code
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not out.exists()


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ServeError, match="there is no label 'dgo' here; did you mean 'dog'"):
        of(make_hub(), labels=["dgo"])
    with pytest.raises(ServeError, match="the daemon holds nothing of stream 'mic' yet"):
        of(make_hub())


def test_the_token_opens_websocket_and_spectrum(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("let-me-in-please")
    token.chmod(0o600)
    args = ["--stream", "mic", "--out", str(tmp_path / "a.png")]
    refused = command(heard(), tmp_path, *args, token="let-me-in-please")
    let_in = command(heard(), tmp_path, *args, "--token-file", str(token), token="let-me-in-please")

    assert refused.returncode == 1
    assert "refused the token" in refused.stderr
    assert let_in.returncode == 0, let_in.stderr


def test_hostile_names_steer_nothing(tmp_path: Path) -> None:
    evil = Label("dog", "\x1b[31mDog\n\u202e")
    hub = heard((LABELS[0], evil, *LABELS[2:]))
    drawn = command(hub, tmp_path, "--stream", "mic", "--seconds", "10", "--out", str(tmp_path / "a.png"))
    with pytest.raises(ServeError) as refused:
        of(hub, stream="\x1b[2Jmic")

    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "\x1b" not in str(refused.value)


def test_nothing_listens(tmp_path: Path, free_port: int) -> None:
    ran = run_cli("snapshot", "--url", f"127.0.0.1:{free_port}", "--out", str(tmp_path / "a.png"), home=tmp_path)

    assert ran.returncode == 1
    assert "is `streamclf run` up there?" in ran.stderr


def test_a_real_daemon_draws_a_tone_where_it_sounds(tmp_path: Path, daemon: StartDaemon) -> None:
    at = np.arange(4 * RATE)
    samples = np.where((at >= RATE) & (at < 3 * RATE), 0.4 * np.sin(2 * np.pi * 1000 * at / RATE), 0).astype(np.float32)
    soundfile.write(tmp_path / "tone.wav", samples, RATE, subtype="FLOAT")
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{tmp_path / 'tone.wav'}", "--model", str(pack))
    ends(running.url)
    passage = asyncio.run(gather(running.url, seconds=60, labels=["loud"])).passage
    ran = subprocess_png(running.url, tmp_path, "--seconds", "4", "--labels", "loud")

    (bar,) = (bar for lane in passage.lanes for bar in lane.bars)
    assert bar.onset_frame == pytest.approx(50, abs=2)
    assert bar.offset_frame == pytest.approx(150, abs=15)
    assert passage.lanes[0].enter == pytest.approx(0.6), "as the pack decides it"
    assert passage.drawn.all(), "spectra are drawn also where nobody looked"
    layout = lay_out(passage, (1280, 720))
    assert ran.shape == (720, 1280, 3)
    dark = ran[layout.spectrum[1] : layout.spectrum[3], layout.x(100)].sum(axis=-1)
    assert layout.spectrum[1] + dark.argmin() == pytest.approx(layout.y(1000), abs=3)


def test_a_daemon_that_draws_while_watched_is_waited_for(tmp_path: Path, daemon: StartDaemon) -> None:
    running = daemon(
        "--source",
        "demo",
        "--model",
        str(stateful_pack(tmp_path / "pack")),
        env={"STREAMCLF_SERVER_PICTURE": "watched"},
    )
    first = asyncio.run(_when_there(running.url))
    told: list[float] = []
    second = asyncio.run(gather(running.url, seconds=2, wait=told.append))

    assert not first.passage.drawn.any()
    assert "have no spectrum" in first.notes[-1]
    assert second.passage.drawn.all()
    assert told[-1] == pytest.approx(2.0, abs=0.2)


async def _when_there(url: str) -> Snapshot:
    """Of the first second that was heard."""
    async for message in Client(url).messages():
        if isinstance(message, wire.Scores) and message.first_frame > 50:
            break
    return await gather(url, seconds=1)


def ends(url: str) -> None:
    """Returns when the source has ended."""
    for message in Client(url, tier="events", since=0).blocking():
        if isinstance(message, wire.Status) and message.state == "ended":
            return


def subprocess_png(url: str, home: Path, *args: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, width, 3), by way of standard output."""
    out = home / "piped.png"
    ran = run_cli("snapshot", "--url", url, *args, "--out", str(out), home=home)
    assert ran.returncode == 0, ran.stderr
    with Image.open(BytesIO(out.read_bytes())) as image:
        return np.asarray(image.convert("RGB"))
