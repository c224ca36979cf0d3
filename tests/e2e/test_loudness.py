"""How loud it is, on the real daemon: calibrated by the command, told as events, kept, counted, and published."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import StartDaemon
from tests.support.broker import Broker
from tools.lab.daemon import Daemon, run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 60.0
RATE = 16_000


def tone(path: Path, seconds: float, *levels_db: float) -> Path:
    """1 kHz, the levels (dB of full scale, RMS) one after the other in equal parts."""
    at = np.arange(round(seconds * RATE))
    gains = np.repeat(10 ** (np.array(levels_db) / 20), -(-len(at) // len(levels_db)))[: len(at)]
    soundfile.write(path, gains * np.sqrt(2) * np.sin(2 * np.pi * 1000 * at / RATE), RATE, subtype="PCM_16")
    return path


def settings(home: Path) -> dict[str, str]:
    return {"STREAMCLF_CONFIG": str(home / "config.toml"), "STREAMCLF_STORE_PATH": str(home / "store")}


def wait_for(find: Callable[[], Any], what: str, daemon: Daemon) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {LIMIT_S:.0f} s: {daemon.stderr}")


def test_a_stream_is_calibrated_by_what_it_hears_and_is_loud_then(daemon: StartDaemon, tmp_path: Path) -> None:
    tone(tmp_path / "tone.wav", 4, -30)
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "noise"\nlabels = "loud"\n')
    (tmp_path / "config.toml").write_text(
        f"""
        source = ["file:{tmp_path}/tone.wav#loop=yes&name=mic"]
        rules = "{tmp_path}/rules.toml"
        # as it came
        [loudness]
        enter_dba = 90.0
        """
    )
    running = daemon("--model", "default", env=settings(tmp_path))
    env = settings(tmp_path)

    def now() -> dict[str, Any]:
        (found,) = running.get_json("/v1/loudness?seconds=1")["now"]
        return dict(found)

    wait_for(lambda: now()["laeq"] is not None, "second of sound", running)
    assert (now()["offset_db"], now()["enter"]) == (None, -10.0)
    shown = run_cli("loudness", "show", "--url", running.url, home=tmp_path, env=env)
    assert re.search(r"-30\.0 .*dBFS", shown.stdout), shown.stdout + shown.stderr

    asked = ("loudness", "calibrate", "--level", "94", "--seconds", "1", "--url", running.url)
    printed = run_cli(*asked, home=tmp_path, env=env)
    assert printed.stdout == '[loudness.offsets]\n"mic" = 124.0  # 94 dB(A) read -30.0 dBFS\n', printed.stderr
    done = run_cli(*asked, "--apply", home=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "full scale of mic is 124.0 dB(A) now" in done.stdout
    assert "# as it came" in (tmp_path / "config.toml").read_text()

    # the running daemon takes it over: 94 dB(A) are over 90
    wait_for(lambda: now()["offset_db"] == 124.0, "offset in force", running)
    event = wait_for(lambda: running.get_json("/v1/events?labels=loud")["events"], "event of loud", running)[0]
    assert (event["pack"], event["stream"]) == ("loudness", "mic")
    why = running.get_json(f"/v1/why?event={event['id']}")
    assert [rule["rule"] for rule in why["rules"]] == ["noise"]
    shown = run_cli("loudness", "show", "--url", running.url, home=tmp_path, env=env)
    assert re.search(r"94\.0 .*dB\(A\)", shown.stdout), shown.stdout + shown.stderr


def test_a_reference_that_moves_is_refused(daemon: StartDaemon, tmp_path: Path) -> None:
    tone(tmp_path / "tone.wav", 2, -30, -20)
    running = daemon("--source", f"file:{tmp_path}/tone.wav#loop=yes&name=mic", "--model", "default")
    wait_for(lambda: running.get_json("/v1/loudness?seconds=3")["now"][0]["laeq"], "3 s of sound", running)
    asked = ("loudness", "calibrate", "--level", "94", "--url", running.url)
    done = run_cli(*asked, "--seconds", "3", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a reference may move by 2 dB" in done.stderr
    other = run_cli(*asked, "--stream", "mike", home=tmp_path)
    assert other.returncode == 2
    assert "--stream 'mike' is not there; there are mic" in other.stderr


def test_minutes_are_kept_counted_and_published(daemon: StartDaemon, tmp_path: Path) -> None:
    aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
    broker = Broker(tmp_path)
    broker.start()
    try:
        tone(tmp_path / "tone.wav", 130, -20, -40)
        (tmp_path / "rules.toml").write_text(
            f'[sink.home]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["home"]\n'
        )
        (tmp_path / "config.toml").write_text(
            f'source = ["file:{tmp_path}/tone.wav#name=yard"]\nrules = "{tmp_path}/rules.toml"\n'
            "[loudness.offsets]\nyard = 120.0\n"
        )
        running = daemon("--model", "default", "--fast", env=settings(tmp_path))
        kept = wait_for(
            lambda: len(found := running.get_json("/v1/loudness?since_ns=0")["minutes"]) == 3 and found,
            "third minute",
            running,
        )
        assert [minute["frames"] for minute in kept] == [3000, 3000, 500]
        assert [round(minute["laeq"], 1) for minute in kept] == [-20.0, -30.3, -40.0]
        assert (kept[0]["l90"], kept[0]["offset_db"]) == (-20.0, 120.0)
        assert max(range(25), key=kept[0]["bands"].__getitem__) == 16  # 1 kHz, counted from 25 Hz

        _, text = running.get("/metrics")
        lines = text.decode().splitlines()
        (laeq,) = (line for line in lines if line.startswith('streamclf_loudness_decibels{level="laeq",stream="yard"}'))
        assert float(laeq.split()[1]) == pytest.approx(80.0, abs=0.1)
        assert any(line.startswith('streamclf_loudness_band_decibels{hz="1000",stream="yard"}') for line in lines)
        assert 'streamclf_loudness_offset_decibels{stream="yard"} 120.0' in lines

        told = asyncio.run(_retained(aiomqtt, broker.port))
        who = json.loads(told[_SHOWN[1]])
        assert (who["unit_of_measurement"], who["device_class"]) == ("dBA", "sound_pressure")
        assert (who["state_topic"], who["json_attributes_topic"]) == (_SHOWN[0], _BANDS)
        bands = json.loads(told[_BANDS])
        assert max(bands, key=bands.__getitem__) == "1000"
        assert bands["1000"] == pytest.approx(80.0, abs=0.6)
        # a tone of 1 kHz weighs the same in all three
        assert {told[_SHOWN[0].replace("laeq", one)] for one in ("lceq", "lzeq")} <= {"79.9", "80.0", "80.1"}
    finally:
        broker.stop()


_SHOWN = ("streamclf/yard/loudness/laeq", "homeassistant/sensor/streamclf_yard/loudness_laeq/config")


_BANDS = "streamclf/yard/loudness/bands"
_ALL = (_BANDS, *(f"streamclf/yard/loudness/{one}" for one in ("lceq", "lzeq")))


async def _retained(aiomqtt: Any, port: int) -> dict[str, str]:
    """What the broker holds once the newest minute (-40 dB of full scale) is among it."""
    found: dict[str, str] = {}
    async with asyncio.timeout(LIMIT_S), aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("#")
        async for message in client.messages:
            found[str(message.topic)] = message.payload.decode()
            if {*_SHOWN, *_ALL} <= set(found) and json.loads(found[_BANDS])["1000"] < 81 and found[_SHOWN[0]] == "80.0":
                return found
    raise AssertionError(found)
