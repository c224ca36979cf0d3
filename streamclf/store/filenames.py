"""File names out of other people's text: no label or stream name can leave its folder or mean anything to a shell."""

import hashlib
import re
from pathlib import Path

_LONGEST = 40


def safe_name(text: str) -> str:
    """ASCII letters, digits, `_` and `-`, at most 49 of them; different texts give different names."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:_LONGEST].strip("-")
    if safe and safe == text:
        return safe
    return f"{safe or '_'}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def make_below(folder: Path, *names: str) -> Path:
    """Folders in each other, mode 0700, below one that has to be there: where a disk was unmounted, nothing is made."""
    for name in names:
        folder /= name
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder
