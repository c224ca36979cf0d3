"""What somebody may do here."""

from enum import IntEnum
from typing import NamedTuple


class Role(IntEnum):
    """What somebody may do here; each role may do what those before it may."""

    LABELS = 1
    """See labels, events and spectra."""
    AUDIO = 2
    """Hear, and be heard: clips, live sound, sending a microphone."""
    ADMIN = 3
    """Everything else: marks, measures of the daemon itself."""


class Caller(NamedTuple):
    """Who comes. scope: what of many sites may be seen, by a name that the gateway has for it; "" for everything."""

    role: Role
    scope: str = ""
