"""Where audio comes from. A kind's library is imported when a source of that kind is made, not before."""

from streamclf.audio.sources.base import NoInputDeviceError, Notify, Room, Source
from streamclf.audio.sources.spec import SourceSpec, name_sources, parse_source

__all__ = [
    "NoInputDeviceError",
    "Notify",
    "Room",
    "Source",
    "SourceSpec",
    "name_sources",
    "open_source",
    "parse_source",
]


def open_source(spec: SourceSpec, *, fast: bool = False) -> Source:
    """Make the source that `spec` describes; its `open` finds it. Raises `SourceError` where its library is missing.

    fast: files, finite URLs and pipes run as fast as their reader makes room, in place of real time.
    """
    if spec.kind == "device":
        from streamclf.audio.sources.device import DeviceSource

        return DeviceSource(spec)
    if spec.kind == "file":
        from streamclf.audio.sources.file import FileSource

        return FileSource(spec, fast=fast)
    if spec.kind == "demo":
        from streamclf.audio.sources.demo import DemoSource

        return DemoSource(spec, fast=fast)
    if spec.kind == "pipe":
        from streamclf.audio.sources.pipe import PipeSource

        return PipeSource(spec, fast=fast)
    if spec.kind == "url":
        from streamclf.audio.sources.url import UrlSource

        return UrlSource(spec, fast=fast)
    if spec.kind == "push":
        from streamclf.audio.sources.push import PushSource

        return PushSource(spec)
    raise ValueError(f"unknown kind of source: {spec.kind}")
