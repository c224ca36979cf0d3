"""A bill of materials: `python -m tools.sbom > sbom.json`, CycloneDX 1.6, made from the locks alone.

The same locks give the same bytes: there is no time in it, and its serial number is made of its content.
"""

import argparse
import hashlib
import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamclf import __version__
from tools.supply import NAMES, ROOT, LockedPackage, asked, packages

_MODEL = ROOT / "models" / "default"


def bill(lock: str) -> dict[str, Any]:
    """The whole document. lock: see `tools.supply.NAMES`."""
    held = packages(lock)
    root = f"pkg:pypi/streamclf@{__version__}"
    model = _model()
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "pre-build"}],
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "streamclf",
                "version": __version__,
                "licenses": [{"license": {"id": "MIT"}}],
                "purl": root,
            },
            "properties": [{"name": "streamclf:lock", "value": lock}],
        },
        "components": [model, *map(_component, held)],
        "dependencies": _dependencies(root, model["bom-ref"], held),
        # a lock of Python packages does not say which of them needs which
        "compositions": [{"aggregate": "incomplete", "dependencies": [root]}],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **document}


def _component(package: LockedPackage) -> dict[str, Any]:
    group, _, name = package.name.rpartition("/")
    out: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        **({"group": group} if group else {}),
        "name": name,
        "version": package.version,
        "scope": package.scope,
    }
    # of a package of the page there is one file; of a Python package one for each kind of machine
    if package.system == "npm":
        out["hashes"] = [{"alg": algorithm, "content": digest} for algorithm, digest in package.hashes]
    if package.licence:
        out["licenses"] = [{"expression": package.licence}]
    out["purl"] = package.purl
    properties = [("streamclf:marker", package.marker)] if package.marker else []
    if package.system == "pypi":
        properties += [("streamclf:file:sha256", digest) for _, digest in package.hashes]
    if properties:
        out["properties"] = [{"name": name, "value": value} for name, value in properties]
    return out


def _model() -> dict[str, Any]:
    """The pack that ships: what it hears with is as much a part of it as a library."""
    pack = tomllib.loads((_MODEL / "pack.toml").read_text(encoding="utf-8"))
    digest = hashlib.sha256((_MODEL / "model.onnx").read_bytes()).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{pack['name']}@{pack['version']}",
        "name": f"streamclf-{pack['name']}",
        "version": pack["version"],
        "description": pack["title"],
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"license": {"id": pack["licence"]}}],
    }


def _dependencies(root: str, model: str, held: list[LockedPackage]) -> list[dict[str, Any]]:
    by_name: dict[tuple[str, str], list[str]] = {}
    for package in held:
        by_name.setdefault((package.system, package.name), []).append(package.purl)
    direct = [purl for name in asked() for purl in by_name.get(("pypi", name), [])]
    page = {
        package.purl: sorted(purl for name in package.needs for purl in by_name.get(("npm", name), []))
        for package in held
        if package.needs
    }
    return [{"ref": ref, "dependsOn": on} for ref, on in sorted({root: sorted([model, *direct]), **page}.items())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--lock", choices=NAMES, default="run", help="what it is a bill of; default: the daemon")
    parser.add_argument("--out", type=Path, help="file to write; default standard output")
    given = parser.parse_args(arguments)
    text = json.dumps(bill(given.lock), indent=2, ensure_ascii=False) + "\n"
    if given.out is None:
        sys.stdout.write(text)
    else:
        given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
