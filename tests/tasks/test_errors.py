"""What a task can meet on its way: each error is a sentence with the next command, and that command works as typed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.home import Home, new_home

pytestmark = pytest.mark.e2e
RULES = """\
[sink.a]
type = "ndjson"
path = "a.ndjson"

[[rule]]
name = "birds"
labels = ["group:bird"]
sinks = ["a"]
"""
CONFIG = "~/.config/streamclf/config.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return new_home(tmp_path_factory.mktemp("errors") / "home")


def next_command(said: str) -> str:
    """What stands between back quotes, or behind `run:`, of the error where other lines were said as well."""
    said = said.rpartition("error: ")[2]
    found = re.search(r"`([^`]+)`", said) or re.search(r"run: (.+)$", said, re.MULTILINE)
    assert found, f"no command to type next:\n{said}"
    return found[1]


def open_rules(home: Home) -> None:
    home.put("~/.config/streamclf/rules.toml", RULES).chmod(0o666)


def open_token(home: Home) -> None:
    home.put("~/token", "a" * 24).chmod(0o644)


@pytest.mark.parametrize(
    ("prepare", "typed", "code", "said", "works"),
    [
        (open_rules, "streamclf rules check", 78, "every user of this machine can write it", 0),
        (open_token, "streamclf listen --no-reconnect --token-file token", 78, "others can use it", 0),
        (None, "streamclf models verify everyday", 1, "there is no pack named 'everyday'", None),
        (None, "streamclf models show yamnett", 1, "there is no pack named 'yamnett'", None),
        (
            None,
            "streamclf export ./nope --out packs/mine",
            2,
            "./nope is neither a folder that exists nor a model",
            None,
        ),
    ],
)
def test_the_next_command_stands_in_the_sentence(
    home: Home, prepare: Callable[[Home], None] | None, typed: str, code: int, said: str, works: int | None
) -> None:
    if prepare is not None:
        prepare(home)
    found = home.type(typed, code=code)
    assert said in found
    assert found.count("\n") == 1, "one sentence"
    if works is not None:
        home.type(next_command(found), code=works)
        assert said not in home.type(f"{typed} || true"), "and that was all that was wrong"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("streamclf events", "no events have been kept"),
        ("streamclf why 05:41:12", "no events have been kept"),
        ("streamclf snapshot --out heard.png", "nothing answers"),
        ("streamclf calibrate --budget 1/day", "no scores were logged"),
        ("streamclf replay --since 1h", "no events have been kept"),
    ],
)
def test_without_a_daemon_the_next_command_starts_one_and_then_it_goes(
    home: Home, tmp_path: Path, typed: str, said: str
) -> None:
    found = home.type(f"{typed} || true")
    assert said in found
    line = next_command(found)
    assert re.fullmatch(r"(STREAMCLF_SCORES_ENABLED=true )?streamclf run", line)


def test_the_daemon_of_the_next_command_has_what_was_missing(home: Home) -> None:
    """One daemon for all of the sentences above: what each of them asks for is there then."""
    line = next_command(home.type("streamclf calibrate --budget 1/day || true"))
    setting, _, command = line.partition(" ")
    home.env |= dict([setting.split("=")]) | {"STREAMCLF_SOURCE": "demo#store=yes"}
    home.start(command)
    try:
        assert "no events have been kept" not in home.type("streamclf events")
        home.type("streamclf snapshot --out heard.png")
    finally:
        home.leave()


def test_an_open_bind_tells_how_to_have_a_token(home: Home) -> None:
    found = home.type("STREAMCLF_SOURCE=demo streamclf run --host 0.0.0.0", code=78)
    line = next_command(found)
    assert line == "STREAMCLF_TOKEN=$(openssl rand -hex 24) streamclf run --host 0.0.0.0"
    home.env["STREAMCLF_SOURCE"] = "demo"
    assert "other machines open http" in home.first_with("other machines open", f"env {line}")


def test_a_mistake_in_a_label_or_a_key_names_what_was_meant(home: Home) -> None:
    home.put(CONFIG, "[segmentation.brid]\nenter = 0.6\n")
    meant = re.search(r"did you mean (\w+)\?", home.type("streamclf config check", code=78))
    assert meant
    home.put(CONFIG, f"[segmentation.{meant[1]}]\nenter = 0.6\n")
    assert "is good" in home.type("streamclf config check")
    home.put(CONFIG, "[server]\nprot = 9000\n")
    meant = re.search(r"did you mean server\.(\w+)\?", home.type("streamclf config check", code=78))
    assert meant
    home.put(CONFIG, f"[server]\n{meant[1]} = 9000\n")
    assert "is good" in home.type("streamclf config check")
    home.put(CONFIG, "")
