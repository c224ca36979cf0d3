"""docs/reference/configuration.md: every key of the configuration."""

import inspect

import click

from streamclf import config
from streamclf.commands.run import run
from streamclf.daemon.hot import HOT
from streamclf.fields import Key, first_paragraph, keys_of
from tools.reference.markdown import block, code, page, paragraphs, prose, table

_HEAD = ("Key", "Type", "Default", "Variable and flag", "What it is")


def text() -> str:
    """The page."""
    flags = _flags()
    top = [key for key in keys_of(config.Config) if key.name not in config.SECTIONS and key.name != "segmentation"]
    parts = [_section("Top level", "", "Names are those of the flags of `streamclf run`.", tuple(top), flags)]
    for name, kind in config.SECTIONS.items():
        parts.append(_section(f"[{name}]", f"{name}.", first_paragraph(kind), keys_of(kind), flags))
    decisions = table(
        ("Key", "Type", "What it is"),
        ((code(key.name), _type(key), prose(key.text)) for key in keys_of(config.DecisionConfig)),
    )
    return page(
        "Configuration",
        paragraphs(inspect.cleandoc(config.__doc__ or "")),
        "`streamclf config check` finds mistakes, `streamclf config show` prints what is in force.",
        f"A daemon that runs takes over changes of {_hot()}; all other keys hold after a restart.",
        *parts,
        "## [segmentation.LABEL]",
        prose(first_paragraph(config.DecisionConfig)),
        block('[segmentation."group:bird"]\nenter = 0.4\nleave = 0.2', "toml"),
        decisions,
        "In the environment all of it is one variable, `STREAMCLF_SEGMENTATION`, such as "
        "`STREAMCLF_SEGMENTATION='{speech = {enter = 0.6}}'`.",
    )


def _hot() -> str:
    """Keys that are taken over while the daemon runs; of a section that is hot as a whole, its name."""
    found = set(HOT)
    for name, kind in config.SECTIONS.items():
        keys = {f"{name}.{key}" for key in kind.__struct_fields__}
        if keys <= found:
            found = found - keys | {f"[{name}]"}
    return ", ".join(code(key) for key in sorted(found))


def _section(title: str, prefix: str, said: str, keys: tuple[Key, ...], flags: dict[str, str]) -> str:
    variables = {".".join(path): name for name, path in config.variables().items()}
    rows = []
    for key in keys:
        path = prefix + key.name
        ways = [code(variables[path]), *([code(flags[path])] if path in flags else [])]
        rows.append((code(path), _type(key), code(key.default or ""), ", ".join(ways), prose(key.text)))
    return "\n\n".join([f"## {title}", prose(said), table(_HEAD, rows)])


def _type(key: Key) -> str:
    return f"{key.kind}{f', {key.limits}' if key.limits else ''}"


def _flags() -> dict[str, str]:
    """Key -> flag of `streamclf run`, by name: that of the key, of one of [server], or --no-SECTION."""
    found: dict[str, str] = {}
    for option in run.params:
        name = option.name or ""
        if not isinstance(option, click.Option):
            continue
        for kind, prefix in ((config.Config, ""), (config.ServerConfig, "server.")):
            # an option that is repeated for each of several: --origin for origins
            key = next((key for key in (name, f"{name}s") if key in kind.__struct_fields__), None)
            if key is not None:
                found.setdefault(prefix + key, option.opts[0])
        if name.removeprefix("no_") in config.SECTIONS:
            found[f"{name.removeprefix('no_')}.enabled"] = option.opts[0]
    return found
