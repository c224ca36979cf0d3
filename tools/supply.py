"""What this project is made of that others wrote, as the locks state it: Python packages, and what builds the page."""

import base64
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "tools" / "locks"
PAGE_LOCK = ROOT / "streamclf" / "web" / "package-lock.json"
NAMES = ("run", "unit", "test", "build", "uv")
"""Locks: what the daemon runs with; what the small and the whole suite need; what builds it; what locks it."""
RUNTIMES = ("cpu", "gpu")
"""Locks of the two builds of ONNX Runtime, of which each of the first three of `NAMES` takes one."""


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One version of one package of others.

    scope: `required` by the daemon, `optional` with an extra, or `excluded` from what is run: it builds or tests it.
    hashes: (algorithm as CycloneDX names it, hexadecimal digits), one for each of its files. marker: where it is
    installed at all, "" for everywhere. needs: names of packages of the page that it uses itself.
    """

    system: str
    name: str
    version: str
    scope: str
    hashes: tuple[tuple[str, str], ...]
    marker: str = ""
    licence: str = ""
    needs: tuple[str, ...] = field(default=())

    @property
    def purl(self) -> str:
        """Its name for everybody: a package URL."""
        return f"pkg:{self.system}/{quote(self.name, safe='/')}@{quote(self.version, safe='')}"


def packages(lock: str) -> list[LockedPackage]:
    """All that `lock` and the page's lock name, by package URL. lock: one of `NAMES`."""
    found = {package.purl: package for package in (*_python(lock), *_page())}
    return [found[purl] for purl in sorted(found)]


def project() -> dict[str, object]:
    """The table `project` of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def asked(*extras: str) -> set[str]:
    """Names of the packages that pyproject.toml asks for itself: of no extra, those that every installation has."""
    table = project()
    optional = table["optional-dependencies"]
    assert isinstance(optional, dict)
    texts = [text for extra in extras for text in optional[extra]] if extras else table["dependencies"]
    assert isinstance(texts, list)
    return {str(canonicalize_name(Requirement(text).name)) for text in texts} - {"streamclf"}


def _python(lock: str) -> Iterator[LockedPackage]:
    run = {item.name for item, _ in _pins("run")}
    extras = asked("url", "parquet", "alerts", "picture", "wyoming", "nats", "postgres", "train")
    markers: dict[tuple[str, str], list[str]] = {}
    hashes: dict[tuple[str, str], tuple[str, ...]] = {}
    for item, sums in _pins(lock):
        (pin,) = item.specifier
        key = canonicalize_name(item.name), pin.version
        markers.setdefault(key, []).append(str(item.marker or ""))
        hashes[key] = sums
    if lock == "test":  # pinned by its version alone: its builds for CPU and CUDA bear one version
        found = re.search(r"torch==([\d.]+)", (ROOT / "tools" / "lib.sh").read_text(encoding="utf-8"))
        assert found, "tools/lib.sh pins no torch"
        markers["torch", found[1]], hashes["torch", found[1]] = [""], ()
    for (name, version), where in markers.items():
        scope = "required" if name in run and lock in NAMES[:3] else "optional" if name in extras else "excluded"
        marker = "" if "" in where else " or ".join(sorted(where))
        yield LockedPackage(
            "pypi", name, version, scope, tuple(("SHA-256", each) for each in hashes[name, version]), marker
        )


def _pins(lock: str) -> Iterator[tuple[Requirement, tuple[str, ...]]]:
    if lock in NAMES[:3]:
        for runtime in RUNTIMES:
            yield from _pins(runtime)
    text = (LOCKS / f"{lock}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pin, *sums = line.split(" --hash=sha256:")
            yield Requirement(pin), tuple(sorted(each.strip() for each in sums))


def _page() -> Iterator[LockedPackage]:
    found = json.loads(PAGE_LOCK.read_text(encoding="utf-8"))["packages"]
    for path, entry in found.items():
        if not path:  # the page itself
            continue
        needs = {**entry.get("dependencies", {}), **entry.get("optionalDependencies", {})}
        yield LockedPackage(
            "npm",
            path.rpartition("node_modules/")[2],
            entry["version"],
            "excluded" if entry.get("dev") else "required",
            tuple(_sum(text) for text in entry.get("integrity", "").split()),
            licence=entry.get("license", ""),
            needs=tuple(sorted(needs)),
        )


def _sum(text: str) -> tuple[str, str]:
    """`sha512-…` in base 64, as CycloneDX writes it."""
    algorithm, _, digest = text.partition("-")
    return f"SHA-{algorithm.removeprefix('sha')}", base64.b64decode(digest).hex()
