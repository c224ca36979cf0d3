"""One home with one daemon for all tasks that can share it, and a new home for each of the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, new_home

CONFIG = """\
[scores]
enabled = true

[clips]
enabled = true
visit_ms = 0

# the recording holds crickets as well, which come and go at the edge of what is told
[segmentation.insect]
enter = 1.0
"""
"""What the tasks that share a daemon write into its configuration, all of it."""


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose daemon hears a recording of birds again and again."""
    home = new_home(tmp_path_factory.mktemp("garden"))
    home.put("~/.config/streamclf/config.toml", CONFIG)
    home.put("~/.config/streamclf/rules.toml", "")
    home.start("streamclf run --source file:garden.flac --loop")
    yield home
    home.leave()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = new_home(tmp_path / "home")
    yield made
    made.leave()
