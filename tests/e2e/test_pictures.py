"""Alerts with a picture: what each sink sends, and that an alert never waits long for its picture, nor for ever."""

import asyncio
import base64
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")
pytest.importorskip("apprise", reason="apprise is absent (pip install streamclf[alerts])")
pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")

from PIL import Image

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks import SinkConfig, open_sink
from streamclf.alerts.sinks.apprise import AppriseConfig
from streamclf.alerts.sinks.command import CommandConfig
from streamclf.alerts.sinks.picture import Paint
from streamclf.alerts.sinks.webhook import WebhookConfig
from streamclf.daemon.pictures import SIZE
from streamclf.draw.palette import THEMES
from streamclf.errors import StreamclfError
from tests.conftest import StartDaemon
from tests.support.alerts import make_alert
from tests.support.recordings import bursts
from tools.lab.receiver import http_receiver
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


class Fixed:
    """Draws what it was made with: bytes, an exception, or nothing ever."""

    def __init__(self, outcome: bytes | Exception | None) -> None:
        self._outcome = outcome

    def prepare(self) -> None:
        """There is nothing to load."""

    async def __call__(self, alert: Alert) -> bytes:
        if self._outcome is None:
            await asyncio.Event().wait()
        if isinstance(self._outcome, bytes):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome


ready = Fixed(PNG)
gone = Fixed(StreamclfError("the rows around its event are no longer held"))
broken = Fixed(ZeroDivisionError("oh"))
never = Fixed(None)


def send(config: SinkConfig, paint: Paint) -> None:
    async def main() -> None:
        sink = open_sink("it", config, paint=paint)
        try:
            async with asyncio.timeout(30):
                await sink.send(make_alert())
        finally:
            await sink.close()

    asyncio.run(main())


def test_a_webhook_carries_it_in_its_json() -> None:
    with http_receiver() as receiver:
        send(WebhookConfig(receiver.url, private=True, picture=True), ready)
        send(WebhookConfig(receiver.url, private=True), ready)
    first, second = (request.data for request in receiver.requests)

    assert first["picture"]["type"] == "image/png"
    assert base64.b64decode(first["picture"]["base64"]) == PNG
    assert {"picture", "picture_missing"}.isdisjoint(second)
    assert first["label"] == second["label"] == "blackbird"


@pytest.mark.parametrize(
    ("paint", "why"),
    [
        (gone, "the rows around its event are no longer held"),
        (broken, "ZeroDivisionError('oh')"),
        (never, "it was not drawn within 1 s"),
    ],
)
def test_an_alert_without_its_picture_is_sent_and_says_why(paint: Paint, why: str) -> None:
    with http_receiver() as receiver:
        send(WebhookConfig(receiver.url, private=True, picture=True), paint)
    (request,) = receiver.requests

    assert request.data["picture_missing"] == why
    assert "picture" not in request.data


def test_a_receiver_that_takes_no_picture_gets_the_alert() -> None:
    with http_receiver() as receiver:
        receiver.answers = [(413, {}, b""), (204, {}, b"")]
        send(WebhookConfig(receiver.url, private=True, picture=True), ready)
    refused, taken = (request.data for request in receiver.requests)

    assert "picture" in refused
    assert taken["picture_missing"] == "the receiver takes no alert with a picture"
    assert refused["id"] == taken["id"]


def test_a_program_finds_it_in_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    script = (
        "import json, os, shutil, sys; path = os.environ['STREAMCLF_PICTURE']; "
        f"shutil.move(path, {str(tmp_path / 'kept.png')!r}); "
        f"open({str(tmp_path / 'runs')!r}, 'a').write(path + ' ' + json.load(sys.stdin)['data']['label'] + '\\n')"
    )
    send(CommandConfig((sys.executable, "-c", script), picture=True), ready)
    (run,) = (tmp_path / "runs").read_text().splitlines()
    path, label = run.split()

    assert (tmp_path / "kept.png").read_bytes() == PNG
    assert label == "blackbird"
    assert not Path(path).parent.exists()


def test_a_program_without_a_picture_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_PICTURE", "/etc/passwd")
    out = tmp_path / "out"
    script = f"import os, sys; open({str(out)!r}, 'w').write(sys.stdin.read() + str('STREAMCLF_PICTURE' in os.environ))"
    send(CommandConfig((sys.executable, "-c", script), picture=True), gone)
    said, variable = out.read_text().splitlines()

    assert json.loads(said)["data"]["picture_missing"] == "the rows around its event are no longer held"
    assert variable == "False"


def test_apprise_attaches_it_and_sends_without_it_what_is_not_taken() -> None:
    with http_receiver() as receiver:
        receiver.answers = [(200, {}, b""), (500, {}, b""), (200, {}, b"")]
        config = AppriseConfig(f"json://127.0.0.1:{receiver.port}/", picture=True)
        send(config, ready)
        send(config, ready)
    bodies: list[dict[str, Any]] = [json.loads(request.body) for request in receiver.requests]

    assert [len(body["attachments"]) for body in bodies] == [1, 1, 0]
    (attached,) = bodies[0]["attachments"]
    assert (attached["filename"], attached["mimetype"]) == ("heard.png", "image/png")
    assert base64.b64decode(attached["base64"]) == PNG


def test_a_real_daemon_sends_the_seconds_around_an_event(tmp_path: Path, daemon: StartDaemon) -> None:
    onsets_s = [1.0 + 2 * number for number in range(20)]
    sound = bursts(tmp_path / "garden.wav", onsets_s, seconds=41)
    with http_receiver() as receiver:
        (tmp_path / "rules.toml").write_text(
            f'[sink.hook]\ntype = "webhook"\nurl = "{receiver.url}"\nprivate = true\npicture = true\n'
            '[[rule]]\nname = "ends"\nlabels = ["loud"]\nstage = "close"\n'
        )
        env = {"STREAMCLF_RULES": str(tmp_path / "rules.toml")}
        daemon("--source", f"file:{sound}", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
        # a machine that is busy may need more than the second that an alert waits
        for count in range(1, len(onsets_s)):
            data = receiver.wait_for(count, 30.0)[-1].data
            if "picture" in data:
                break
    event, picture = data["event"], base64.b64decode(data["picture"]["base64"])
    with Image.open(BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"))

    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    assert len(picture) < 300_000
    # the newest bar of the lane is the event's, and the time axis tells how long it was
    left, right = round(180 * 0.8), SIZE[0] - round(52 * 0.8)
    bars = (pixels[:, left:right] == THEMES["light"].lanes[0]).all(axis=-1)
    row = bars[bars.sum(axis=1).argmax()]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(int)))
    frames = event["offset_frame"] - event["onset_frame"]
    before = min(event["onset_frame"], 250)
    assert edges[-2] / (edges[-1] - edges[-2]) == pytest.approx(before / frames, rel=0.1)
