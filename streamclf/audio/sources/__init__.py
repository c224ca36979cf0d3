"""Where audio comes from. A new kind is one module here with a `KIND`, or one from elsewhere that is registered."""

from streamclf.audio.sources.base import NoInputDeviceError, Notify, Patient, Pushed, Room, Source, not_there
from streamclf.audio.sources.kind import Option, SourceKind, kinds, register
from streamclf.audio.sources.spec import SourceSpec, name_sources, parse_source, with_loop

__all__ = [
    "NoInputDeviceError",
    "Notify",
    "Option",
    "Patient",
    "Pushed",
    "Room",
    "Source",
    "SourceKind",
    "SourceSpec",
    "kinds",
    "name_sources",
    "not_there",
    "open_source",
    "parse_source",
    "register",
    "with_loop",
]


def open_source(spec: SourceSpec, *, fast: bool = False) -> Source:
    """Make the source that `spec` describes; its `open` finds it. Raises `SourceError` where its library is missing.

    fast: files, finite URLs and pipes run as fast as their reader makes room, in place of real time.
    """
    return spec.declared.make(spec, fast=fast)
