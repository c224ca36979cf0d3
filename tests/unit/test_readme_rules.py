"""What the page on alerts says of rules is what a rules file may hold."""

import re
from pathlib import Path

import msgspec

from streamclf.alerts.rules.rulefile import parse_rules
from streamclf.alerts.rules.table import RuleTable
from streamclf.alerts.rules.template import FIELDS

SECTION = (Path(__file__).parents[2] / "docs" / "use" / "alerts.md").read_text("utf-8")


def test_its_example_is_a_good_rules_file() -> None:
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL) if "[[rule]]" in block]
    assert blocks
    for block in blocks:
        file, mistakes = parse_rules(block)
        assert not mistakes, "\n".join(map(str, mistakes))
        assert file.rules


def test_every_key_and_every_field_of_a_message_is_explained() -> None:
    words = set(re.findall(r"`([a-z_]+)[ `=]", SECTION)) | set(re.findall(r"(?m)^([a-z_]+) = ", SECTION))
    keys = {field.name for field in msgspec.structs.fields(RuleTable)}
    assert keys - words == set()
    assert set(FIELDS) - words == set()
