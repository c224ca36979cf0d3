"""Teaching the real daemon over its websocket and from the command line: live at once, kept for good, taken back."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamclf.client import Client
from streamclf.errors import ServeError
from streamclf.protocol import wire
from tests.conftest import StartDaemon
from tests.support.tones import RATE, hiss, tone, tone_pack
from tools.lab.daemon import Daemon, run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 40.0
PERIOD_S = 8.0
LOW, HIGH = 500.0, 2600.0


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A configuration: a low tone, a high one, and hiss between them, over and over."""
    parts = [hiss(3.0), tone(LOW, 0.6), hiss(3.0, seed=1), tone(HIGH, 0.6), hiss(0.8, seed=2)]
    soundfile.write(tmp_path / "house.wav", np.concatenate(parts), RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "low.wav", np.concatenate([hiss(0.3), tone(LOW, 0.6), hiss(0.3)]), RATE)
    tone_pack(tmp_path / "tones")
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
        source = ["file:{tmp_path}/house.wav#loop=yes&name=mic"]
        model = ["{tmp_path}/tones"]
        hop_ms = 40
        [store]
        path = "{tmp_path}/store"
        [clips]
        enabled = true
        pre_ms = 100
        post_ms = 100
        """
    )
    return config


def settings(house: Path) -> dict[str, str]:
    return {"STREAMCLF_CONFIG": str(house), "STREAMCLF_STORE_PATH": str(house.parent / "store")}


def cli(house: Path, *args: str) -> str:
    done = run_cli(*args, home=house.parent, env=settings(house))
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if got := found():
            return got
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {LIMIT_S:g} s")


def events(running: Daemon, label: str, *, after_ns: int = 0) -> list[dict[str, Any]]:
    found = running.get_json(f"/v1/events?labels={label}&since_ns={after_ns}")["events"]
    return [event for event in found if event["stage"] == "close"]


def an_event(running: Daemon, *, high: bool, after_ns: int = 0) -> dict[str, Any]:
    """An ended event of `any` that was the low or the high tone; low and high take turns, the low one comes first."""

    def look() -> dict[str, Any] | None:
        first = running.get_json("/v1/status")["streams"][0]
        assert first["name"] == "mic"
        for event in events(running, "any", after_ns=after_ns):
            at_s = event["onset_frame"] / 50 % PERIOD_S
            if (at_s > 5) is high:
                return event
        return None

    found: dict[str, Any] = until(look, "an event")
    return found


def teach(running: Daemon, label: str, **fields: Any) -> wire.Taught:
    return asyncio.run(Client(running.url).teach(label, **fields))


def test_a_sound_that_is_shown_is_a_label_with_rows_and_events_at_once(daemon: StartDaemon, house: Path) -> None:
    running = daemon(env=settings(house))
    shown = an_event(running, high=False)

    async def main() -> tuple[list[wire.ServerMessage], wire.Taught]:
        came: list[wire.ServerMessage] = []
        client = Client(running.url, tier="frame", encoding="f16")
        answer: wire.Taught | None = None
        async for message in client.messages():
            came.append(message)
            if isinstance(message, wire.Subscribed) and answer is None:
                answer = await Client(running.url).teach("kettle", event=shown["id"], name="The kettle")
            if isinstance(message, wire.Event) and message.label == "kettle":
                break
        assert answer is not None
        return came, answer

    came, answer = asyncio.run(asyncio.wait_for(main(), LIMIT_S))

    assert (answer.label, answer.name, answer.said, answer.pack, answer.examples) == (
        "kettle",
        "The kettle",
        "is",
        "taught",
        1,
    )
    kinds = [type(one).__name__ for one in came if not isinstance(one, wire.Scores | wire.Event)]
    assert kinds == ["Hello", "Subscribed", "Relabelled", "Subscribed", "Taught"]
    rows = [one for one in came if isinstance(one, wire.Scores) and one.pack == "taught"]
    assert rows
    assert {tuple(one.labels) for one in rows} == {("kettle",)}
    (event,) = [one for one in came if isinstance(one, wire.Event) and one.label == "kettle"]
    assert event.onset_frame / 50 % PERIOD_S == pytest.approx(3.0, abs=0.3)


def test_what_was_taught_is_there_after_it_was_killed_and_can_be_taken_back(daemon: StartDaemon, house: Path) -> None:
    first = daemon(env=settings(house))
    teach(first, "kettle", event=an_event(first, high=False)["id"])
    first.kill()
    running = daemon(env=settings(house))

    began_ns = time.time_ns()
    until(lambda: events(running, "kettle", after_ns=began_ns), "an event of it")
    (entry,) = running.get_json("/v1/taught")["classes"]
    assert (entry["label"], entry["pack"], entry["host"], entry["problem"]) == ("kettle", "taught", "tones", "")
    assert "kettle" in cli(house, "teach", "list")
    hello = asyncio.run(Client(running.url).streams())
    assert hello == ["mic"]

    assert "forgotten" in cli(house, "teach", "forget", "kettle", "--url", running.url)
    assert running.get_json("/v1/taught") == {"classes": []}
    at_ns = time.time_ns() + 1_000_000_000
    an_event(running, high=True, after_ns=at_ns)
    assert events(running, "kettle", after_ns=at_ns) == []


def test_what_was_taken_for_it_is_told_not_to_be_it(daemon: StartDaemon, house: Path) -> None:
    running = daemon(env=settings(house))
    teach(running, "tone", event=an_event(running, high=False)["id"])
    teach(running, "tone", event=an_event(running, high=True)["id"])
    began_ns = time.time_ns()

    def both() -> bool:
        return {event["onset_frame"] / 50 % PERIOD_S > 5 for event in events(running, "tone", after_ns=began_ns)} == {
            False,
            True,
        }

    until(both, "an event of both tones")
    answer = teach(running, "tone", event=an_event(running, high=True, after_ns=began_ns)["id"], said="not")
    # the example that says otherwise has to go, or the two stay at odds
    (entry,) = running.get_json("/v1/taught")["classes"]
    wrong = [one["id"] for one in entry["examples"] if one["said"] == "is"][1]
    asyncio.run(Client(running.url).forget("tone", wrong))
    assert (answer.examples, answer.against) == (2, 1)
    after_ns = time.time_ns() + 500_000_000
    until(lambda: len(events(running, "tone", after_ns=after_ns)) >= 2, "two events")
    assert all(event["onset_frame"] / 50 % PERIOD_S < 5 for event in events(running, "tone", after_ns=after_ns))


def test_a_class_gets_another_name_and_keeps_it(daemon: StartDaemon, house: Path) -> None:
    cli(house, "teach", "kettle", "--clips", str(house.parent / "low.wav"))
    assert "kettle is called 'The kettle' now" in cli(house, "teach", "kettle", "--title", "The kettle")
    running = daemon(env=settings(house))
    (entry,) = running.get_json("/v1/taught")["classes"]
    assert (entry["name"], len(entry["examples"])) == ("The kettle", 1)

    answer = teach(running, "kettle", name="Old kettle")
    running.kill()
    again = daemon(env=settings(house))

    assert (answer.said, answer.name, answer.pack) == ("named", "Old kettle", "taught")
    assert "Old kettle" in cli(house, "teach", "list")
    began_ns = time.time_ns()
    until(lambda: events(again, "kettle", after_ns=began_ns), "an event of it")
    with pytest.raises(ServeError, match="nobody has taught 'gate', so there is nothing to call 'The gate'"):
        teach(again, "gate", name="The gate")
    refused = run_cli("teach", "kettle", "--not", "--title", "No", home=house.parent, env=settings(house))
    assert (refused.returncode, "nothing is shown of kettle" in refused.stderr) == (2, True), refused.stderr


def test_a_rule_tells_of_it_and_a_search_finds_what_sounds_alike(daemon: StartDaemon, house: Path) -> None:
    told = house.parent / "told.ndjson"
    rules = (
        f'[sink.file]\ntype = "ndjson"\npath = "{told}"\n'
        '[[rule]]\nname = "tea"\nlabels = "group:taught"\nsinks = ["file"]\n'
    )
    (house.parent / "rules.toml").write_text(rules)
    house.write_text(f'rules = "{house.parent}/rules.toml"\n{house.read_text()}')
    running = daemon(env=settings(house))
    # no label of that group is there yet: the rule waits until one is taught
    until(lambda: "the rule 'tea' waits for 'group:taught'" in running.stderr, "the warning")
    assert "waits for 'group:taught'" in running.get_json("/v1/rules")["rules"][0]["told_when"]
    assert not told.exists()
    low_file = str(house.parent / "low.wav")
    assert "kettle: 1 example" in cli(house, "teach", "kettle", "--clips", low_file, "--url", running.url)

    until(told.is_file, "an alert")
    assert '"kettle"' in told.read_text()
    assert "waits" not in running.get_json("/v1/rules")["rules"][0]["told_when"]
    low = an_event(running, high=False)

    def found() -> list[str]:
        """Moments are written now and then: the table once two others like it are in it."""
        done = run_cli("find", "--like", low["id"], "--limit", "2", home=house.parent, env=settings(house))
        lines = done.stdout.splitlines()[1:] if done.returncode == 0 else []
        return lines if len(lines) == 2 and all(float(line.split()[0]) > 0.98 for line in lines) else []

    until(found, "two moments that sound like it")


def test_what_a_rule_names_is_not_forgotten(daemon: StartDaemon, house: Path) -> None:
    rules = house.parent / "rules.toml"
    low, high = str(house.parent / "low.wav"), str(house.parent / "high.wav")
    soundfile.write(high, np.concatenate([hiss(0.3), tone(HIGH, 0.6), hiss(0.3)]), RATE)
    cli(house, "teach", "kettle", "--clips", low)
    cli(house, "teach", "chime", "--clips", high)
    rules.write_text('[[rule]]\nname = "tea"\nlabels = ["kettle"]\n[[rule]]\nname = "all"\nlabels = "group:taught"\n')
    house.write_text(f'rules = "{rules}"\n{house.read_text()}')

    alone = run_cli("teach", "forget", "kettle", home=house.parent, env=settings(house))
    assert (alone.returncode, "the rule 'tea' in " in alone.stderr) == (2, True), alone.stderr
    running = daemon(env=settings(house))
    with pytest.raises(ServeError, match=f"the rule 'tea' in {rules} names 'kettle'.* take it out of the rules file"):
        asyncio.run(Client(running.url).forget("kettle"))
    asked = run_cli("teach", "forget", "kettle", "--url", running.url, home=house.parent, env=settings(house))
    assert asked.returncode == 1
    assert "take it out of the rules file first" in asked.stderr
    classes = {one["label"]: one for one in running.get_json("/v1/taught")["classes"]}
    assert set(classes) == {"kettle", "chime"}
    with pytest.raises(ServeError, match="'tea'"):  # with its last example the class would go as well
        asyncio.run(Client(running.url).forget("kettle", classes["kettle"]["examples"][0]["id"]))

    asyncio.run(Client(running.url).forget("chime"))  # the other one keeps the group
    rules.write_text('[[rule]]\nname = "all"\nlabels = "group:taught"\n')
    until(lambda: "rules: 1 rule " in running.stderr, "the other rules")
    with pytest.raises(ServeError, match="names 'group:taught'"):
        asyncio.run(Client(running.url).forget("kettle"))


def test_a_rule_for_what_is_forgotten_waits_and_one_for_what_nobody_ever_taught_is_a_mistake(
    daemon: StartDaemon, house: Path
) -> None:
    low = str(house.parent / "low.wav")
    cli(house, "teach", "kettle", "--clips", low)
    cli(house, "teach", "forget", "kettle")
    rules = house.parent / "rules.toml"
    rules.write_text('[[rule]]\nname = "tea"\nlabels = ["kettle", "any"]\n')
    house.write_text(f'rules = "{rules}"\n{house.read_text()}')

    said = cli(house, "rules", "check")
    assert "the rule 'tea' waits for 'kettle', which is not taught now" in said
    assert "is good" in said
    running = daemon(env=settings(house))
    until(lambda: "the rule 'tea' waits for 'kettle'" in running.stderr, "the warning")
    cli(house, "teach", "kettle", "--clips", low, "--url", running.url)
    assert "waits" not in cli(house, "rules", "check")
    until(lambda: "waits" not in running.get_json("/v1/rules")["rules"][0]["told_when"], "a rule that does not wait")
    running.stop()

    rules.write_text('[[rule]]\nname = "tea"\nlabels = ["kettel"]\n')
    assert daemon(env=settings(house), ready=False).wait(30) == 78
    wrong = run_cli("rules", "check", home=house.parent, env=settings(house))
    assert (wrong.returncode, "kettle" in wrong.stderr) == (78, True), wrong.stderr


def test_what_cannot_be_learnt_is_refused_in_words(daemon: StartDaemon, house: Path) -> None:
    running = daemon(env=settings(house))
    for fields, words in (
        ({"event": "no/such"}, "there is no event 'no/such'"),
        ({}, "0 sounds are shown"),
        ({"stream": "mic", "from_ns": 1}, "nothing is held of that moment"),
        ({"stream": "attic", "from_ns": 1}, "there is no stream 'attic'"),
        ({"sound": "!!"}, "not base64"),
        ({"sound": "AAAA"}, "no sound that can be read"),
    ):
        with pytest.raises(ServeError, match=words):
            teach(running, "kettle", **fields)
    with pytest.raises(ServeError, match="label of a pack that runs"):
        teach(running, "any", event=an_event(running, high=False)["id"])
    with pytest.raises(ServeError, match="nobody has taught what 'kettle' is"):
        teach(running, "kettle", event=an_event(running, high=False)["id"], said="not")
    assert running.get_json("/v1/taught") == {"classes": []}


def test_another_version_of_the_pack_learns_from_the_sounds_that_were_kept(daemon: StartDaemon, house: Path) -> None:
    cli(house, "teach", "kettle", "--clips", str(house.parent / "low.wav"))
    tone_pack(house.parent / "tones", gain=3.0)

    running = daemon(env=settings(house))

    began_ns = time.time_ns()
    until(lambda: events(running, "kettle", after_ns=began_ns), "an event of it")
    assert "kettle was fitted anew, for tones is another version" in running.stderr


def test_what_was_taught_is_a_pack_and_its_examples_are_a_folder(house: Path, tmp_path: Path) -> None:
    cli(house, "teach", "kettle", "--clips", str(house.parent / "low.wav"))

    assert "a pack of 1 classes" in cli(house, "teach", "export", str(tmp_path / "kettles"))
    found = cli(house, "classify", str(tmp_path / "house.wav"), "--model", str(tmp_path / "kettles"))
    assert "kettle" in found.lower()
    for form, file in (("audiofolder", "sources.csv"), ("label-studio", "tasks.json")):
        assert "1 examples" in cli(house, "teach", "export", str(tmp_path / form), "--as", form)
        assert (tmp_path / form / file).is_file()
        assert len(list((tmp_path / form / "kettle").glob("*.flac"))) == 1
    for form, ending in (("raven", "*.selections.txt"), ("audacity", "*.txt")):
        cli(house, "teach", "export", str(tmp_path / form), "--as", form)
        (label,) = (tmp_path / form / "kettle").glob(ending)
        assert "kettle" in label.read_text()


def test_recordings_of_every_kind_are_learnt_from_and_what_is_none_is_named(house: Path) -> None:
    clips = house.parent / "clips"
    clips.mkdir()
    low = tone(LOW, 0.6)
    for name, rate in (("a.wav", 11_025), ("b.flac", 44_100), ("c.mp3", 48_000)):
        soundfile.write(clips / name, np.interp(np.arange(0, len(low), RATE / rate), np.arange(len(low)), low), rate)
    assert cli(house, "teach", "kettle", "--clips", str(clips)).splitlines()[-1].startswith("kettle: 3 examples")
    assert "shown before" in cli(house, "teach", "kettle", "--clips", str(clips / "b.flac"))
    soundfile.write(clips / "d.wav", np.zeros(RATE), RATE)
    soundfile.write(clips / "e.wav", low[:100], RATE)
    (clips / "f.wav").write_text("no sound")

    done = run_cli("teach", "kettle", "--clips", str(clips), home=house.parent, env=settings(house))

    assert done.returncode == 1
    assert "d.wav is silent" in done.stderr
    assert "e.wav is too short" in done.stderr
    assert "f.wav is no sound" in done.stderr
    assert "3 of 6 recordings were not learnt from" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(cli(house, "teach", "show", "kettle").splitlines()) == 4


def test_what_is_said_last_of_a_sound_counts(house: Path) -> None:
    low = str(house.parent / "low.wav")
    cli(house, "teach", "kettle", "--clips", low)
    refused = run_cli("teach", "kettle", "--not", "--clips", low, home=house.parent, env=settings(house))
    assert refused.returncode == 1
    assert "the only example of what 'kettle' is" in refused.stderr
    soundfile.write(house.parent / "high.wav", tone(HIGH, 0.6), RATE)
    cli(house, "teach", "kettle", "--clips", str(house.parent / "high.wav"))
    assert "1 example, 1 of what it is not" in cli(house, "teach", "kettle", "--not", "--clips", low)
