#!/usr/bin/env python
"""Writes docs/reference/checkpoints.md: what becomes of each class that transformers has for classifying and CTC.

    python -m tools.checkpoint_classes [--check]

The classes are those of transformers' own mappings, so a newer transformers may bring some that the page does not know:
a test says which. Its needs are those of the extra `train`.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from transformers.models.auto import modeling_auto

from streamclf.train.families import families
from streamclf.train.families.trained import NO_FRAMES, SPEECH, WHOLE_WINDOWS, arch_of
from streamclf.train.families.unsupported import REFUSED
from tools.reference.markdown import code, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "checkpoints.md"
COMMAND = "python -m tools.checkpoint_classes"
MAPPINGS = {
    "Audio classification": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
    "Audio frame classification": "MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES",
    "CTC": "MODEL_FOR_CTC_MAPPING_NAMES",
    "Voices (XVector)": "MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES",
    "Image classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
"""Heading -> transformers' table of model type to class or classes."""
_ELSEWHERE = "In none of them"


def mapped(heading: str) -> list[str]:
    """The classes of one of transformers' mappings."""
    table: dict[str, str | tuple[str, ...]] = getattr(modeling_auto, MAPPINGS[heading])
    found = [name for entry in table.values() for name in ((entry,) if isinstance(entry, str) else entry)]
    return list(dict.fromkeys(found))


def exportable() -> dict[str, tuple[str, str]]:
    """Class -> what its family is called and what comes out, of those that are exported."""
    return {name: (family.title, family.output) for family in families() for name in family.classes}


def text() -> str:
    """The page."""
    blocks = [
        "# Checkpoints of transformers",
        f"<!-- Made by `{COMMAND}` from transformers' mappings and the code. Change that, not this page. -->",
        "What `streamclf export` makes of each class that transformers has for classifying sounds, frames and images, "
        "for CTC and for voices. A class that is not exported is refused with the sentence that stands here.",
    ]
    known: set[str] = set()
    for heading in MAPPINGS:
        names = mapped(heading)
        known |= set(names)
        blocks += [f"## {heading}", _table(names)]
    blocks += [f"## {_ELSEWHERE}", _table(name for name in exportable() if name not in known)]
    blocks += [
        "## A new head",
        "`streamclf train --from CHECKPOINT --arch ARCH` puts a head for your classes on any class of these, also on "
        "one without a head, such as `Wav2Vec2Model`.",
        table(("`--arch`", "`--mode`", "why not both"), [_trains(kind) for kind in (*SPEECH, *WHOLE_WINDOWS)]),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(names: Iterable[str]) -> str:
    taken = exportable()
    rows = []
    for name in names:
        family, output = taken.get(name, ("", ""))
        rows.append((code(name), family or "refused", output or f"it {REFUSED.get(name, 'is not known here')}"))
    return table(("class", "family", "what comes out, or why nothing does"), rows)


def _trains(kind: str) -> tuple[str, str, str]:
    arch = code(arch_of(kind))
    if kind in WHOLE_WINDOWS:
        return arch, "sequence", "it gives one row a window"
    if kind in NO_FRAMES:
        return arch, "sequence", "transformers has no frame head for it"
    return arch, "sequence, frame", ""


def main() -> int:
    """Write the page, or say whether it is stale."""
    asked = argparse.ArgumentParser(prog=COMMAND, description="Write docs/reference/checkpoints.md.")
    asked.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page is stale")
    check = asked.parse_args().check
    new = text()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == new:
        return 0
    if check:
        print(f"docs/reference/{PAGE.name} is stale; run: {COMMAND}", file=sys.stderr)
        return 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
