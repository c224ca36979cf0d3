"""The command: see the package."""

import argparse
import sys
from collections.abc import Sequence

from tools.reference.pages import DOCS, PAGES

COMMAND = "python -m tools.reference"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the reference in docs/ from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page is stale")
    check = parser.parse_args(arguments).check
    stale = 0
    for path, text in PAGES.items():
        new = text()
        if path.is_file() and path.read_text(encoding="utf-8") == new:
            continue
        stale += 1
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8")
        print(f"docs/{path.relative_to(DOCS)} is {'stale' if check else 'new'}")
    if check and stale:
        print(f"run: {COMMAND}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
