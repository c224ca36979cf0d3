"""The page that is committed is what its sources build to, and the page's own tests pass."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "streamclf" / "serve" / "web"
INSTALL_S = 60
_SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


def node_version() -> tuple[int, int]:
    """(0, 0) where there is no node."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0, 0
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.match(r"v(\d+)\.(\d+)", said).groups()  # type: ignore[union-attr]
    return int(major), int(minor)


pytestmark = pytest.mark.skipif(node_version() < (20, 19), reason="no node of 20.19 or above with npm here")


def npm(folder: Path, *args: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    quiet: Mapping[str, str] = {"NO_COLOR": "1", "CI": "1"}
    return subprocess.run(
        ["npm", *args], cwd=folder, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=timeout_s
    )


def installed_as_locked() -> bool:
    """Whether who works on the page has installed exactly what is locked, so that it need not be done again here."""
    try:
        present = json.loads((WEB / "node_modules" / ".package-lock.json").read_bytes())["packages"]
    except FileNotFoundError:
        return False
    locked = json.loads((WEB / "package-lock.json").read_bytes())["packages"]
    return all(locked.get(name, {}).get("version") == package["version"] for name, package in present.items())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's sources with what builds them, apart from the ones that somebody may be working on."""
    folder = tmp_path_factory.mktemp("web")
    for name in _SOURCES:
        shutil.copy(WEB / name, folder / name)
    shutil.copytree(WEB / "src", folder / "src")
    if installed_as_locked():
        (folder / "node_modules").symlink_to(WEB / "node_modules")
        return folder
    try:
        installed = npm(folder, "ci", "--prefer-offline", "--no-audit", "--no-fund", timeout_s=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm ci took more than {INSTALL_S} s; is there a network?")
    if installed.returncode != 0:
        if re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|E40[134]", installed.stderr):
            pytest.skip("npm ci found no registry")
        raise AssertionError(installed.stderr)
    return folder


@pytest.mark.timeout(300)
def test_the_committed_page_is_what_its_sources_build_to(checkout: Path) -> None:
    done = npm(checkout, "run", "build", timeout_s=180)

    assert done.returncode == 0, done.stdout + done.stderr
    built = {file.name: file.read_bytes() for file in (checkout / "dist").iterdir()}
    committed = {file.name: file.read_bytes() for file in (WEB / "dist").iterdir()}
    assert set(built) == set(committed)
    other = [name for name in built if built[name] != committed[name]]
    assert other == [], "run npm ci and npm run build in streamclf/serve/web, and commit dist"


@pytest.mark.timeout(300)
def test_the_pages_own_tests_pass(checkout: Path) -> None:
    done = npm(checkout, "test", timeout_s=180)

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_address_of_a_registry_is_locked() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text()
