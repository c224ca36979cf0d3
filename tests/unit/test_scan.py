"""What is one file is found without being imported; what another package brings is imported by its entry point."""

import sys
from pathlib import Path

import pytest

from streamclf.errors import ConfigError
from streamclf.scan import declaring, load_brought


def test_a_module_that_declares_is_found_and_not_imported(tmp_path: Path) -> None:
    (tmp_path / "zebra.py").write_text('"""Text."""\n\nKIND: Kind = Kind(\n    name="zebra",\n)\nraise SystemExit\n')
    (tmp_path / "ant.py").write_text("KIND = ant\n")
    (tmp_path / "helper.py").write_text('def f():\n    KIND = 1\nTEXT = "KIND = 2"\n')

    assert list(declaring([str(tmp_path)], "KIND").items()) == [("ant", "ant"), ("zebra", "Kind(")]


def test_an_entry_point_is_imported_and_one_that_cannot_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "toys-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[streamclf.toys]\ngood = toy_that_loads\nbad = toy_that_is_not_there\n")
    (tmp_path / "toy_that_loads.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    load_brought("streamclf.toys", "good")
    assert sys.modules.pop("toy_that_loads").__file__ == str(tmp_path / "toy_that_loads.py")

    load_brought("streamclf.toys", "nobody")
    with pytest.raises(ConfigError, match=r"brings 'bad' to streamclf\.toys does not load: ModuleNotFoundError"):
        load_brought("streamclf.toys")
