"""A new sink, source, family or command is one new file in the package: nothing that is there is touched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tools.lab.daemon import clean_env, free_port

pytestmark = pytest.mark.e2e

SINK = '''\
"""A bell in a tower."""

from pathlib import Path

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.config import SinkConfig, Text
from streamclf.alerts.sinks.kind import SinkKind
from streamclf.alerts.sinks.sink import Sink


class BellConfig(SinkConfig, tag="bell", frozen=True):
    """Rings."""

    tower: Text
    """The file that says so."""


class Bell(Sink):
    """Rings it."""

    def __init__(self, config: BellConfig) -> None:
        self._tower = Path(config.tower)

    async def send(self, alert: Alert) -> None:
        """See `Sink`."""
        self._tower.write_text(alert.rule, encoding="utf-8")


KIND = SinkKind(
    BellConfig, lambda config, context: Bell(config), does="rings in a tower", examples={"tower": '"north"'}
)
'''
SOURCE = '''\
"""A second of noise."""

import time

import numpy as np

from streamclf.audio.sources.base import Feeder, Intake
from streamclf.audio.sources.kind import SourceKind
from streamclf.types import StreamState


class HissSource(Feeder):
    """Noise, and no more."""

    def open(self) -> None:
        """Nothing has to be found."""
        self.rate, self.channels, self.description = 16_000, 1, "a second of noise"

    def _feed(self, intake: Intake) -> str:
        intake.begin(time.time_ns())
        intake.notify(StreamState.LIVE, self.description)
        self._give(intake, np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
        return "it has hissed"


KIND = SourceKind(
    name="hiss", usage="hiss", summary="a second of noise", example="hiss", make=HissSource, recorded=True
)
'''
FAMILY = '''\
"""A toy."""

from streamclf.train.families.family import Family, Plan, Wishes
from streamclf.train.pretrained import Checkpoint


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """There is none."""
    raise NotImplementedError


FAMILY = Family(title="toy", output="one row a window", classes=("ToyForAudioClassification",), plan=plan)
'''
COMMAND = '''\
"""`streamclf hello`."""

import click

HELP = "Say hello."


@click.command(help=HELP)
@click.argument("name")
def hello(name: str) -> None:
    """Say hello to NAME."""
    click.echo(f"hello, {name}")
'''
RULES = """\
[sink.tower]
type = "bell"
tower = "{folder}/rung"

[[rule]]
name = "birds"
labels = ["group:bird"]
sinks = ["tower"]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, for a file more."""
    shutil.copytree(
        ROOT / "streamclf", tmp_path / "streamclf", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    shutil.copytree(ROOT / "models" / "default", tmp_path / "models" / "default")
    return tmp_path


def say(house: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamclf", *words],
        cwd=house, env=clean_env(house, {"PYTHONPATH": str(house)}), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_command(house: Path) -> None:
    (house / "streamclf/commands/hello.py").write_text(COMMAND, encoding="utf-8")
    assert "Say hello." in say(house, "--help")
    assert say(house, "hello", "world") == "hello, world\n"


def test_a_kind_of_source(house: Path) -> None:
    (house / "streamclf/audio/sources/hiss.py").write_text(SOURCE, encoding="utf-8")
    assert "a second of noise" in say(house, "run", "--help")
    said = say(house, "run", "--source", "hiss", "--fast", "--until-end", "--no-store", "--port", str(free_port()))
    assert "ended: it has hissed" in said


def test_a_kind_of_sink(house: Path) -> None:
    (house / "streamclf/alerts/sinks/bell.py").write_text(SINK, encoding="utf-8")
    (house / "rules.toml").write_text(RULES.format(folder=house), encoding="utf-8")
    (house / "wrong.toml").write_text('[sink.tower]\ntype = "bell"\ntowr = "north"\n', encoding="utf-8")
    assert "rings in a tower" in say(house, "rules", "show", "rules.toml")
    assert "sink.tower.towr: unknown key; did you mean tower?" in say(house, "rules", "check", "wrong.toml", code=78)
    birds = ROOT / "streamclf/audio/demo/birds_10s.flac"
    said = say(
        house, "run", "--source", f"file:{birds}", "--fast", "--until-end", "--rules", "rules.toml", "--model",
        "default", "--port", str(free_port()),
    )  # fmt: skip
    assert (house / "rung").read_text("utf-8") == "birds", said


def test_a_family_of_checkpoints(house: Path) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    (house / "streamclf/train/families/toy.py").write_text(FAMILY, encoding="utf-8")
    assert "ToyForAudioClassification" in say(house, "export", "--families")
