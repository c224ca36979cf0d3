"""What stands in the way of a sink is found without sending anything, by real sockets and files."""

import gc
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamclf.alerts.rules.rulefile import parse_rules
from streamclf.alerts.sinks.checking import obstacles
from tests.support.broker import Broker
from tests.support.certificates import make_pair
from tools.lab.daemon import free_port


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that answers, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def obstacle(kind: str, **keys: Any) -> str:
    """What stands in the way of a sink with these keys."""
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    file, mistakes = parse_rules(f'[sink.it]\ntype = "{kind}"\n{lines}\n')
    assert not mistakes
    return obstacles(file.sinks).get("it", "")


def test_a_folder_that_is_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    assert "no is not there; make it" in obstacle("ndjson", path=str(tmp_path / "no" / "a.ndjson"))
    assert "cannot be written" in obstacle("ndjson", path=str(tmp_path))
    assert obstacle("ndjson", path=str(tmp_path / "a.ndjson")) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    (script := tmp_path / "on bird").write_text("#!/bin/sh\n")
    assert obstacle("command", argv=[str(script)]) == f"{script} is not executable; run: chmod +x '{script}'"
    script.chmod(0o755)
    assert obstacle("command", argv=[str(script)]) == ""
    assert "is not there; mend the path" in obstacle("command", argv=[str(tmp_path / "no")])
    assert "is not on the PATH" in obstacle("command", argv=["no-such-program"])


def test_an_address_that_is_refused_or_does_not_answer(listening: int) -> None:
    pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")
    url, closed = f"http://127.0.0.1:{listening}/s3cret", free_port()
    assert "where no alert is sent to; private = true allows" in obstacle("webhook", url=url)
    assert "169.254.169.254, where no alert" in obstacle("webhook", url="http://169.254.169.254/", private=True)
    assert obstacle("webhook", url=url, private=True) == ""
    gone = obstacle("webhook", url=f"http://127.0.0.1:{closed}/s3cret", private=True)
    assert f"127.0.0.1:{closed} does not answer" in gone
    assert "s3cret" not in gone
    assert "secret_file /no cannot be read" in obstacle("webhook", url=url, private=True, secret_file="/no")
    assert "the port of its address" in obstacle("webhook", url="http://127.0.0.1:99999/", private=True)


def test_a_mail_server_that_does_not_answer(listening: int) -> None:
    pytest.importorskip("apprise", reason="apprise is absent (pip install streamclf[alerts])")
    address = "mailto://u:passw0rd@example.org:{}?smtp=127.0.0.1&from=a@example.org"
    assert obstacle("apprise", url=address.format(listening)) == ""
    gone = obstacle("apprise", url=address.format(closed := free_port()))
    assert f"127.0.0.1:{closed} does not answer" in gone
    assert "passw0rd" not in gone
    assert obstacle("apprise", url="ntfy://birds") == ""
    assert "Apprise knows no service" in obstacle("apprise", url="nothing")


def test_a_broker_that_does_not_answer_or_is_none(listening: int) -> None:
    pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
    assert f"127.0.0.1:{(closed := free_port())}: " in obstacle("mqtt", host="127.0.0.1", port=closed)
    assert "password_file /no cannot be read" in obstacle("mqtt", host="127.0.0.1", port=listening, password_file="/no")


# paho leaves its socket to the collector where a handshake fails
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_broker_that_wants_something_else_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
    certificate, key = make_pair(tmp_path, "broker")
    files = f"user root\ncafile {certificate}\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous false\n"
    (plain := Broker(tmp_path)).start()
    (tmp_path / "tls").mkdir()
    (tls := Broker(tmp_path / "tls", files)).start()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    try:
        spoken = obstacle("mqtt", host="127.0.0.1", port=plain.port, tls=True)
        unknown = obstacle("mqtt", host="127.0.0.1", port=tls.port, tls=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        nobody = obstacle("mqtt", host="127.0.0.1", port=tls.port, tls=True)
        eve = obstacle("mqtt", host="127.0.0.1", port=tls.port, tls=True, username="eve")
    finally:
        plain.stop()
        tls.stop()
        gc.collect()

    assert "it speaks no TLS there" in spoken
    assert "leave tls out, or name its port for TLS, mostly 8883" in spoken
    assert (
        "its certificate is not believed (self-signed certificate); name the file of its authority as SSL_" in unknown
    )
    assert "it does not let nobody in ([code:135] Not authorized); mend username and password_file" in nobody
    assert "it does not let eve in" in eve
