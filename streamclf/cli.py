"""The command line: finds the command, runs it, and turns every error into one sentence and an exit code.

Exit codes: 0 done; 1 something failed at run time; 2 the command line cannot be understood; 78 the configuration
cannot be used; 130 interrupted. Commands are imported when they are called, so that `streamclf --help` stays quick.
"""

import importlib
import os
import sys

import click

from streamclf import __version__
from streamclf.errors import StreamclfError, sentence

# command -> (module, attribute, what it does)
COMMANDS = {
    "run": ("streamclf.commands.run", "run", "Listen and serve labels live."),
    "listen": ("streamclf.commands.listen", "listen", "Show what a running daemon hears."),
    "snapshot": ("streamclf.commands.snapshot", "snapshot", "Draw the last minutes of a stream."),
    "events": ("streamclf.commands.events", "events", "Show what was heard, from the events that are kept."),
    "rules": ("streamclf.commands.rules", "rules", "Check and show the rules of alerts."),
    "why": ("streamclf.commands.why", "why", "Say why an event was told, or was not."),
    "alerts": ("streamclf.commands.alerts", "alerts", "Show what was told to whom, and send it again."),
    "scores": ("streamclf.commands.scores", "scores", "List and export the log of score rows."),
    "replay": ("streamclf.commands.replay", "replay_command", "Try rules and thresholds on what was heard."),
    "calibrate": ("streamclf.commands.calibrate", "calibrate", "Find thresholds for a budget of false alarms."),
    "classify": ("streamclf.commands.classify", "classify", "Classify files offline."),
    "eval": ("streamclf.commands.eval", "evaluate", "Measure packs on labelled recordings."),
    "train": ("streamclf.commands.train", "train", "Train a pack on labelled recordings."),
    "export": ("streamclf.commands.export", "export", "Make a pack of a transformers checkpoint."),
    "models": ("streamclf.commands.models", "models", "List, show, add, remove and verify model packs."),
    "devices": ("streamclf.commands.devices", "devices", "List audio inputs."),
    "doctor": ("streamclf.commands.doctor", "doctor", "Check that this machine can run streamclf."),
    "config": ("streamclf.commands.config", "config", "Check and show the configuration."),
}


class _Lazy(click.Group):
    """A group whose commands are imported by name when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamclf")
def cli() -> None:
    """A daemon that listens and tells what it hears: a probability for every class every 20 ms."""


def main() -> None:
    """Entry point of the console script and of `python -m streamclf`."""
    try:
        code = cli.main(standalone_mode=False, prog_name="streamclf")
    except StreamclfError as fault:
        _fail(str(fault), fault.exit_code)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.format_message(), err=True)
        sys.exit(fault.exit_code)
    except click.UsageError as fault:
        hint = f" (see `{fault.ctx.command_path} --help`)" if fault.ctx is not None else ""
        _fail(f"{fault.format_message()}{hint}", fault.exit_code)
    except click.ClickException as fault:
        _fail(fault.format_message(), fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        # the reader of our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    """One line on standard error."""
    click.echo(sentence(message), err=True)
    sys.exit(code)
