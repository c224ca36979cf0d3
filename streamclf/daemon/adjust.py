"""Thresholds that somebody set from afar, written into the configuration as `streamclf calibrate --apply` does it."""

from datetime import datetime
from pathlib import Path

from streamclf.config.edit import set_thresholds
from streamclf.protocol import wire


def write_thresholds(path: Path, wish: wire.Adjust) -> str:
    """Into the file at `path`; the name of the one that holds what was, "" for none. Raises `ConfigError`."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    table = {"enter": round(wish.enter, 3), "leave": round(wish.leave, 3), "min_on_ms": wish.min_on_ms}
    by_hand = f"write enter = {table['enter']} under [segmentation.{wish.label}] as its owner"
    old = set_thresholds(path, {wish.label: table}, note=f"set on the page, {stamp}", stamp=stamp, otherwise=by_hand)
    return "" if old is None else old.name
