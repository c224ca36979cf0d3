"""One exception tree. Every message is one sentence: what came, what was expected, what to do.

The command line turns a `StreamclfError` into that sentence on standard error and its `exit_code`; a traceback
is therefore always a fault of ours, never of the user.
"""

from streamclf.text import hide_secrets, one_line


class StreamclfError(Exception):
    """Base of every error that a user can cause and mend. `exit_code` is the process's exit status."""

    exit_code = 1


def sentence(message: str) -> str:
    """`message` as a program tells it: one line, whatever other people's text is in it, and no secret of a URL."""
    return f"streamclf: error: {one_line(hide_secrets(message), None)}"


class UsageError(StreamclfError):
    """The command line itself cannot be understood (exit 2)."""

    exit_code = 2


class ConfigError(StreamclfError):
    """A configuration file or environment variable cannot be used (exit 78, `EX_CONFIG` of sysexits)."""

    exit_code = 78


class RateError(StreamclfError):
    """A sample rate in which 20 ms is not a whole number of samples."""


class SourceError(StreamclfError):
    """An audio source cannot be opened or read: file, device, pipe, address."""


class PackError(StreamclfError):
    """A model pack cannot be found, read, trusted (hash) or run."""


class ProviderError(StreamclfError):
    """An execution provider was asked for and does not work here."""


class ServeError(StreamclfError):
    """The server cannot start or a client cannot connect: busy port, refused bind, bad token."""


class StoreError(StreamclfError):
    """The event store cannot be opened, read or written: another daemon's, damaged, of a newer version, a full disk."""


class StoreLockedError(StoreError):
    """Another daemon keeps its events in the folder of the event store (exit 75, `EX_TEMPFAIL` of sysexits)."""

    exit_code = 75


class StorePlaceError(StoreError):
    """The event store cannot be where it should: no folder, not permitted, a newer version (exit 78, `EX_CONFIG`)."""

    exit_code = 78


class Overrun(StreamclfError):  # noqa: N818 - the field's own word
    """A reader was lapped by the ring's writer. `first_valid` is the oldest sample index still held."""

    def __init__(self, wanted: int, first_valid: int) -> None:
        super().__init__(f"sample {wanted} was overwritten; the oldest one held is {first_valid}")
        self.first_valid = first_valid
