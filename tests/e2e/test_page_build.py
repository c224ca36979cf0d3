"""The page that is committed is what its sources build to, and the page's own tests pass."""

import shutil
from pathlib import Path

import pytest

from tests.support.node import WEB, install_locked, needs_node, npm

_SOURCES = ("index.html", "tsconfig.json", "vite.config.ts")

pytestmark = needs_node


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's sources with what builds them, apart from the ones that somebody may be working on."""
    folder = tmp_path_factory.mktemp("web")
    for name in _SOURCES:
        shutil.copy(WEB / name, folder / name)
    shutil.copytree(WEB / "src", folder / "src")
    install_locked(folder)
    return folder


@pytest.mark.timeout(300)
def test_the_committed_page_is_what_its_sources_build_to(checkout: Path) -> None:
    done = npm(checkout, "run", "build", timeout_s=180)

    assert done.returncode == 0, done.stdout + done.stderr
    built = {file.name: file.read_bytes() for file in (checkout / "dist").iterdir()}
    committed = {file.name: file.read_bytes() for file in (WEB / "dist").iterdir()}
    assert set(built) == set(committed)
    other = [name for name in built if built[name] != committed[name]]
    assert other == [], "run npm ci and npm run build in streamclf/web, and commit dist"


@pytest.mark.timeout(300)
def test_the_pages_own_tests_pass(checkout: Path) -> None:
    done = npm(checkout, "test", timeout_s=180)

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_address_of_a_registry_is_locked() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text()
