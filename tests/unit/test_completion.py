"""The shell completes commands and options, in the three shells that the documents name."""

import subprocess
import sys

import pytest
from click.shell_completion import get_completion_class

from streamclf.cli import cli
from tests.support.documents import ROOT

VARIABLE = "_STREAMCLF_COMPLETE"
SHELLS = ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "begun", "wanted"),
    [
        ([], "mod", "models"),
        (["models"], "ver", "verify"),
        (["run"], "--sou", "--source"),
        (["classify", "--format"], "ra", "raven"),
    ],
)
def test_completes(shell: str, words: list[str], begun: str, wanted: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(cli, {}, "streamclf", VARIABLE)

    assert [item.value for item in completion.get_completions(words, begun)] == [wanted]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_line_that_is_documented_gives_a_script(shell: str) -> None:
    assert f"{VARIABLE}={shell}_source streamclf" in (ROOT / "docs" / "start" / "debian.md").read_text("utf-8")

    program = "import sys; sys.argv = ['streamclf']; from streamclf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={VARIABLE: f"{shell}_source", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"{shell}_complete" in done.stdout
