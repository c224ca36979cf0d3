import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from streamclf.errors import PackError, UsageError
from streamclf.model.library import Origin, available_packs, find_pack, install, remove, user_models_dir
from streamclf.model.loader import load_pack
from streamclf.model.recipes.birdnet import BIRDNET
from streamclf.model.recipes.everyday import EVERYDAY
from streamclf.model.recipes.recipe import Recipe
from streamclf.text import plain
from tests.support.modelscommand import call, fault, own_folder
from tools.lab.tinypack import stateful_pack, window_row_pack


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_folder(tmp_path, monkeypatch)


def test_the_user_s_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "mine"))
    assert user_models_dir() == tmp_path / "mine"
    monkeypatch.delenv("STREAMCLF_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert user_models_dir() == tmp_path / "data" / "streamclf" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_models_dir() == Path.home() / ".local/share/streamclf/models"


def test_a_folder_is_added_listed_shown_and_removed(tmp_path: Path, folder: Path) -> None:
    source = stateful_pack(tmp_path / "source")

    added = call("add", str(source))
    assert added.exit_code == 0
    assert "licence: MIT" in added.output
    assert f"tiny-stateful 1 added as {folder / 'tiny-stateful'}" in added.output
    assert find_pack("tiny-stateful").digest == load_pack(source).digest
    assert sorted(path.name for path in folder.iterdir()) == ["tiny-stateful"]

    (listed,) = json.loads(call("list", "--json").output)
    assert listed["name"] == "tiny-stateful"
    assert listed["problem"] is None
    assert call("list").output.splitlines()[1].split() == ["tiny-stateful", "1", "stateful", "3", "user", "MIT"]

    shown = call("show", "tiny-stateful").output
    assert "a row every 20 ms from 24 ms of samples" in shown
    assert "loud" in shown

    assert call("remove", "tiny-stateful").exit_code == 0
    assert list(folder.iterdir()) == []
    assert "no packs yet" in call("list").output


def test_adding_the_same_pack_again_says_so_and_changes_nothing(tmp_path: Path) -> None:
    source = stateful_pack(tmp_path / "source")
    install(source)

    again = call("add", str(source))

    assert again.exit_code == 0
    assert "is already in" in again.output
    assert install(source).already


def test_another_pack_of_the_same_name_needs_replace(tmp_path: Path, folder: Path) -> None:
    install(stateful_pack(tmp_path / "one", seed=1))
    old = find_pack("tiny-stateful").digest
    other = stateful_pack(tmp_path / "two", seed=2)

    assert "add --replace" in fault("add", str(other))
    assert find_pack("tiny-stateful").digest == old
    assert call("add", str(other), "--replace").exit_code == 0
    assert find_pack("tiny-stateful").digest == load_pack(other).digest
    assert [path.name for path in folder.iterdir()] == ["tiny-stateful"]


def test_a_damaged_pack_in_place_is_told_and_can_be_replaced(tmp_path: Path, folder: Path) -> None:
    source = stateful_pack(tmp_path / "source")
    install(source)
    (folder / "tiny-stateful" / "model.onnx").write_bytes(b"x")

    (entry,) = available_packs()
    assert "changed or damaged" in (entry.problem or "")
    assert "cannot be used" in call("list").output
    assert "(damaged)" in fault("add", str(source))
    assert not install(source, replace=True).already
    assert find_pack("tiny-stateful")


def test_a_pack_that_is_not_whole_leaves_nothing_behind(tmp_path: Path, folder: Path) -> None:
    source = stateful_pack(tmp_path / "source")
    (source / "model.onnx").write_bytes(b"changed")

    assert "has sha256" in fault("add", str(source))
    assert list(folder.iterdir()) == []


def test_files_that_the_manifest_does_not_name_stay_behind(tmp_path: Path, folder: Path) -> None:
    source = stateful_pack(tmp_path / "source")
    (source / "evil.py").write_text("boom")

    install(source)

    assert not (folder / "tiny-stateful" / "evil.py").exists()


@pytest.mark.parametrize("inner", ["", "pack/"])
def test_an_archive_is_added_from_its_top_or_from_one_folder(tmp_path: Path, inner: str) -> None:
    source = stateful_pack(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, inner + path.name)

    assert call("add", str(tmp_path / "pack.zip")).exit_code == 0
    assert find_pack("tiny-stateful").digest == load_pack(source).digest


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["../up.txt", "/etc/up.txt", "a/b/up.txt", "..", "a\\..\\up.txt", "C:up.txt", ".hidden", "x\x1b[2J", link("link")],
)
def test_an_archive_with_a_dangerous_member_is_refused(
    tmp_path: Path, folder: Path, name: str | zipfile.ZipInfo
) -> None:
    source = stateful_pack(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, path.name)
        archive.writestr(name, "/etc/passwd")

    assert "expected plain files" in fault("add", str(tmp_path / "pack.zip"))
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "up.txt").exists()


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pack.toml", "x")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the central directory's flag
    content[6] |= 1  # and the local one
    path.write_bytes(content)

    assert "cannot be unpacked" in fault("add", str(path))


