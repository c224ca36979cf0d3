"""What a bird watcher wants, done with the documents alone."""

import csv
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import soundfile

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.clock import NS_PER_SECOND
from tests.support.broker import Broker
from tests.support.home import LIMIT_S, Home, doing, heard, ids, wait_for
from tools.lab.receiver import http_receiver
from tools.lab.soundserver import missing, pulse_microphone

pytestmark = pytest.mark.e2e


@pytest.mark.skipif(bool(missing(pulse=True)), reason=missing(pulse=True) or "-")
def test_hear_birds_with_a_microphone(home: Home) -> None:
    with pulse_microphone() as microphone, doing("microphone", home) as script:
        home.env |= microphone.env
        assert "default" in script.next()
        script.next()
        microphone.play(DEMO_FILE)  # returns as it begins
        assert '"label":"bird"' in script.next(until='"type":"event"')
        assert "demo" not in home.daemons[0].stderr
        home.leave()


def test_be_told_on_the_phone(garden: Home) -> None:
    pytest.importorskip("apprise", reason="apprise is absent (pip install streamclf[alerts])")
    with http_receiver() as ntfy, doing("phone", garden, shared=True) as script:
        garden.given = {"ntfy://my-garden-birds": f"ntfy://127.0.0.1:{ntfy.port}/my-garden-birds"}
        script.next()
        script.next()
        (first, *_) = ntfy.wait_for(1, LIMIT_S)
        assert "bird" in first.body.decode().lower()
        assert "birds" in script.next()


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """A server that takes letters of whoever comes; its port, and what was put into its box."""
    box: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                # `rules check` only looks whether somebody answers
                with suppress(OSError), line, line.makefile("rwb", buffering=0) as talk:
                    talk.write(b"220 here\r\n")
                    for said in talk:
                        word = said[:4].upper()
                        if word == b"DATA":
                            talk.write(b"354 go on\r\n")
                            letter = iter(talk.readline, b".\r\n")
                            box.append(b"".join(letter).decode())
                        talk.write(b"221 bye\r\n" if word == b"QUIT" else b"250 well\r\n")
                        if word == b"QUIT":
                            break

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], box
        server.shutdown(socket.SHUT_RDWR)


def test_be_told_by_mail(garden: Home) -> None:
    pytest.importorskip("apprise", reason="apprise is absent (pip install streamclf[alerts])")
    with mail_server() as (port, box), doing("mail", garden, shared=True) as script:
        garden.given = {
            "mailtos://me:PASSWORD@mail.example.org?": f"mailto://127.0.0.1:{port}?mode=insecure&from=a@example.org&"
        }
        script.next()
        script.next()
        script.next()
        wait_for(lambda: box, "letter")
        assert "me@example.org" in box[0]
        assert "bird" in box[0].lower()


def test_home_assistant_is_told(garden: Home, tmp_path: Path) -> None:
    pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    broker = Broker(tmp_path)
    broker.start()
    said: list[str] = []
    listener = Client(CallbackAPIVersion.VERSION2)
    listener.on_connect = lambda client, *_: client.subscribe("#")
    listener.on_message = lambda _, __, message: said.append(f"{message.topic} {message.payload.decode()}")
    try:
        listener.connect("127.0.0.1", broker.port)
        listener.loop_start()
        with doing("home", garden, shared=True) as script:
            garden.given = {'host = "127.0.0.1"': f'host = "127.0.0.1"\nport = {broker.port}'}
            script.next()
            script.next()
            wait_for(lambda: any("homeassistant/" in line and "bird" in line for line in said), "announced bird")
            wait_for(lambda: any('"rule"' in line and "birds-at-home" in line for line in said), "alert")
    finally:
        listener.loop_stop()
        broker.stop()


def test_be_told_by_day_only(garden: Home) -> None:
    with http_receiver() as ntfy, doing("quiet", garden, shared=True) as script:
        garden.given = {"ntfy://my-garden-birds": f"ntfy://127.0.0.1:{ntfy.port}/my-garden-birds"}
        script.next()
        assert "06:00-22:00" in script.next()
        script.next()
        # rules that have changed are in force within two seconds
        event = heard(garden, since_ns=time.time_ns() + 4 * NS_PER_SECOND)[0]
        told = garden.type(f"streamclf why {event['id']}")
        hour = datetime.fromtimestamp(event["onset_ns"] / NS_PER_SECOND, ZoneInfo("Europe/Berlin")).hour
        assert re.search(r"rule by-day: (told|not told)", told)
        assert ("not told" in told) == (not 6 <= hour < 22)


