"""docs/reference/commands.md: every command and option of the command line, in the order of `streamclf --help`."""

import inspect
from collections.abc import Iterator

import click

from streamclf.cli import cli
from streamclf.commands import commands
from tools.reference.markdown import anchor, block, code, page, paragraphs, prose, table

_WORDS = {"integer": "whole number", "float": "number", "text": "text", "path": "path", "boolean": "true or false"}


def text() -> str:
    """The page."""
    summaries = [(f"[`{name}`](#{anchor('streamclf ' + name)})", prose(what)) for name, what in commands().items()]
    return page(
        "Commands",
        "`streamclf COMMAND --help` says the same. Where a command ends badly it says why in one sentence: "
        "[exit codes](exit-codes.md). What `run` takes from files and variables as well is in the "
        "[configuration](configuration.md).",
        table(("Command", "What it does"), summaries),
        *(_command(name, command) for name, command in walk(cli, "streamclf")),
    )


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """(whole name, command) of a command and of all below it."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from walk(found, f"{name} {below}")


def _command(name: str, command: click.Command) -> str:
    arguments = [part for part in command.params if isinstance(part, click.Argument)]
    options = [part for part in command.params if isinstance(part, click.Option) and not part.hidden]
    usage = [name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)]
    if isinstance(command, click.Group):
        usage.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    parts = [
        f"## {name}",
        block(" ".join(usage), "text"),
        paragraphs(inspect.cleandoc((command.help or "").partition("\f")[0])),
    ]
    if options:
        parts.append(table(("Option", "Value", "Default", "What it does"), map(_option, options)))
    return "\n\n".join(part for part in parts if part)


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    shown = (
        (argument.name or "").upper() if not isinstance(argument.type, click.Choice) else "|".join(_choices(argument))
    )
    return f"{shown if argument.required else f'[{shown}]'}{'...' if argument.nargs == -1 else ''}"


def _option(option: click.Option) -> tuple[str, str, str, str]:
    names = ", ".join(map(code, option.opts))
    if option.secondary_opts:
        names += " / " + ", ".join(map(code, option.secondary_opts))
    many = " (repeatable)" if option.multiple else ""
    needed = "**required**" if option.required else _default(option)
    return names, f"{_value(option)}{many}".strip(), needed, prose(" ".join((option.help or "").split()))


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        left_out = f"; alone: {code(str(option.flag_value))}" if option._flag_needs_value else ""
        return ", ".join(map(code, _choices(option))) + left_out
    if option.metavar:
        return code(option.metavar)
    return f"{_WORDS.get(option.type.name.removesuffix(' range'), option.type.name)}{_range(option.type)}"


def _choices(part: click.Parameter) -> list[str]:
    assert isinstance(part.type, click.Choice)
    return [str(getattr(choice, "value", choice)) for choice in part.type.choices]


def _range(kind: object) -> str:
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    low = "" if kind.min is None else f"over {kind.min:g}" if kind.min_open else f"{kind.min:g}"
    high = "" if kind.max is None else f"under {kind.max:g}" if kind.max_open else f"{kind.max:g}"
    return f", {low} to {high}" if low and high else f", {low}{'' if kind.min_open else ' or more'}" if low else ""


def _default(option: click.Option) -> str:
    default = option.default
    if option.is_flag:
        # releases of click differ in what stands there: True, or the value of the flag
        return (
            code(option.opts[0])
            if default and type(default).__name__ != "Sentinel" and option.secondary_opts
            else ("yes" if default is True or (isinstance(default, str) and default) else "")
        )
    if default is None or callable(default) or type(default).__name__ == "Sentinel" or default in ("", ()):
        return ""
    return code(f"{default:g}" if isinstance(default, float) else str(getattr(default, "value", default)))
