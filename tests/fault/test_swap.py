"""A pack takes the place of another, and the process is killed before each step in turn: one of the two is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamclf.errors import PackError
from streamclf.model import swap
from streamclf.model.library import available_packs, find_pack, install
from streamclf.model.loader import load_pack
from tools.lab.daemon import clean_env
from tools.lab.tinypack import stateful_pack

# what changes a folder, counted; the process is gone before the n-th of them, with nothing cleaned up
KILLED = """
import os, sys
from pathlib import Path

left = int(sys.argv[1])

def dying(method):
    def called(*args, **named):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return method(*args, **named)
    return called

def die_from_here():
    for name in ("rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
"""
ADD = """
from streamclf.model import library
real = library.place

def place(making, **wishes):
    die_from_here()
    return real(making, **wishes)

library.place = place
library.install(Path(sys.argv[2]), replace=True)
"""
EXPORT = """
import shutil
from streamclf.train.export.packing import _place
making = Path(sys.argv[3]).with_name(".made")
shutil.copytree(sys.argv[2], making)
die_from_here()
_place(making, Path(sys.argv[3]), replace=True)
"""
STEPS = 12
"""More than there are: two renames, and the removal of a handful of files."""


def run(script: str, step: int, *args: Path, home: Path) -> int:
    return subprocess.run(
        [sys.executable, "-c", KILLED + script, str(step), *map(str, args)],
        env=clean_env(home, {"STREAMCLF_MODELS": str(home / "models"), "PYTHONPATH": os.pathsep.join(sys.path)}),
        capture_output=True,
        check=False,
        timeout=120,
    ).returncode


@pytest.mark.parametrize("script", [ADD, EXPORT], ids=["models add", "export"])
def test_whenever_it_is_killed_the_old_pack_or_the_new_one_is_whole(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is EXPORT:
        pytest.importorskip("torch", reason="the extra `train` is not installed")
    old = load_pack(stateful_pack(tmp_path / "old", name="own", seed=1)).digest
    new = load_pack(stateful_pack(tmp_path / "new", name="own", seed=2)).digest
    seen: list[tuple[int, str]] = []
    for step in range(STEPS):
        home = tmp_path / str(step)
        monkeypatch.setenv("STREAMCLF_MODELS", str(home / "models"))
        install(tmp_path / "old")

        code = run(script, step, tmp_path / "new", home / "models" / "own", home=home)

        found = find_pack("own").digest
        seen.append((code, "old" if found == old else "new" if found == new else found))
        assert [entry.problem for entry in available_packs() if entry.name == "own"] == [None]
        install(tmp_path / "new", replace=True)
        assert find_pack("own").digest == new
        assert not list((home / "models").glob(".*.old")), "what was left aside is gone"
        if code == 0:
            break
    ends = [which for _, which in seen]
    assert [code for code, _ in seen] == [9] * (len(seen) - 1) + [0], seen
    assert ends == ["old"] * ends.count("old") + ["new"] * ends.count("new")
    assert ends.count("old") >= 2, "it was never killed between the two renames"


def test_a_pack_by_its_path_is_recovered_too(tmp_path: Path) -> None:
    where = stateful_pack(tmp_path / "own", name="own")
    where.rename(tmp_path / ".own.old")

    assert find_pack(str(where)).manifest.name == "own"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_what_cannot_take_the_place_leaves_the_old_one_there(tmp_path: Path) -> None:
    where = stateful_pack(tmp_path / "own", name="own")

    with pytest.raises(OSError, match="No such file"):
        swap.put(tmp_path / "nowhere", where)
    assert load_pack(where).manifest.name == "own"


def test_a_link_in_its_place_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    kept = stateful_pack(tmp_path / "kept", name="own", seed=1)
    (tmp_path / "own").symlink_to(kept)
    swap.put(stateful_pack(tmp_path / "made", name="own", seed=2), tmp_path / "own")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "own"]
    assert load_pack(kept).digest != load_pack(tmp_path / "own").digest


def test_nothing_is_mended_where_nothing_is_aside(tmp_path: Path) -> None:
    swap.recover(tmp_path / "absent" / "own")

    with pytest.raises(PackError):
        find_pack(str(tmp_path / "absent" / "own"))
