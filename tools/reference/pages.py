"""Which page is made by what."""

from collections.abc import Callable
from pathlib import Path

from tools.reference import commands, configuration, exitcodes, http, packs, protocol, rules, tasks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "developers" / "protocol.md": protocol.text,
    DOCS / "developers" / "http.md": http.text,
    DOCS / "figures" / "tasks.md": tasks.text,
    DOCS / "reference" / "commands.md": commands.text,
    DOCS / "reference" / "configuration.md": configuration.text,
    DOCS / "reference" / "exit-codes.md": exitcodes.text,
    DOCS / "reference" / "pack-toml.md": packs.text,
    DOCS / "reference" / "rules.md": rules.text,
}
