"""Every sink against the real thing: an HTTP server, a broker, a program, a file, a socket."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks import Permanent, Sink, SinkConfig, Temporary, open_sink
from streamclf.alerts.sinks.apprise import AppriseConfig
from streamclf.alerts.sinks.command import CommandConfig
from streamclf.alerts.sinks.desktop import DesktopConfig
from streamclf.alerts.sinks.mqtt import MqttConfig
from streamclf.alerts.sinks.ndjson import NdjsonConfig
from streamclf.alerts.sinks.osc import OscConfig
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.alerts.sinks.webhook import WebhookConfig
from streamclf.errors import ConfigError
from tests.support.alerts import make_alert, make_event
from tests.support.broker import Broker
from tools.lab.receiver import http_receiver

pytestmark = pytest.mark.e2e

httpx = pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")
aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
pytest.importorskip("apprise", reason="apprise is absent (pip install streamclf[alerts])")

# labels and messages that try to break out of where they stand
HOSTILE = ["$(touch x)", "a/#", "../x", "=1+1", 'x"; touch x; "', "<b>x</b>\r\nSubject: y", "`touch x`", "\x1b[2J"]


def send(config: SinkConfig, *alerts: Alert, sensors: tuple[Any, ...] = ()) -> None:
    async def main() -> None:
        sink = open_sink("it", config, sensors=sensors)
        try:
            for alert in alerts:
                await sink.send(alert)
        finally:
            await sink.close()

    run(main())


def run(main: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await main

    asyncio.run(limited())


def test_a_webhook_is_signed_and_says_it_all(tmp_path: Path) -> None:
    key = b"0123456789abcdefghijklmn"
    (tmp_path / "secret").write_text(f"whsec_{base64.b64encode(key).decode()}\n")
    with http_receiver() as receiver:
        config = WebhookConfig(receiver.url, str(tmp_path / "secret"), {"Authorization": "Bearer x"}, private=True)
        send(config, make_alert(1))
    (request,) = receiver.requests
    signed = b".".join((make_alert(1).id.encode(), request.headers["webhook-timestamp"].encode(), request.body))
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()

    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert request.headers["webhook-id"] == make_alert(1).id
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["authorization"] == "Bearer x"
    assert abs(time.time() - int(request.headers["webhook-timestamp"])) < 60
    assert request.data["label"] == "blackbird"


@pytest.mark.parametrize(
    ("answer", "fault", "sentence", "retry_after_s"),
    [
        ((503, {"Retry-After": "120"}, b""), Temporary, "it answered 503 Service Unavailable", 120),
        ((429, {"Retry-After": "99999"}, b""), Temporary, "it answered 429 Too Many Requests", 900),
        ((404, {}, b""), Temporary, "it answered 404 Not Found", 0),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), Temporary, "redirects are not followed", 0),
        ((422, {}, b""), Permanent, "it answered 422", 0),
    ],
)
def test_what_a_receiver_refuses_is_tried_again_or_never(
    answer: tuple[int, dict[str, str], bytes], fault: type[Exception], sentence: str, retry_after_s: float
) -> None:
    with http_receiver() as receiver:
        receiver.answers = [answer]
        with pytest.raises(fault, match=sentence) as raised:
            send(WebhookConfig(receiver.url, private=True), make_alert())
    assert getattr(raised.value, "retry_after_s", 0) == retry_after_s
    assert len(receiver.requests) == 1


def test_a_webhook_reads_no_more_than_it_must_and_waits_no_longer() -> None:
    with http_receiver() as receiver:
        receiver.answers = [(200, {}, b"x" * 20_000_000)]
        send(WebhookConfig(receiver.url, private=True), make_alert())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Temporary, match=r"no answer within 0\.2 s"):
            send(WebhookConfig(url, private=True, timeout_s=0.2), make_alert())


def test_a_webhook_goes_to_no_address_of_this_network_unless_it_may() -> None:
    with http_receiver() as receiver:
        with pytest.raises(Temporary, match=r"is .*127\.0\.0\.1\b.*, where no alert is sent to; private = true"):
            send(WebhookConfig(receiver.url.replace("127.0.0.1", "localhost")), make_alert())
        with pytest.raises(Temporary, match="where no alert is sent to"):
            send(WebhookConfig("http://169.254.169.254/latest", private=True), make_alert())
    assert receiver.requests == []


def test_a_command_gets_the_alert_on_standard_input_and_nothing_in_its_arguments(tmp_path: Path) -> None:
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    config = CommandConfig((sys.executable, "-c", script, str(tmp_path / "told")))
    send(config, *(make_alert(i, label=text, message=text) for i, text in enumerate(HOSTILE)))

    told = [json.loads(line)["data"] for line in (tmp_path / "told").read_text().splitlines()]
    assert [data["label"] for data in told] == HOSTILE
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


def test_a_program_gets_no_variable_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMCLF_TOKEN", "STREAMCLF_SOURCE", "STREAMCLF_PICTURE", "OWN_SETTING"):
        monkeypatch.setenv(name, "secret")
    script = "import os, sys; open(sys.argv[1], 'w').write(' '.join(os.environ))"
    send(CommandConfig((sys.executable, "-c", script, str(tmp_path / "command"))), make_alert())
    notify = tmp_path / "notify-send"
    notify.write_text(f'#!/bin/sh\nenv > "{tmp_path}/desktop"\n')
    notify.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    send(DesktopConfig(), make_alert())

    for told in ("command", "desktop"):
        assert "OWN_SETTING" in (tmp_path / told).read_text()
        assert "STREAMCLF_" not in (tmp_path / told).read_text()


def test_a_command_that_hangs_or_fails_is_told_and_leaves_nobody_behind(tmp_path: Path) -> None:
    mark = tmp_path / "late"
    hang = ("sh", "-c", f"(sleep 1; touch {mark}) & sleep 60")
    with pytest.raises(Temporary, match=r"sh was still running after 0\.3 s"):
        send(CommandConfig(hang, timeout_s=0.3), make_alert())
    with pytest.raises(Temporary, match="sh ended with 3: out of seed"):
        send(CommandConfig(("sh", "-c", "echo out of seed >&2; exit 3")), make_alert())
    with pytest.raises(Temporary, match="/no/such cannot be started"):
        send(CommandConfig(("/no/such",)), make_alert())
    time.sleep(1.2)  # what was left behind would have made its mark by now
    assert not mark.exists()


@pytest.mark.parametrize("behind", ["", "setsid "])
def test_a_command_is_done_when_it_ends_whoever_holds_its_pipe(behind: str, tmp_path: Path) -> None:
    left = f"{behind}sleep 25 &"  # longer than it may take
    send(CommandConfig(("sh", "-c", f"{left} cat > {tmp_path}/told"), timeout_s=20.0), make_alert())
    with pytest.raises(Temporary, match="sh ended with 4: no seed"):
        send(CommandConfig(("sh", "-c", f"{left} echo no seed >&2; exit 4"), timeout_s=20.0), make_alert())

    assert (tmp_path / "told").stat().st_size


def test_a_command_that_writes_without_end_is_read_slowly(tmp_path: Path) -> None:
    """Read as fast as it writes, it takes a gigabyte in two seconds, and the loop with it."""
    script = (
        "import sys, os\n"
        "written = 0\n"
        "while True:\n"
        "    written += os.write(2, bytes(1 << 16))\n"
        "    open(sys.argv[1], 'w').write(str(written))\n"
    )
    flood = CommandConfig((sys.executable, "-c", script, str(tmp_path / "written")), timeout_s=2.0)
    with pytest.raises(Temporary, match=r"was still running after 2 s"):
        send(flood, make_alert())
    assert 0 < int((tmp_path / "written").read_text() or 1) < 40_000_000


def test_a_file_gets_whole_lines_whatever_stands_in_an_alert(tmp_path: Path) -> None:
    alerts = [make_alert(i, label=text, message=text) for i, text in enumerate(HOSTILE)]
    send(NdjsonConfig(str(tmp_path / "alerts.ndjson")), *alerts)

    lines = (tmp_path / "alerts.ndjson").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["data"]["message"] for line in lines] == HOSTILE
    with pytest.raises(Temporary, match="cannot be written: No such file or directory"):
        send(NdjsonConfig(str(tmp_path / "none" / "alerts.ndjson")), make_alert())


def test_a_full_disk_leaves_no_half_line() -> None:
    with pytest.raises(Temporary, match=r"/dev/full cannot be written"):
        send(NdjsonConfig("/dev/full"), make_alert())


@pytest.mark.parametrize("form", ["osc", "json"])
def test_a_datagram_is_sent_in_time_or_not_at_all(form: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        config = OscConfig("127.0.0.1", listener.getsockname()[1], format=form)
        # in time whatever else the machine does
        send(msgspec.structs.replace(config, deadline_ms=60_000), make_alert(decided_ns=time.time_ns()))
        data = listener.recv(65536)
        assert data.startswith(b"/streamclf/alert\0" if form == "osc" else b'{"type":"streamclf.alert"')
        with pytest.raises(Permanent, match="ms after the sound it is too late; deadline_ms is 500"):
            send(config, make_alert(decided_ns=time.time_ns() - 600_000_000))


def test_a_service_of_apprise_gets_plain_text(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        receiver.answers = [(200, {}, b"")]
        (tmp_path / "url").write_text(f"json://127.0.0.1:{receiver.port}/\n")
        send(AppriseConfig(url_file=str(tmp_path / "url")), make_alert(message=HOSTILE[5]))
        told = json.loads(receiver.requests[0].body)
        receiver.answers = [(500, {}, b"")]
        with pytest.raises(Temporary, match="the service did not take it"):
            send(AppriseConfig(f"json://127.0.0.1:{receiver.port}/"), make_alert())

    assert (told["title"], told["message"]) == ("streamclf: birds", "<b>x</b> Subject: y")


def test_a_desktop_gets_text_and_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # no desktop runs here: a program of that name in its place shows what the real one would be given
    fake = tmp_path / "notify-send"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path / "told"}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    send(DesktopConfig(seconds=2), make_alert(message="--help <b>x</b>"))
    told = (tmp_path / "told").read_text().splitlines()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))

    assert told == [
        "--app-name=streamclf", "--expire-time=2000", "--", "streamclf: birds", "--help &lt;b&gt;x&lt;/b&gt;",
    ]  # fmt: skip
    with pytest.raises(Temporary, match="notify-send is not installed"):
        send(DesktopConfig(), make_alert())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (WebhookConfig("http://h/", "/no/secret"), "sink.it: secret_file /no/secret cannot be read"),
        (WebhookConfig("http://h/", "/etc/hostname/x"), "sink.it: secret_file"),
        (MqttConfig("h", password_file="/no/password"), "sink.it: password_file /no/password cannot be read"),
        (AppriseConfig("nonsense://x"), "sink.it: Apprise knows no service behind an address of 'nonsense'"),
        (AppriseConfig("tk_secret"), "sink.it: Apprise knows no service behind an address of ''"),
    ],
)
def test_a_sink_that_cannot_be_opened_says_why(config: SinkConfig, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        send(config, make_alert())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


async def heard(broker: Broker, count: int, act: Any = None) -> dict[str, bytes]:
    """The newest payload of each topic, once `count` topics were heard; `act` runs when all is subscribed to."""
    found: dict[str, bytes] = {}
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("#", qos=1)
        if act is not None:
            await act()
        if len(found) < count:
            async for message in client.messages:
                found[str(message.topic)] = bytes(message.payload)
                if len(found) >= count:
                    break
    return found


SENSORS = (Sensor("garden", "blackbird", "Blackbird"), Sensor("garden", "a/#", "<b>a</b>"))


def test_home_assistant_finds_each_label_and_sees_it_come_and_go(broker: Broker) -> None:
    async def main() -> None:
        sink: Any = open_sink("it", MqttConfig("127.0.0.1", broker.port), sensors=SENSORS)
        try:
            found = await heard(broker, 9)
            sink.heard([make_event(), make_event(label="wren"), make_event(label="a/#", test=True)])
            sink.scores({("garden", "blackbird"): 0.876, ("garden", "wren"): 0.5})
            await wait_for(
                broker, {"streamclf/garden/blackbird/state": b"ON", "streamclf/garden/blackbird/score": b"88"}
            )
            sink.heard([make_event(stage="close", offset_frame=9, offset_ns=1)])
            after = await wait_for(broker, {"streamclf/garden/blackbird/state": b"OFF"})
        finally:
            await sink.close()
        configs = {topic: json.loads(payload) for topic, payload in found.items() if topic.endswith("/config")}
        assert len(configs) == 4
        state = configs["homeassistant/binary_sensor/streamclf_garden/blackbird_state/config"]
        assert state["state_topic"] == "streamclf/garden/blackbird/state"
        assert state["availability_topic"] == "streamclf/status"
        assert found["streamclf/status"] == b"online"
        assert found["streamclf/garden/blackbird/state"] == b"OFF"
        assert all("#" not in topic and "+" not in topic for topic in found)
        hostile = next(topic for topic in found if topic.startswith("streamclf/garden/a_") and topic.endswith("state"))
        assert after[hostile] == b"OFF", "a test event is nothing that was heard"
        await wait_for(broker, {"streamclf/status": b"offline"})

    run(main())


async def wait_for(broker: Broker, wanted: dict[str, bytes]) -> dict[str, bytes]:
    """What is retained, once it is as wanted."""
    while True:
        found = await heard(broker, 9)
        if wanted.items() <= found.items():
            return found
        await asyncio.sleep(0.05)


def test_an_alert_reaches_the_broker_and_waits_while_there_is_none(broker: Broker) -> None:
    async def main() -> None:
        sink = open_sink("it", MqttConfig("127.0.0.1", broker.port, discovery=False))
        try:

            async def act() -> None:
                await sink.send(make_alert(rule="a/# rule"))

            found = await heard(broker, 2, act)
            alert = next(payload for topic, payload in found.items() if topic.startswith("streamclf/alert/a___rule_"))
            assert json.loads(alert)["data"]["label"] == "blackbird"
            await asyncio.to_thread(broker.stop)
            with pytest.raises(Temporary):
                await sink.send(make_alert(1))
            await asyncio.to_thread(broker.start)
            await eventually(sink, make_alert(1))
        finally:
            await sink.close()

    run(main())


async def eventually(sink: Sink, alert: Alert) -> None:
    while True:
        try:
            return await sink.send(alert)
        except Temporary:
            await asyncio.sleep(0.1)


def test_a_daemon_that_dies_is_told_to_be_offline(broker: Broker, tmp_path: Path) -> None:
    script = (
        "import asyncio\n"
        "from streamclf.alerts.sinks import open_sink\n"
        "from streamclf.alerts.sinks.mqtt import MqttConfig\n"
        "async def main():\n"
        f"    sink = open_sink('it', MqttConfig('127.0.0.1', {broker.port}, discovery=False))\n"
        "    await sink._connected.wait()\n"
        "    print('connected', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        process.kill()
    asyncio.run(asyncio.wait_for(wait_for_status(broker), 20))


async def wait_for_status(broker: Broker) -> None:
    while (await heard(broker, 1))["streamclf/status"] != b"offline":
        await asyncio.sleep(0.05)


def test_what_a_sink_needs_is_imported_before_the_event_loop_opens_it() -> None:
    script = (
        "import sys\n"
        "from streamclf.alerts.sinks import import_sinks, open_sink\n"
        "from streamclf.alerts.sinks.webhook import WebhookConfig\n"
        "config = WebhookConfig('https://example.org/')\n"
        "first = 'httpx' in sys.modules\n"
        "import_sinks([config])\n"
        "before = set(sys.modules)\n"
        "open_sink('it', config)\n"
        "late = {name for name in set(sys.modules) - before if name.partition('.')[0] in ('httpx', 'streamclf')}\n"
        "print(first, sorted(late))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "[]"]
