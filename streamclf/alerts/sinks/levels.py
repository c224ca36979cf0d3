"""How loud a stream was, as sensors that Home Assistant finds by itself: values and who they are."""

from collections.abc import Iterator
from typing import Any

from streamclf.types import LoudnessMinute

_SHOWN = {
    "laeq": "LAeq, last minute",
    "lafmax": "LAFmax, last minute",
    "lcpeak": "LCpeak, last minute",
    "l10": "LA10, last minute",
    "l50": "LA50, last minute",
    "l90": "LA90, last minute",
}


def level_values(minute: LoudnessMinute) -> dict[str, str]:
    """Level -> what its sensor shows: with the stream's offset where it has one, to a tenth of a decibel."""
    return {name: f"{getattr(minute, name) + (minute.offset_db or 0.0):.1f}" for name in _SHOWN}


def level_sensors(minute: LoudnessMinute) -> Iterator[tuple[str, dict[str, Any]]]:
    """(level, what its announcement says besides topics). Without an offset there is no sound pressure to tell."""
    for name, title in _SHOWN.items():
        unit: dict[str, str] = {"unit_of_measurement": "dBFS"}
        if minute.offset_db is not None:
            unit = {"unit_of_measurement": "dB" if name == "lcpeak" else "dBA", "device_class": "sound_pressure"}
        yield name, {"name": title, "state_class": "measurement", **unit}
