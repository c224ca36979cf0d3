"""One exception tree, and one table of exit codes. Every message is one sentence: what came, what was expected, what
to do.

The command line turns a `StreamclfError` into that sentence on standard error and its `exit_code`; a traceback
is therefore always a fault of ours, never of the user.
"""

import errno
from collections.abc import Mapping
from types import MappingProxyType

from streamclf.text import hide_secrets, one_line

OK = 0
FAILED = 1
USAGE = 2
TEMPORARY = 75
CONFIGURATION = 78
INTERRUPTED = 130

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        OK: "Done.",
        FAILED: "Something failed at run time. Another start may do.",
        USAGE: "The command line itself cannot be understood. No start does before it is changed.",
        TEMPORARY: "What is needed is taken at the moment. Another start will do once it is free.",
        CONFIGURATION: "The configuration cannot be used. No start does before it is changed.",
        INTERRUPTED: "Interrupted by Ctrl-C.",
    }
)
"""What each means. 75 and 78 are those of sysexits.h."""


class StreamclfError(Exception):
    """Base of every error that a user can cause and mend. `exit_code` is the process's exit status."""

    exit_code = FAILED


def sentence(message: str) -> str:
    """`message` as a program tells it: one line, whatever other people's text is in it, and no secret of a URL."""
    return f"streamclf: error: {one_line(hide_secrets(message), None)}"


class UsageError(StreamclfError):
    """The command line itself cannot be understood (exit 2)."""

    exit_code = USAGE


class ConfigError(StreamclfError):
    """A configuration file, a variable, or what they name (rules, tokens, packs) cannot be used (exit 78)."""

    exit_code = CONFIGURATION


class RateError(StreamclfError):
    """A sample rate in which 20 ms is not a whole number of samples."""


class SourceError(StreamclfError):
    """An audio source cannot be opened or read: file, device, pipe, address."""


class AbsentError(SourceError):
    """An audio source is not there now and may come: a device that is not plugged in, an address that does not answer.

    The daemon waits for it.
    """


class PackError(StreamclfError):
    """A model pack cannot be found, read, trusted (hash) or run."""


class ProviderError(StreamclfError):
    """An execution provider was asked for and does not work here."""


class NotServedError(PackError):
    """A server that a pack is to run on does not run it now, and may later: away, too slow, of another version."""


class ServeError(StreamclfError):
    """The server cannot start or a client cannot connect: no such address, bad token."""


class PortTakenError(ServeError):
    """Another program listens on the port, or the address to listen on is not there (exit 75)."""

    exit_code = TEMPORARY


class StoreError(StreamclfError):
    """The event store cannot be opened, read or written: damaged, a full disk."""


class StoreLockedError(StoreError):
    """Another daemon keeps its events in the folder of the event store (exit 75)."""

    exit_code = TEMPORARY


class StorePlaceError(StoreError):
    """The event store cannot be where it should: no folder, not permitted, a newer version (exit 78)."""

    exit_code = CONFIGURATION


class Overrun(StreamclfError):  # noqa: N818 - the field's own word
    """A reader was lapped by the ring's writer. `first_valid` is the oldest sample index still held."""

    def __init__(self, wanted: int, first_valid: int) -> None:
        super().__init__(f"sample {wanted} was overwritten; the oldest one held is {first_valid}")
        self.first_valid = first_valid


class LimitError(StreamclfError):
    """This process may not take as much memory or as many threads as it needs."""

    def __init__(self) -> None:
        super().__init__(
            "this process may not take as much memory or as many threads as it needs; raise its limits (ulimit -v, "
            "ulimit -u, MemoryMax=, TasksMax=), or give it fewer sources and lighter models"
        )

    @classmethod
    def meant_by(cls, fault: BaseException) -> bool:
        """Whether Python, the system's loader or ONNX Runtime said so by `fault`."""
        if isinstance(fault, MemoryError | LimitError):
            return True
        return getattr(fault, "errno", None) == errno.ENOMEM or any(words in str(fault) for words in _NO_ROOM)


class HomelessError(ConfigError):
    """A folder was to be found by the home of a user who has none (exit 78)."""

    def __init__(self) -> None:
        super().__init__(
            "a home folder is needed, and this user has none, or a path begins with ~ and a name that is no user's; "
            "set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_CACHE_HOME, and write whole paths"
        )

    @classmethod
    def meant_by(cls, fault: BaseException) -> bool:
        """Whether Python said so by `fault`."""
        return isinstance(fault, RuntimeError) and "home directory" in str(fault)


# Python's words where no thread can be, the loader's where no library can, what C++ raises, and ONNX Runtime's arena
_NO_ROOM = ("can't start new thread", "failed to map segment", "annot allocate memory", "bad_alloc", "bad array new",
            "BFCArena::AllocateRaw")  # fmt: skip
