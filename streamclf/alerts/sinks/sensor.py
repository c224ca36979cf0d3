"""What a sink that shows states shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sensor:
    """A label on a stream. title: untrusted text for people."""

    stream: str
    label: str
    title: str
