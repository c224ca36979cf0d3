"""Node, what the page's lock installs, and the JavaScript client that is built with it, in a folder of a test."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "streamclf" / "web"
JS = ROOT / "streamclf" / "client" / "js"
INSTALL_S = 60


def node_version() -> tuple[int, int]:
    """(0, 0) where there is no node."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0, 0
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.match(r"v(\d+)\.(\d+)", said).groups()  # type: ignore[union-attr]
    return int(major), int(minor)


# from 22 on there is a WebSocket without being asked for
WEBSOCKET = () if node_version() >= (22, 0) else ("--experimental-websocket",)
needs_node = pytest.mark.skipif(node_version() < (20, 19), reason="no node of 20.19 or above with npm here")


def npm(folder: Path, *args: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Runs `npm ARGS` in `folder`."""
    return run_node("npm", *args, folder=folder, timeout_s=timeout_s)


def run_node(
    *command: str, folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program of node's without colours, with `env` besides our own environment."""
    quiet = {"NO_COLOR": "1", "CI": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **quiet, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def install_locked(folder: Path) -> None:
    """`folder` gets the page's package.json, its lock, and what that locks. Skips where there is no registry."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WEB / name, folder / name)
    if _installed_as_locked():
        (folder / "node_modules").symlink_to(WEB / "node_modules")
        return
    try:
        installed = npm(folder, "ci", "--prefer-offline", "--no-audit", "--no-fund", timeout_s=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm ci took more than {INSTALL_S} s; is there a network?")
    if installed.returncode != 0:
        if re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|E40[134]", installed.stderr):
            pytest.skip("npm ci found no registry")
        raise AssertionError(installed.stderr)


def build_client(folder: Path) -> Path:
    """The JavaScript client in `folder`/js, built with the compiler that the page's lock names; returns that folder."""
    install_locked(folder)
    shutil.copytree(JS, folder / "js", ignore=shutil.ignore_patterns("dist", "node_modules"))
    done = tsc(folder, "-p", "js")
    assert done == "", done
    return folder / "js"


def tsc(folder: Path, *args: str) -> str:
    """What the compiler that was installed in `folder` complains of."""
    program = str(folder / "node_modules" / ".bin" / "tsc")
    done = run_node(program, *args, folder=folder, timeout_s=180)
    return done.stdout + done.stderr


def _installed_as_locked() -> bool:
    """Whether who works on the page has installed exactly what is locked, so that it need not be done again here."""
    try:
        present = json.loads((WEB / "node_modules" / ".package-lock.json").read_bytes())["packages"]
    except FileNotFoundError:
        return False
    locked = json.loads((WEB / "package-lock.json").read_bytes())["packages"]
    return all(locked.get(name, {}).get("version") == package["version"] for name, package in present.items())
