"""Starts streamclf as an app of Home Assistant: what was chosen there becomes its configuration, the broker is found.

How to run it: copy this folder to `/addons/streamclf` of Home Assistant (the app "Samba" or "SSH"), reload the store of
apps, install "streamclf" from the local ones. Whoever opens its page comes through Home Assistant, which has let him
in; so the daemon asks no token of what comes from the Supervisor's address, and one of everybody else.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("APP_DATA", "/data"))
SUPERVISOR = os.environ.get("APP_SUPERVISOR", "http://supervisor")
INGRESS = os.environ.get("APP_INGRESS", "172.30.32.2")
HOST = os.environ.get("APP_HOST", "0.0.0.0")
WYOMING = int(os.environ.get("APP_WYOMING", "10400"))
PORT = int(os.environ.get("APP_PORT", "8765"))


def supervisor(path: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the Supervisor answers, empty where it has nothing. said: what it is told."""
    headers = {"Authorization": f"Bearer {os.environ.get('SUPERVISOR_TOKEN', '')}", "Content-Type": "application/json"}
    body = None if said is None else json.dumps(said).encode()
    request = urllib.request.Request(f"{SUPERVISOR}/{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer).get("data") or {}
            return found
    except (OSError, ValueError) as fault:
        print(f"the Supervisor has no {path}: {fault}", file=sys.stderr)
        return {}


def toml(value: object) -> str:
    """A text, a number, a truth or a list of texts, as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)


def rules_of(options: dict[str, Any], broker: dict[str, Any]) -> str:
    """A sink that Home Assistant finds, where there is a broker."""
    if not broker.get("host"):
        return ""
    password = DATA / "mqtt.password"
    password.write_text(str(broker.get("password") or ""))
    password.chmod(0o600)
    lines = [
        "[sink.home]",
        'type = "mqtt"',
        f"host = {toml(broker['host'])}",
        f"port = {int(broker.get('port') or 1883)}",
        f"username = {toml(broker.get('username') or '')}",
        *([f"password_file = {toml(str(password))}"] if broker.get("username") else []),
        f"tls = {toml(bool(broker.get('ssl')))}",
        f"labels = {toml(options['labels'])}",
    ]
    return "\n".join(lines) + "\n"


def config_of(options: dict[str, Any]) -> str:
    """The daemon's configuration."""
    token = DATA / "token"
    if options.get("token") or not token.exists():
        token.write_text(options.get("token") or secrets.token_hex(24))
        token.chmod(0o600)
    lines = [
        f"source = {toml(options['sources'])}",
        *([f"model = {toml(options['models'])}"] if options["models"] else []),
        f"rules = {toml(str(DATA / 'rules.toml'))}",
        "[server]",
        f"host = {toml(HOST)}",
        f"port = {PORT}",
        f"token_file = {toml(str(token))}",
        f"behind = {toml(INGRESS)}",
        "[store]",
        f"path = {toml(str(DATA / 'store'))}",
    ]
    return "\n".join(lines) + "\n"


def satellites(options: dict[str, Any]) -> None:
    """Beside the daemon: Wyoming's satellites take its push streams. Connections of the home's networks are taken."""
    command = ["wyoming", "--url", f"127.0.0.1:{PORT}", "--token-file", str(DATA / "token"), "--host", HOST]
    command += ["--port", str(WYOMING)]
    network = str(options.get("wyoming_from") or "172.30.32.0/23")
    subprocess.Popen([sys.executable, "-m", "streamclf", *command, "--from", network])
    # Home Assistant then shows it under Devices & services by itself
    supervisor("discovery", {"service": "wyoming", "config": {"uri": f"tcp://{socket.gethostname()}:{WYOMING}"}})


def main() -> None:
    """Write both files, and become the daemon."""
    options = json.loads((DATA / "options.json").read_text())
    for name, text in (
        ("rules.toml", rules_of(options, supervisor("services/mqtt"))),
        ("config.toml", config_of(options)),
    ):
        tomllib.loads(text)
        (DATA / name).write_text(text)
        (DATA / name).chmod(0o600)
    if options["wyoming"]:
        satellites(options)
    os.environ["STREAMCLF_MODELS"] = str(DATA / "models")
    sys.stderr.flush()
    os.execvp(sys.executable, [sys.executable, "-m", "streamclf", "run", "--config", str(DATA / "config.toml")])


if __name__ == "__main__":
    main()
