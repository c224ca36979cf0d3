"""What the log says of pages that were refused: enough to let one in, and never more than a few lines a minute."""

import pytest

from streamclf.config import ServerConfig
from streamclf.serve.http.origins import MOST_TOLD, TOLD_S, Origins, normal


def test_the_line_of_configuration_keeps_the_origins_that_are_there() -> None:
    said = Origins(["https://dash.example/"]).to_log(["http://localhost:5173"], 0.0)

    assert 'set origins = ["https://dash.example", "http://localhost:5173"] under [server]' in said
    assert said.endswith("or start with: streamclf run --origin http://localhost:5173")


def test_what_a_shell_would_change_is_quoted() -> None:
    assert Origins([]).to_log(["http://[::1]:3000"], 0.0).endswith("--origin 'http://[::1]:3000'")


def test_an_origin_is_told_once_a_minute() -> None:
    origins = Origins([])

    said = [
        bool(origins.to_log(["http://localhost:3000"], now_s)) for now_s in (0.0, 1.0, TOLD_S - 1, TOLD_S, TOLD_S + 1)
    ]

    assert said == [True, False, False, True, False]


def test_of_many_origins_a_few_are_named_and_all_others_told_once() -> None:
    origins = Origins([])

    said = [line for number in range(5000) if (line := origins.to_log([f"http://site{number}"], number / 1000))]

    assert len(said) == MOST_TOLD + 1
    assert "the others are not named" in said[-1]


@pytest.mark.parametrize(
    "text", ["http://x\x1b[31m", "http://x\nnext line", "<script>", "x" * 10_000, "http://a b", ""]
)
def test_foreign_text_never_reaches_the_log(text: str) -> None:
    said = Origins([]).to_log([text], 0.0)

    assert "no web origin" in said
    assert said.isprintable()
    assert not text or text not in said


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://DASH.example/", "https://dash.example"),
        ("https://dash.example:443", "https://dash.example"),
        ("http://dash.example:80", "http://dash.example"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("app://dash", "app://dash"),
    ],
)
def test_an_origin_is_known_as_people_write_it(written: str, sent: str) -> None:
    ServerConfig(origins=(written,))

    assert Origins([written]).allows(sent)
    assert normal(written) == sent


@pytest.mark.parametrize(
    "text",
    ["", "null", "file://", "file://x", "dash.example", "*", "http://*.dash", "http://a/b", "http://u@h", "http://a?b"],
)
def test_what_is_no_origin_cannot_be_let_in(text: str) -> None:
    with pytest.raises(ValueError, match="is not a web origin that could be let in"):
        ServerConfig(origins=(text,))
