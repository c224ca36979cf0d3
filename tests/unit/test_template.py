"""Messages: fields and formats, one plain line, and no way out of them."""

from datetime import datetime
from typing import Any

import pytest

from streamclf.alerts.template import FIELDS, MESSAGE_LIMIT, Template

VALUES: dict[str, Any] = {
    **{field: "" for field, kind in FIELDS.items() if kind is str},
    "label": "robin",
    "stream": "garden",
    "peak": 0.914,
    "mean": 0.5,
    "level": -41.26,
    "duration": 2.5,
    "count": 3,
    "time": datetime(2025, 5, 1, 5, 40, 7),
    "at": datetime(2025, 5, 1, 5, 41),
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{label} {peak}", "robin 0.91"),
        ("{peak:.0%}|{peak:.3f}|{peak:6.1f}", "91%|0.914| 0.9"),
        ("{count} {count:03d}", "3 003"),
        ("{time} {time:%H:%M, %d.%m.%Y}", "05:40:07 05:40, 01.05.2025"),
        ("{level:.1f} dBFS", "-41.3 dBFS"),
        ("[{label:>7}] [{label:.3}]", "[ robin] [rob]"),
        ("{{label}} is {label}", "{label} is robin"),
    ],
)
def test_fields_are_filled_in(text: str, message: str) -> None:
    assert Template.parse(text).render(VALUES) == message


def test_every_field_has_a_form_without_a_format() -> None:
    Template.parse(" ".join(f"{{{field}}}" for field in FIELDS)).render(VALUES)


def test_what_is_not_known_says_so() -> None:
    assert Template.parse("{level:.1f}").render({**VALUES, "level": None}) == "unknown"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\nb\r\nc", "a b c"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u2028b\u202ec\u200bd", "a b c d"),
        ("$(touch x) `id` <b>&</b>", "$(touch x) `id` <b>&</b>"),
        ("{peak} {label.__class__}", "{peak} {label.__class__}"),
        ("Grünspecht 🐦", "Grünspecht 🐦"),
    ],
)
def test_a_value_stays_one_line_of_text(value: str, message: str) -> None:
    assert Template.parse("{label}").render({**VALUES, "label": value}) == message


def test_a_long_message_is_cut_off() -> None:
    message = Template.parse("{label}!").render({**VALUES, "label": "x" * 10_000})
    assert message == "x" * (MESSAGE_LIMIT - 1) + "…"


@pytest.mark.parametrize(
    "text",
    [
        "{label.__class__}",
        "{label[0]}",
        "{label!r}",
        "{0}",
        "{}",
        "{lable}",
        "{peak:{count}}",
        "{peak:1000000f}",
        "{peak:.99f}",
        "{peak:e}",
        "{label:99999}",
        "{count:x}",
        "{time:%s}",
        "{time:%c}",
        "{",
        "}",
    ],
)
def test_what_is_no_field_with_a_simple_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="; "):
        Template.parse(text)
