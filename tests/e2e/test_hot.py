"""The configuration of a real daemon is changed while it runs: taken over as a whole, or not at all."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartDaemon
from tests.support.recordings import bursts
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 40.0
QUICK = "[segmentation]\nloud = {enter = 0.43}\n"


def until(there: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := there()):
        assert time.monotonic() < deadline, f"{what} did not come about within {LIMIT_S:.0f} s"
        time.sleep(0.05)
    return found


def test_what_is_hot_is_taken_over_and_the_rest_waits(tmp_path: Path, daemon: StartDaemon) -> None:
    sound, pack = bursts(tmp_path / "garden.wav", [0.2], seconds=1.0), stateful_pack(tmp_path / "pack")
    path = tmp_path / "config.toml"

    def write(text: str) -> None:
        path.write_text(text)
        running.process.send_signal(signal.SIGHUP)

    def newest() -> dict[str, Any]:
        found: list[dict[str, Any]] = running.get_json("/v1/events?labels=loud&limit=1")["events"]
        return found[0] if found else {"enter": 0, "clip": "", "stage": ""}

    def clip() -> bool:
        """Whether one came about; the next event opens when it does."""
        return any(one["clip"] for one in running.get_json("/v1/events?labels=loud&limit=2")["events"])

    def problem(words: str) -> list[dict[str, Any]]:
        return [one for one in running.get_json("/v1/status")["problems"] if words in one["what"]]

    path.write_text("[segmentation]\nloud = {enabled = false}\n")
    env = {"STREAMCLF_CONFIG": str(path), "STREAMCLF_SCORES_ENABLED": "true"}
    running = daemon("--source", f"file:{sound}#loop=yes", "--model", str(pack), env=env)
    assert newest()["enter"] == 0

    write("[segmentation]\nloud = {enter = 0.41}\n")
    until(lambda: newest()["enter"] == 0.41, "an event of a label that was switched on")
    assert not newest()["clip"]

    write("threads = 2\n[segmentation]\nloud = {enter = 0.41}\n[clips]\nenabled = true\npost = '0.1 s'\nvisit_ms = 0\n")
    until(clip, "a clip")
    waits = until(lambda: problem("threads"), "advice")[0]
    assert (waits["grade"], waits["what"].endswith("which hold after a restart")) == ("advice", True)

    write("[segmentation]\nlout = {enter = 0.2}\n")
    wrong = until(lambda: problem("did you mean loud?"), "the mistake among the problems")[0]
    assert wrong["what"].startswith("the configuration that was read before holds, for ")
    write(QUICK + "[clips]\nenabled = true\nprivacy = 'drop'\n")
    until(lambda: problem("needs a pack that tells speech"), "the refusal of what cannot be done")
    assert newest()["enter"] == 0.41

    write(QUICK)
    until(lambda: newest()["enter"] == 0.43 and newest()["stage"] == "close", "an event by the newest thresholds")
    assert not newest()["clip"]
    assert not problem("configuration")
    running.stop()
    assert "configuration: segmentation taken over" in running.stderr
    assert "other values of threads hold after a restart" in running.stderr
