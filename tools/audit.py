"""Is anything in the locks known to be vulnerable? `python -m tools.audit`

Asks a database in OSV's format, and tells it names and versions from the locks. Nothing else here does, CI neither:
what it says depends on the day, and a machine without a network has no answer.

Exit codes: 0 nothing is known; 1 something is; 2 the command line cannot be understood; 75 there was no answer, so
nothing is known about it either way.
"""

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from streamclf.text import clean, public_url
from tools.supply import NAMES, LockedPackage, packages

DATABASE = "https://api.osv.dev"
NO_ANSWER = 75  # EX_TEMPFAIL of sysexits
_AT_ONCE = 500  # packages in a question
_MOST_BYTES = 32 << 20
_TIMEOUT_S = 30.0
_PAGES = 20  # of an answer that comes in parts


class UnansweredError(Exception):
    """The database cannot be reached, or what it says cannot be read."""


def known(database: str, held: Sequence[LockedPackage]) -> list[tuple[LockedPackage, str]]:
    """(package, id of what is known of it), in the order of packages. Raises `UnansweredError`."""
    found: list[tuple[LockedPackage, str]] = []
    waiting = [(package, "") for package in held]
    for _ in range(_PAGES):
        asked, waiting = waiting, []
        for first in range(0, len(asked), _AT_ONCE):
            part = asked[first : first + _AT_ONCE]
            queries = [
                {"package": {"purl": each.purl}, **({"page_token": page} if page else {})} for each, page in part
            ]
            results = _ask(database, "/v1/querybatch", {"queries": queries}).get("results")
            if not isinstance(results, list) or len(results) != len(part):
                raise UnansweredError(f"{public_url(database)} did not answer for each of {len(part)} packages")
            for (package, _page), result in zip(part, results, strict=True):
                found += [(package, clean(str(each["id"]), 60)) for each in (result or {}).get("vulns", [])]
                if token := (result or {}).get("next_page_token"):
                    waiting.append((package, str(token)))
        if not waiting:
            return sorted(found, key=lambda pair: (pair[0].scope != "required", pair[0].purl, pair[1]))
    raise UnansweredError(f"{public_url(database)} does not come to an end of its answer")


def _summary(database: str, name: str) -> str:
    """What it is, in a line; "" where the database does not say."""
    try:
        told = _ask(database, f"/v1/vulns/{urllib.parse.quote(name, safe='')}", None)
    except UnansweredError:
        return ""
    aliases = [str(each) for each in told.get("aliases") or []]
    return clean(
        " ".join([str(told.get("summary") or ""), f"({', '.join(aliases[:3])})" if aliases else ""]).strip(), 160
    )


def _ask(database: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(database.rstrip("/") + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            text = answer.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise UnansweredError(f"{public_url(database)} answered with more than {_MOST_BYTES >> 20} MiB")
        told = json.loads(text)
    except (OSError, urllib.error.URLError, ValueError) as fault:
        raise UnansweredError(f"{public_url(database)} gave no answer that can be read: {fault}") from None
    if not isinstance(told, dict):
        raise UnansweredError(f"{public_url(database)} answered with something else than an object")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and tell. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.audit", description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "--lock", choices=NAMES, default="test", help="what is asked about; default: all that is locked"
    )
    parser.add_argument("--database", default=DATABASE, metavar="URL", help="a database in OSV's format")
    given = parser.parse_args(arguments)
    if not given.database.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        parser.error("--database takes https://…, or http://127.0.0.1:PORT for one of this machine")
    held = packages(given.lock)
    try:
        found = known(given.database, held)
        for package, name in found:
            print(
                f"{package.name} {package.version} ({package.scope}): {name} {_summary(given.database, name)}".rstrip()
            )
    except UnansweredError as fault:
        print(f"tools.audit: error: nothing was checked: {fault}", file=sys.stderr)
        return NO_ANSWER
    print(
        f"{len(found) or 'nothing'} known of {len(held)} packages of the lock {given.lock} and the page",
        file=sys.stderr,
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
