"""The pack that ships says of itself what is in it."""

import csv
import re

from streamclf.model.library import shipped_models_dir


def test_the_card_gives_the_thresholds_that_ship() -> None:
    folder = shipped_models_dir() / "default"
    _, _, behind = (folder / "CARD.md").read_text(encoding="utf-8").partition("<!-- thresholds -->")
    table, end, _ = behind.partition("<!-- end of thresholds -->")
    told = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+) \|", table, re.MULTILINE))
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        assert told == {row["id"]: row["enter"] for row in csv.DictReader(file)}
    assert end
