"""Secrets stay where their user put them: no log, state, list, error or child of a real daemon has them."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.recordings import bursts
from tools.lab.daemon import run_cli
from tools.lab.receiver import WebhookReceiver, http_receiver
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0
SECRET = "s3cr3t-word"
PROGRAM = """import json, os, sys
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(dict(os.environ), file)
os.replace(file.name, sys.argv[1])"""
RULE = '[[rule]]\nname = "each"\nlabels = ["loud"]\nsinks = ["hook", "program"]\n'


def write_rules(folder: Path, receiver: WebhookReceiver) -> Path:
    """A webhook with a secret path and query, and a program that writes down its environment."""
    argv = json.dumps([sys.executable, "-c", PROGRAM, str(folder / "environment")])
    hook = f'[sink.hook]\ntype = "webhook"\nprivate = true\nurl = "{receiver.url}/{SECRET}?key={SECRET}"\n'
    rules = folder / "rules.toml"
    rules.write_text(f'{hook}[sink.program]\ntype = "command"\nargv = {argv}\n{RULE}')
    return rules


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.02)


def test_a_daemon_tells_no_secret_and_no_escapes_of_a_receiver(tmp_path: Path, daemon: StartDaemon) -> None:
    pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=1.5)
    with http_receiver() as receiver:
        receiver.answers = [(503, {"Retry-After": "1"}, b"")]
        receiver.reason = f"\x1b[31mnot now, see https://u:{SECRET}@hooks.example/{SECRET}"
        env = {
            "STREAMCLF_RULES": str(write_rules(tmp_path, receiver)),
            "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
            "STREAMCLF_TOKEN": SECRET,
            "STREAMCLF_SERVER_TOKEN_FILE": "",
            "OWN_SETTING": "kept",
        }
        running = daemon("--source", f"file:{sound}", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
        receiver.wait_for(1)
        running.wait_for("sink hook: it answered 503", LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while "503" not in (problems := running.get(f"/healthz?token={SECRET}")[1].decode()):
            assert time.monotonic() < deadline, f"health does not tell of it: {problems}"
            time.sleep(0.02)
        receiver.answers = [(204, {}, b"")]
        running.wait_for("sink hook takes alerts again", LIMIT_S)
        wait_for_file(tmp_path / "environment")
        running.stop()
    listed = run_cli("alerts", "list", home=tmp_path, env=env).stdout
    child = json.loads((tmp_path / "environment").read_text())

    assert receiver.requests[0].path == f"/hook/{SECRET}?key={SECRET}"
    for told in (running.stderr, running.stdout, problems, listed):
        assert SECRET not in told
        assert "\x1b" not in told
    assert "503 \\\\x1b[31mnot now, see https://hooks.example/…" in problems
    assert child["OWN_SETTING"] == "kept"
    assert [name for name, value in child.items() if name.startswith("STREAMCLF_") or value == SECRET] == []


@pytest.mark.parametrize(
    "source",
    [
        f"url:rtsp://u:a#{SECRET}@cam/x",
        f"url:rtsp://u:5#name={SECRET}@cam/x",
        f"url:rtsp://u:{SECRET}/b@cam/x",
        f"rtsp://u:5#{SECRET}@cam/x",
    ],
)
def test_a_password_that_cannot_be_read_is_in_no_error(source: str, tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack")
    result = run_cli("run", "--source", source, "--model", str(pack), home=tmp_path)

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr + result.stdout


WORDS = [
    "s3cr3t w0rd",
    "s3cr3t@w0rd",
    "s3cr3t#w0rd",
    "s3cr3t%w0rd",
    "s3cr3t'w0rd",
    "s3cr3t/w0rd",
    "s3cr3t?w0rd",
    "s3cr3t 鶫",
]


@pytest.mark.parametrize("secret", WORDS)
def test_no_mistake_shows_a_part_of_a_secret_whatever_is_in_it(secret: str, tmp_path: Path) -> None:
    quoted = json.dumps(secret, ensure_ascii=False)
    hook = f"http://h/{secret}?token={secret}"
    rules = tmp_path / "rules.toml"
    mistakes = [
        f"url = {json.dumps(hook)}\nprivate = 3",
        f"url = [{json.dumps(hook)}]",
        f'url = "http://h/"\nheaders = {json.dumps("Authorization: Bearer " + secret)}',
        f'url = "http://h/"\nheaders = [{json.dumps("Authorization: " + secret)}, 5]',
        f'url = "http://h/"\nheaders = {{ Authorization = [{quoted}] }}',
        f"url = {json.dumps('htp://u:' + secret + '@h/')}",
        f'url = "http://h/"\npassword = {quoted}',
    ]
    sinks = [f'[sink.hook{at}]\ntype = "webhook"\n{mistake}\n' for at, mistake in enumerate(mistakes)]
    rules.write_text("".join(sinks))
    checked = run_cli("rules", "check", str(rules), home=tmp_path)
    sources = [f"url:rtsp://u:{secret}@cam/x", f"rtsp://u:{secret}@cam/x", f"url:http://h/x?token={secret}#ch=1"]
    listed = json.dumps(sources, ensure_ascii=False)
    done = [
        checked,
        run_cli("config", "check", home=tmp_path, env={"STREAMCLF_SOURCE": listed}),
        run_cli("config", "show", home=tmp_path, env={"STREAMCLF_SOURCE": listed}),
        run_cli("config", "check", home=tmp_path, env={"STREAMCLF_SOURCE": listed.removesuffix("]")}),
    ]
    told = "".join(each.stdout + each.stderr for each in done)

    assert checked.returncode == 78
    assert [at for at in range(len(mistakes)) if f"sink.hook{at}" not in told and f"sink hook{at}" not in told] == []
    for part in ("s3cr3t", "w0rd", "鶫"):
        assert part not in told


def test_a_password_that_the_shell_has_split_is_not_shown(tmp_path: Path) -> None:
    asked = [
        run_cli("run", "--source", "url:rtsp://u:one", f"{SECRET}@cam/x", home=tmp_path),
        run_cli("run", "--source", "url:rtsp://u:one", "two", f"-{SECRET}@cam/x", home=tmp_path),
        run_cli("listen", "ws://u:one", f"{SECRET}@birds.local", home=tmp_path),
        run_cli("doctor", f"{SECRET}@cam/x", home=tmp_path),
    ]

    for result in asked:
        assert result.returncode == 2
        assert SECRET not in result.stdout + result.stderr


def test_what_is_wrong_in_a_setting_or_in_rules_is_told_without_its_secret(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[sink.hook]\ntype = "webhook"\nurl = "htps://hooks.example/{SECRET}"\n')
    source = f"url:rtsp://u:{SECRET}@cam/x?key={SECRET}#ch=2"
    checked = run_cli("rules", "check", str(rules), home=tmp_path)
    wrong = run_cli("config", "check", home=tmp_path, env={"STREAMCLF_SOURCE": f'["{source}"'})
    shown = run_cli("config", "show", home=tmp_path, env={"STREAMCLF_SOURCE": source})
    asked = run_cli("listen", f"ws://u:{SECRET}@birds.local:port", home=tmp_path)

    assert "htps://hooks.example/…" in checked.stdout + checked.stderr
    assert json.loads(shown.stdout)["source"] == ["url:rtsp://cam/x?…#ch=2"]
    assert wrong.returncode == 78
    for result in (checked, wrong, shown, asked):
        assert SECRET not in result.stdout + result.stderr
