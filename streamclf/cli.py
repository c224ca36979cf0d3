"""The command line: finds the command, runs it, and turns every error into one sentence and an exit code.

What exit codes mean stands in `errors`. A command is a module of `commands`, imported when it is called, so that
`streamclf --help` stays quick.
"""

import ctypes
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

import streamclf.blas  # noqa: F401  numpy is imported later than this
from streamclf import __version__, commands
from streamclf.errors import INTERRUPTED, HomelessError, LimitError, StreamclfError, sentence
from streamclf.room import Reserve
from streamclf.text import nearest


class _Lazy(click.Group):
    """A group whose commands are imported by name when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*commands.commands(), *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return commands.load(cmd_name) if cmd_name in commands.commands() else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = nearest(args[0], self.list_commands(ctx))  # click knows those alone that are imported
            if not near:
                raise
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near!r}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name: command.get_short_help_str() for name, command in self.commands.items()} | commands.commands()
        with formatter.section("Commands"):
            formatter.write_dl(sorted(told.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamclf")
def cli() -> None:
    """A daemon that listens and tells what it hears: a probability for every class every 20 ms."""


_M_ARENA_MAX = -8  # of mallopt(3)
# A shell splits an address at a space in its password, and what is behind it becomes an argument that nobody expected.
_PASSWORD_END = re.compile(r"[^\s('\"]*@")


def main() -> None:
    """Entry point of the console script and of `python -m streamclf`."""
    _open_standard_files()
    _hear_signals()
    _take_little()
    reserve = Reserve()
    try:
        code = cli.main(standalone_mode=False, prog_name="streamclf")
    except StreamclfError as fault:
        _fail(str(fault), fault.exit_code)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.format_message(), err=True)
        sys.exit(fault.exit_code)
    except click.UsageError as fault:
        fault = _nearer(fault)
        hint = _usage(fault)
        if isinstance(fault, click.NoSuchOption) and any(
            Path(word).exists() for word in sys.argv[1:] if word[0:1] == "-"
        ):
            hint += "; a file whose name begins with - is written ./-name, or behind --"
        _fail(f"{_PASSWORD_END.sub('…@', fault.format_message())}{hint}", fault.exit_code)
    except click.ClickException as fault:
        _fail(fault.format_message(), fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MemoryError, RuntimeError, ImportError, OSError) as fault:
        reserve.give()
        if HomelessError.meant_by(fault):
            _fail(str(HomelessError()), HomelessError.exit_code)
        if not LimitError.meant_by(fault):
            raise
        _fail(str(LimitError()), LimitError.exit_code)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _nearer(fault: click.UsageError) -> click.UsageError:
    """A misspelt option is answered with the one that is meant, and with no other."""
    if not isinstance(fault, click.NoSuchOption) or fault.ctx is None:
        return fault
    names = [name for param in fault.ctx.command.get_params(fault.ctx) for name in (*param.opts, *param.secondary_opts)]
    near = nearest(fault.option_name, [name for name in names if name.startswith("--")])
    return click.NoSuchOption(fault.option_name, possibilities=[near] if near else None, ctx=fault.ctx)


def _usage(fault: click.UsageError) -> str:
    """What to do about it."""
    if fault.ctx is None:
        return ""
    see = f"see `{fault.ctx.command_path} --help`"
    told = getattr(fault.param, "help", None) if isinstance(fault, click.MissingParameter) else None
    if told:
        return f" {told} ({see})"
    known = isinstance(fault, click.BadParameter) and not isinstance(fault, click.MissingParameter)
    if known or "Did you mean" in fault.format_message():
        return f" ({see})"
    return f" ({' '.join(fault.ctx.get_usage().split()).replace('Usage', 'usage', 1)}; {see})"


def _open_standard_files() -> None:
    """Where one of them was closed, the next file that is opened would be taken for it, and libraries write to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one


def _hear_signals() -> None:
    """Who started us may have blocked signals, or ignored the end of children, and both are inherited.

    Blocked, SIGTERM ends no daemon; ignored, the exit status of a program is lost.
    """
    with suppress(AttributeError):  # not a POSIX system
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT}
        )


def _take_little() -> None:
    """Address space that is only set aside counts as well where it is limited, as in containers and by `ulimit -v`.

    Left alone, each thread sets 128 MiB aside for what it allocates.
    """
    with suppress(AttributeError, OSError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _fail(message: str, code: int) -> None:
    """One line on standard error."""
    click.echo(sentence(message), err=True)
    sys.exit(code)