def test_an_archive_that_swells_is_refused(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack.toml", b"\0" * (2 << 20))

    assert "over 1048576 bytes" in fault("add", str(tmp_path / "bomb.zip"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fill", "what"),
    [
        (lambda archive: [archive.writestr(f"f{n}", "") for n in range(65)], "holds 65 files; at most 64"),
        (lambda archive: [archive.writestr(f"{d}/pack.toml", "") for d in "ab"], "over several folders"),
        (lambda archive: archive.writestr("readme.txt", ""), "pack.toml is missing"),
    ],
)
def test_an_archive_that_is_no_pack_is_refused(
    tmp_path: Path, fill: Callable[[zipfile.ZipFile], object], what: str
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        fill(archive)

    assert what in fault("add", str(tmp_path / "x.zip"))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK not really")

    assert "cannot be unpacked" in fault("add", str(tmp_path / "x.zip"))


def test_a_spec_that_is_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()

    assert "is not there; name a pack's folder, its .zip, or one of birdnet, everyday" in fault(
        "add", "nothing-of-that-name"
    )
    assert "neither a folder nor a .zip" in fault("add", str(tmp_path / "x.txt"))
    result = call("add", str(tmp_path), "--from", "x.whl")
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tiny-statefull", "did you mean tiny-stateful?"),
        ("yamnett", "get yamnet with `streamclf models add yamnet`"),
        ("zzz", "there are: tiny-stateful"),
        ("../escape", "there are: tiny-stateful"),
    ],
)
def test_an_unknown_name_gets_advice(tmp_path: Path, name: str, advice: str) -> None:
    install(stateful_pack(tmp_path / "source"))

    assert advice in fault("remove", name)
    if "/" not in name:
        assert advice in fault("show", name)


def test_remove_never_leaves_the_user_s_folder(tmp_path: Path, folder: Path) -> None:
    victim = stateful_pack(tmp_path / "victim")
    folder.mkdir()
    (folder / "linked").symlink_to(victim)
    for name in ("../victim", "linked", ".", str(victim)):
        with pytest.raises(PackError):
            remove(name)
    assert load_pack(victim)


def test_the_user_s_pack_hides_the_shipped_one_which_cannot_be_removed(tmp_path: Path) -> None:
    shipped = stateful_pack(tmp_path / "shipped" / "tiny-stateful", seed=1)
    assert [entry.origin for entry in available_packs()] == [Origin.SHIPPED]
    assert find_pack("tiny-stateful").path == str(shipped)
    assert "ships with streamclf" in fault("remove", "tiny-stateful")

    mine = install(stateful_pack(tmp_path / "source", seed=2))
    assert [entry.origin for entry in available_packs()] == [Origin.USER]
    assert find_pack("tiny-stateful").digest == mine.pack.digest
    remove("tiny-stateful")
    assert find_pack("tiny-stateful").path == str(shipped)


def test_a_pack_is_found_by_its_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = stateful_pack(tmp_path / "source")
    monkeypatch.chdir(tmp_path)

    assert find_pack(str(source)).path == str(source)
    assert find_pack("./source").manifest.name == "tiny-stateful"
    assert find_pack("source").manifest.name == "tiny-stateful"
    with pytest.raises(PackError, match="is not there"):
        find_pack("./absent")


def test_a_folder_that_is_misnamed_is_told(tmp_path: Path, folder: Path) -> None:
    stateful_pack(folder / "other")

    (entry,) = available_packs()
    assert "holds the pack tiny-stateful" in (entry.problem or "")
    assert "rename the folder" in fault("show", "other")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "file" / "models"))

    assert "set STREAMCLF_MODELS" in fault("add", str(stateful_pack(tmp_path / "source")))