def test_why_was_i_told(garden: Home) -> None:
    heard(garden)
    with doing("why-told", garden, shared=True) as script:
        (first, *_) = ids(script.next())
        assert "peak 0." in script.next({"dkbfma": first})


def test_why_was_i_not_told(garden: Home) -> None:
    event = heard(garden)[0]
    with doing("why-not", garden, shared=True) as script:
        moment = datetime.fromtimestamp(event["onset_ns"] / NS_PER_SECOND)
        said = script.next({"05:41:12": f"{moment:%H:%M:%S}"})
        assert "bird on garden" in said


def test_get_fewer_false_events(garden: Home) -> None:
    heard(garden)
    wait_for(lambda: list((garden.folder / ".local/share/streamclf/scores").rglob("*.scores")), "score log")
    own = garden.folder / ".config" / "streamclf" / "config.toml"
    before = own.read_text()
    with doing("fewer", garden, shared=True) as script:
        assert re.search(r"bird +0\.\d\d -> 0\.\d\d", script.next())
        tried = script.next()
        assert re.search(r"events: \d+, [1-9]\d* lost, 0 gained", tried), tried
        assert re.search(r"\d+ (seconds|minutes) of rows", tried)
        applied = script.next()
    assert "[segmentation.bird]" in own.read_text()
    garden.daemons[0].wait_for("taken over", LIMIT_S)
    garden.type(re.search(r"to go back: (.+)", applied)[1])  # type: ignore[index]
    assert own.read_text() == before


def test_be_told_only_of_what_lives_here(home: Home) -> None:
    with doing("species", home) as script:
        assert "is good" in script.next()
        script.next()
        assert {event["label"] for event in heard(home)} == {"bird"}


def test_keep_a_clip_of_each_bird(garden: Home) -> None:
    heard(garden)
    with doing("clips", garden, shared=True) as script:
        script.next()
        wait_for(lambda: any(event["clip"] for event in heard(garden)), "clip")
        clip = re.search(r"(\S+\.flac)", script.next())[1]  # type: ignore[index]
    sound, _ = soundfile.read(garden.folder / ".local/share/streamclf/clips" / clip)
    assert abs(sound).max() > 0.01


def test_mark_right_and_wrong(garden: Home) -> None:
    wait_for(lambda: sum(bool(event["clip"]) for event in heard(garden)) >= 2, "two clips")
    with doing("marks", garden, shared=True) as script:
        first, second, *_ = ids("\n".join(line for line in script.next().splitlines() if ".flac" in line))
        script.next({"dkbfma": first})
        script.next({"hnecao": second})
        script.next()
    found = garden.folder / "marked"
    assert {path.name for path in found.iterdir() if path.is_dir()} == {"bird", "wren"}
    table = garden.type("streamclf events")
    assert re.search(rf"right +{first}", table)
    assert re.search(rf"wrong.*wren +{second}", table)


def test_open_the_birds_in_a_spreadsheet(garden: Home) -> None:
    heard(garden)
    with doing("spreadsheet", garden, shared=True) as script:
        script.next()
    with (garden.folder / "birds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"bird"}


def test_a_table_of_a_folder_of_recordings(home: Home, shared: Path) -> None:
    night = home.folder / "night"
    night.mkdir()
    for name in ("birds_10s.flac", "WhiLbl0010_110411-DC-01.flac"):
        shutil.copy(shared / "data" / "animal_song" / name, night)
    with doing("nights", home) as script:
        script.next()
    tables = sorted((home.folder / "tables").rglob("*.csv"))
    assert [path.name for path in tables] == ["WhiLbl0010_110411-DC-01.flac.csv", "birds_10s.flac.csv"]
    with tables[1].open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} >= {"bird"}


def test_a_picture_for_a_report(garden: Home) -> None:
    pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")
    with doing("picture", garden, shared=True) as script:
        script.next()
    assert (garden.folder / "heard.png").read_bytes().startswith(b"\x89PNG")
