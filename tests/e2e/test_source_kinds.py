"""A kind of source that somebody brings from outside the package is one like the package's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.daemon import clean_env, run_cli
from tests.support.tinypack import stateful_pack

pytestmark = pytest.mark.e2e


def ran(*args: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The program with the kind `bursts`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.toysource", *args],
        env=clean_env(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_daemon_listens_to_it(tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack")

    done = ran("run", "-s", "bursts:3#loud=0.6", "-m", str(pack), "--fast", "--until-end", "--port", "0", home=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "bursts of 3: ended: all bursts were given" in done.stderr
    kept = run_cli("events", "--format", "ndjson", "--since", "1h", home=tmp_path)
    events = [json.loads(line) for line in kept.stdout.splitlines()]
    assert {event["stream"] for event in events} == {"bursts of 3"}
    assert sum(event["label"] == "loud" for event in events) == 3


def test_what_people_are_told_names_it_too(tmp_path: Path) -> None:
    help_text = ran("run", "--help", home=tmp_path).stdout
    assert "bursts:COUNT" in help_text
    assert "#loud" in help_text

    for text, sentence in [
        ("burst:3", "did you mean bursts?"),
        ("nothing", "expected one of bursts:COUNT, demo, device[:NAME]"),
        ("bursts:many", "count of bursts must be a whole number from 1 to 60, got 'many'"),
        ("bursts:3#lout=1", "'lout' is not an option of bursts, which takes name, gain, priority, loud; did you mean"),
    ]:
        done = ran("run", "--source", text, "--port", "0", home=tmp_path)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr


def test_a_name_that_is_taken_is_refused() -> None:
    from dataclasses import replace

    from streamclf.audio.sources import kinds, register

    taken = kinds()[0]
    register(taken)

    with pytest.raises(ValueError, match=f"a kind of source called {taken.name} already"):
        register(replace(taken, summary="another"))
