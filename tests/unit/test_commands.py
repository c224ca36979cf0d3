"""A command is one file that is found by itself, and is not imported before it is called."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamclf import commands
from streamclf.commands import load

TOY = '''"""`streamclf toy`: a command that somebody adds."""

import click

HELP = "Say what it is given."


@click.command()
@click.argument("text")
def toy(text: str) -> None:
    """Say TEXT."""
    click.echo(f"toy says {text}")
'''


def ran(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False)


def test_every_file_that_tells_what_it_does_holds_the_command_of_its_name() -> None:
    found = commands.commands()

    assert {"run", "listen", "eval", "replay"} <= set(found)
    assert not {"text", "times", "liveboard", "marks"} & set(found)
    for name, told in found.items():
        assert load(name).name == name
        assert told.endswith(".")
        assert len(told) <= 60


def test_a_new_file_is_a_new_command(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    program = f"from streamclf import cli, commands; commands.__path__.append({str(tmp_path)!r}); cli.main()"

    listed = ran(program, "--help")
    said = ran(program, "toy", "hello")

    assert "Say what it is given." in listed.stdout
    assert said.stdout == "toy says hello\n", said.stderr


def test_a_file_without_the_command_it_tells_of_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hollow.py").write_text('HELP = "Do nothing."\n')
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])

    with pytest.raises(TypeError, match="one click command 'hollow', not 0"):
        load("hollow")


def test_the_list_of_commands_imports_none_of_them() -> None:
    done = ran(
        "import sys; from streamclf import cli\n"
        "try: cli.main()\n"
        "finally: print(*sorted(m for m in sys.modules if m.startswith(('streamclf', 'numpy', 'msgspec'))))",
        "--help",
    )

    # blas sets a variable that numpy reads as it is imported, and imports nothing
    ground = "streamclf.errors streamclf.room streamclf.scan streamclf.text"
    assert done.stdout.splitlines()[-1] == f"streamclf streamclf.blas streamclf.cli streamclf.commands {ground}"


def test_the_daemon_is_named_the_same_way_everywhere() -> None:
    for name in ("listen", "snapshot"):
        assert "--url" in {option for parameter in load(name).params for option in parameter.opts}
    said = ran("from streamclf.cli import main; main()", "listen", "ws://one:1/v1", "--url", "ws://two:2/v1")
    assert said.returncode == 2
    assert "given twice" in said.stderr
