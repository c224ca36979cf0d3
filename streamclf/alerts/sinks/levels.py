"""How loud a stream was, as sensors that Home Assistant finds by itself: values and who they are."""

from collections.abc import Iterator
from typing import Any

import msgspec

from streamclf.features.octaves import BAND_NAMES
from streamclf.types import LoudnessMinute

_SHOWN = {
    "laeq": "LAeq, last minute",
    "lceq": "LCeq, last minute",
    "lzeq": "LZeq, last minute",
    "lafmax": "LAFmax, last minute",
    "lcpeak": "LCpeak, last minute",
    "l10": "LA10, last minute",
    "l50": "LA50, last minute",
    "l90": "LA90, last minute",
}
_UNITS = {"lceq": "dB", "lzeq": "dB", "lcpeak": "dB"}  # those that are not A-weighted; Home Assistant knows no dBC
BANDS = "bands"
"""Published beside the levels; in Home Assistant the attributes of the LAeq's sensor."""


def level_values(minute: LoudnessMinute) -> dict[str, str]:
    """Level -> what is published of it: with the stream's offset where it has one, to a tenth of a decibel.

    `BANDS` is all third octaves, by their middle (Hz), as JSON.
    """
    added = minute.offset_db or 0.0
    bands = {hz: round(value + added, 1) for hz, value in zip(BAND_NAMES, minute.bands, strict=False)}
    return {
        **{name: f"{getattr(minute, name) + added:.1f}" for name in _SHOWN},
        BANDS: msgspec.json.encode(bands).decode(),
    }


def level_sensors(minute: LoudnessMinute) -> Iterator[tuple[str, dict[str, Any]]]:
    """(level, what its announcement says besides topics). Without an offset there is no sound pressure to tell."""
    for name, title in _SHOWN.items():
        unit: dict[str, str] = {"unit_of_measurement": "dBFS"}
        if minute.offset_db is not None:
            unit = {"unit_of_measurement": _UNITS.get(name, "dBA"), "device_class": "sound_pressure"}
        yield name, {"name": title, "state_class": "measurement", **unit}
