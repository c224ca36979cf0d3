"""The pack that ships says of itself what is in it."""

import csv
import re

from streamclf.model.library import shipped_models_dir


def test_the_card_gives_the_thresholds_that_ship() -> None:
    folder = shipped_models_dir() / "default"
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    told = {
        name: enters
        for name, *enters in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+) / ([\d.]+) \|", card, re.MULTILINE)
    }
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["hidden"] == "false"]
    assert told == {row["id"]: [row["enter_low"], row["enter_high"]] for row in rows}
    assert {row["enter"] for row in rows} == {""}
