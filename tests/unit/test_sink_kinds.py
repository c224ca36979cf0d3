"""A kind of sink is one file: one from outside the package is taken like those inside it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from streamclf.alerts.alert import Alert
from streamclf.alerts.rules.rulefile import parse_rules
from streamclf.alerts.sinks import Sink, SinkConfig, SinkContext, SinkKind, kinds, open_sink, register
from streamclf.alerts.sinks.kind import GROUP, _kinds
from streamclf.commands.rules import rules
from streamclf.errors import ConfigError
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent
from tests.support.alerts import make_alert, make_event
from tests.support.desk import desk_of

FILE = """\
[sink.bell]
type = "toybell"
tower = "north"

[[rule]]
name = "r"
labels = "*"
"""


class BellConfig(SinkConfig, tag="toybell", frozen=True):
    """Rings."""

    tower: str
    strokes: int = 1


class Bell(Sink):
    rung: list[tuple[str, str]]

    def __init__(self, config: BellConfig) -> None:
        self._config = config
        self.rung = []
        self.seen: list[StoredEvent] = []

    async def send(self, alert: Alert) -> None:
        self.rung += [(self._config.tower, alert.id)] * self._config.strokes

    def heard(self, events: Sequence[StoredEvent]) -> None:
        self.seen += events


BELL = SinkKind(
    BellConfig,
    lambda config, context: Bell(config),
    does="rings in a tower",
    examples={"tower": '"north"'},
    labels=lambda config, told: told[:1],
)


@pytest.fixture
def bell() -> Iterator[SinkKind[BellConfig]]:
    register(BELL)
    yield BELL
    del _kinds()["toybell"]


def problems(text: str) -> list[str]:
    return [str(mistake) for mistake in parse_rules(text)[1]]


def test_a_sink_from_outside_gets_alerts_through_the_outbox(bell: SinkKind[BellConfig], tmp_path: Path) -> None:
    file, mistakes = parse_rules(FILE)
    assert not mistakes
    opened: list[Bell] = []

    def opener() -> Sink:
        sink = open_sink("bell", file.sinks["bell"])
        assert isinstance(sink, Bell)
        opened.append(sink)
        return sink

    async def main(store: Store) -> None:
        async with desk_of(store, bell=opener) as desk:
            desk.put(make_alert(1, sinks=("bell",)), make_alert(2, sinks=("bell",)))
            await desk.until(lambda: desk.states() == ["sent", "sent"])
            desk.dispatcher.heard([make_event()])
            desk.dispatcher.scores({("garden", "blackbird"): 0.5})

    store = Store.open(tmp_path / "store")
    try:
        asyncio.run(main(store))
    finally:
        store.close()
    assert opened[0].rung == [("north", make_alert(1).id), ("north", make_alert(2).id)]
    assert opened[0].seen == [make_event()]


def test_it_is_shown_in_words(bell: SinkKind[BellConfig], tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    said = CliRunner().invoke(rules, ["show", str(path)], standalone_mode=False).output
    assert " ".join(said.splitlines()[-1].split()) == "bell toybell rings in a tower"


def test_mistakes_in_its_table_are_told_with_its_own_examples(bell: SinkKind[BellConfig]) -> None:
    assert problems(FILE.replace("toybell", "toybel")) == [
        "sink.bell.type: 'toybel' is not a kind of sink; did you mean toybell?"
    ]
    assert problems(FILE.replace('tower = "north"\n', "")) == ['sink.bell: has no tower; add tower = "north"']
    assert problems(FILE.replace("north", "n").replace("tower", "towr")) == [
        "sink.bell.towr: unknown key; did you mean tower?"
    ]
    assert problems(FILE.replace('"north"', "3")) == [
        'sink.bell.tower: expected text, got 3; write for example tower = "north"'
    ]


def test_without_it_its_type_is_unknown() -> None:
    (problem,) = problems(FILE)
    assert problem.startswith("sink.bell.type: 'toybell' is not a kind of sink")


PACKAGE = """\
from streamclf.alerts.sinks import Sink, SinkConfig, SinkKind, register

class GongConfig(SinkConfig, tag="toygong", frozen=True):
    pass

class Gong(Sink):
    async def send(self, alert):
        pass

register(SinkKind(GongConfig, lambda config, context: Gong(), does="strikes a gong"))
"""


def installed(folder: Path, module: str, text: str, name: str) -> None:
    """What an installer leaves behind of a package with one entry point."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "toy_gong_package", PACKAGE, "toygong")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert not problems('[sink.g]\ntype = "toygong"\n')
        assert "toygong" in kinds()
    finally:
        _kinds().pop("toygong", None)
        sys.modules.pop("toy_gong_package", None)


def test_a_package_that_does_not_load_is_a_mistake_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "toy_broken_package", "raise RuntimeError('no brass')", "toybroken")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert problems('[sink.g]\ntype = "toybroken"\n') == [
        "sink.g.type: the package that brings 'toybroken' to streamclf.sinks does not load: RuntimeError('no brass'); "
        "mend or remove that package"
    ]


def test_names_are_unique_and_examples_there(bell: SinkKind[BellConfig]) -> None:
    class Other(SinkConfig, tag="webhook", frozen=True):
        pass

    class Bare(SinkConfig, tag="toybare", frozen=True):
        must: str

    def opens(config: SinkConfig, context: SinkContext) -> Sink:
        raise NotImplementedError

    kinds()
    with pytest.raises(ValueError, match="there is a sink 'webhook' already"):
        register(SinkKind(Other, opens, does="x"))
    with pytest.raises(ValueError, match="the key 'must' needs an example"):
        register(SinkKind(Bare, opens, does="x"))
    register(BELL)  # once more is no harm


def toml(name: str, values: Mapping[str, str]) -> str:
    return "\n".join([f'[sink.it]\ntype = "{name}"', *(f"{key} = {value}" for key, value in values.items())])


@pytest.mark.parametrize("name", kinds())
def test_each_kind_is_described_and_its_examples_are_good(name: str) -> None:
    kind = kinds()[name]
    keys = {item.name for item in msgspec.structs.fields(kind.config)}
    assert kind.does
    assert kind.config.__doc__
    assert set(kind.examples) == keys
    assert not problems(toml(name, kind.examples))


def test_a_sink_that_lacks_its_package_says_what_to_install() -> None:
    class FarConfig(SinkConfig, tag="toyfar", frozen=True):
        pass

    def opens(config: FarConfig, context: SinkContext) -> Sink:
        raise NotImplementedError

    register(SinkKind(FarConfig, opens, does="x", needs=("no_such_module",), install="pip install far"))
    try:
        with pytest.raises(ConfigError, match=r"sink\.it needs the package no_such_module; install it with: pip .*far"):
            open_sink("it", FarConfig())
    finally:
        del _kinds()["toyfar"]


def test_reading_rules_imports_no_library_of_a_sink() -> None:
    script = (
        "import sys\n"
        "from streamclf.alerts.rules.rulefile import parse_rules\n"
        """assert not parse_rules('[sink.a]\\ntype = "webhook"\\nurl = "https://example.org"\\n')[1]\n"""
        "print([name for name in ('httpx', 'aiomqtt', 'apprise') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