def test_show_tells_the_geometry_in_milliseconds(tmp_path: Path) -> None:
    install(window_row_pack(tmp_path / "source", row_frame=6))

    shown = call("show", "tiny-window-row").output
    facts = json.loads(call("show", "tiny-window-row", "--json").output)

    assert "windows of 200 ms, one row at 120 ms" in shown
    assert "receptive field  200 ms" in shown
    assert (facts["window_ms"], facts["look_ahead_ms"], facts["receptive_field_ms"]) == (200.0, 60.0, 200.0)
    assert facts["labels"][0] == {"id": "loud", "name": "Loud", "group": "level", "enter": None, "hidden": False}


def test_a_recursive_pack_has_no_bounded_receptive_field(tmp_path: Path) -> None:
    source = stateful_pack(tmp_path / "source")

    assert "all of the past" in call("show", str(source), "--no-labels").output
    assert json.loads(call("show", str(source), "--json").output)["receptive_field_ms"] is None


def test_other_people_s_text_cannot_steer_the_terminal() -> None:
    assert plain("bird \x1b[2J\u202e\n") == "bird \\x1b[2J\\u202e\\n"
    assert plain("Vögel 鳥") == "Vögel 鳥"


def test_what_a_killed_run_left_behind_goes_a_day_later(tmp_path: Path, folder: Path) -> None:
    left, under_way = folder / ".adding-left", folder / ".adding-now"
    for one in (left, under_way):
        one.mkdir(parents=True)
        (one / "model.onnx").write_bytes(b"half of it")
    day_ago = left.stat().st_mtime - 25 * 3600
    os.utime(left, (day_ago, day_ago))

    assert call("add", str(stateful_pack(tmp_path / "source"))).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [".adding-now", "tiny-stateful"]


def _of_recipe(folder: Path, recipe: Recipe, version: str, **other: str) -> None:
    """A pack that says the recipe has made it in that version."""
    path = stateful_pack(folder / recipe.name) / "pack.toml"
    manifest = path.read_text()
    for key, value in {"name": recipe.name, "title": recipe.title, "version": version, **other}.items():
        manifest = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', manifest, count=1, flags=re.MULTILINE)
    path.write_text(manifest)


@pytest.mark.parametrize(
    ("recipe", "version", "newest", "command"),
    [
        (EVERYDAY, "3", EVERYDAY.version, "streamclf models add everyday --replace"),
        (BIRDNET, "2.4-1", BIRDNET.version, f"streamclf models add birdnet --accept {BIRDNET.accept} --replace"),
        (
            BIRDNET,
            "2.4-1-de",
            BIRDNET.languages["de"].version,
            f"streamclf models add birdnet --accept {BIRDNET.accept} --language de --replace",
        ),
    ],
)
def test_a_pack_of_which_the_recipe_makes_a_newer_version_is_told(
    folder: Path, recipe: Recipe, version: str, newest: str, command: str
) -> None:
    _of_recipe(folder, recipe, version)

    assert f"{recipe.name} {newest} can be had: `{command}`" in call("list").output
    assert json.loads(call("list", "--json").stdout)[0]["newer"] == newest
    assert f"\nnewer            {newest}, by `{command}`\n" in call("show", recipe.name, "--no-labels").output


@pytest.mark.parametrize(
    "said",
    [
        {"version": EVERYDAY.version},
        {"version": "99"},
        {"version": "3", "title": "My own"},
        {"version": "mine-3"},
        {"version": ""},
    ],
)
def test_a_pack_that_is_the_newest_or_no_recipe_s_is_left_alone(folder: Path, said: dict[str, str]) -> None:
    _of_recipe(folder, EVERYDAY, **said)

    assert "can be had" not in call("list").output
    assert json.loads(call("list", "--json").stdout)[0]["newer"] is None
    assert "newer" not in call("show", "everyday", "--no-labels").output
