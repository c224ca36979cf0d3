"""Real file systems, mounted for a test: root alone can do that."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def run(*command: str | Path) -> str:
    """What an administrator would type; skips the test, with what it said, where that cannot be done here."""
    if os.geteuid() != 0 or shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} needs root, or is absent")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command))} cannot be done here: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def mounted(place: Path, *what: str | Path) -> Iterator[None]:
    """`mount WHAT PLACE`, until the end of the block."""
    place.mkdir(exist_ok=True)
    run("mount", *what, place)
    try:
        yield
    finally:
        # a test may have unmounted it itself
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
