"""The two public model packs that tests run, made once by the real `streamclf models add` and kept under `.run/`.

As a command (`python -m tests.support.packs`) it makes them and prints their folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("silero-vad", "yamnet")
REPOSITORY = Path(__file__).resolve().parents[2]
_MAKING_S = 600


class PacksUnavailableError(Exception):
    """The packs cannot be had here, through no fault of the code: there is no package registry in reach."""


def ensure_packs() -> Path:
    """A folder with every pack of `NAMES`. Raises `PacksUnavailableError`, or `RuntimeError` where `models add` fails.

    `STREAMCLF_TEST_PACKS` names one to use instead, if it is complete.
    """
    given = os.environ.get("STREAMCLF_TEST_PACKS")
    if given and _complete(Path(given)):
        return Path(given).resolve()
    folder = REPOSITORY / ".run" / f"packs-{_recipes_key()}"
    if not _complete(folder):
        _make(folder)
    return folder


def _complete(folder: Path) -> bool:
    return all((folder / name / "pack.toml").is_file() for name in NAMES)


def _recipes_key() -> str:
    """Changes with the code that writes packs, so that a cached pack is never older than its recipe."""
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "streamclf" / "model").rglob("*.py")):
        if path.name != "session.py":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _make(folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as making:
        packs = Path(making) / "models"
        packs.mkdir()
        for name in NAMES:
            done = _run([sys.executable, "-m", "streamclf", "models", "add", name], {"STREAMCLF_MODELS": str(packs)})
            if done.returncode:
                if not registry_answers(Path(making)):
                    raise PacksUnavailableError("no package registry in reach, and the model packs come from there")
                raise RuntimeError(f"`streamclf models add {name}` failed: {done.stderr.strip()}")
        if not _complete(packs):
            raise RuntimeError(f"`streamclf models add` wrote no complete pack: {sorted(packs.rglob('*'))}")
        shutil.rmtree(folder, ignore_errors=True)
        packs.rename(folder)


def registry_answers(scratch: Path) -> bool:
    """Whether pip gets a small package. scratch: a folder for it."""
    probe = [sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--dest", str(scratch)]
    return _run([*probe, "packaging"], {}).returncode == 0


def _run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MAKING_S,
        check=False,
    )


if __name__ == "__main__":
    try:
        print(ensure_packs())
    except (PacksUnavailableError, RuntimeError) as error:
        sys.exit(f"error: {error}")
