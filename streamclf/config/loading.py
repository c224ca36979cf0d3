"""The layers of the configuration, merged and checked: files, environment, flags."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamclf.config.environment import from_environment, put
from streamclf.config.sections import SECTIONS, Config, DecisionConfig, struct_of
from streamclf.config.words import hint_for, hint_for_value
from streamclf.errors import ConfigError, UsageError
from streamclf.fields import sentences
from streamclf.text import clean, nearest
from streamclf.times import plain_keys
from streamclf.toml import TomlFault, parse
from streamclf.trust import read_trusted

_IN_WORDS = {
    "array": 'a list such as ["..."]', "str": "text in quotes", "object": "a table", "float": "a number",
    "int": "a whole number", "bool": "true or false",
}  # fmt: skip
_LARGEST_TOLD = 1e9  # a longer number would hide the sentence
_TYPES = re.compile(rf"\b({'|'.join(_IN_WORDS)})\b")


def store_folder(config: Config) -> Path:
    """Where events are kept: `store.path`, or the user's data folder (it need not exist)."""
    if config.store.path:
        return Path(config.store.path).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "streamclf"


def rules_file(config: Config) -> Path:
    """Where the rules of alerts are: `rules`, which must exist then, or the default, which need not."""
    return Path(config.rules).expanduser() if config.rules else user_file().with_name("rules.toml")


def user_file(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own configuration file (it need not exist). environ: of a user that is not the one who runs this."""
    home = (environ or {}).get("XDG_CONFIG_HOME") or os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "streamclf" / "config.toml"


def system_file() -> Path:
    """The machine's configuration file (it need not exist)."""
    return Path("/etc/streamclf/config.toml")


def load(
    *, flags: Mapping[str, Any] | None = None, file: Path | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """Merge all layers and check the whole. Raises `ConfigError` with the layer, the key and what to do.

    flags: keys as in `Config`, dotted for sections ("server.port"); None values were not given.
    """
    environ = os.environ if environ is None else environ
    file = _named(file, environ)
    merged: dict[str, Any] = {}
    for path in files(file, environ):
        if path == file or path.is_file():
            layer = _read(path)
            _check(layer, str(path))
            _merge(merged, layer)
    layer = from_environment(environ)
    _check(layer, "the environment")
    _merge(merged, layer)
    given: dict[str, Any] = {}
    for key, value in (flags or {}).items():
        if value is not None:
            put(given, key.split("."), value)
    try:
        _check(given, "the command line")
    except ConfigError as fault:
        raise UsageError(str(fault)) from None
    _merge(merged, given)
    return _check(merged, "the configuration")


def files(file: Path | None, environ: Mapping[str, str] | None = None) -> list[Path]:
    """The files that `load` reads, where they are there; the last one, where one is named, has to be."""
    environ = os.environ if environ is None else environ
    named = _named(file, environ)
    return [system_file(), user_file(environ), *([named] if named is not None else [])]


def _named(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    return Path(environ["STREAMCLF_CONFIG"]) if file is None and environ.get("STREAMCLF_CONFIG") else file


def _read(path: Path) -> dict[str, Any]:
    text = read_trusted(path, "configuration file", missing="check the path given to --config")
    try:
        return _plain(parse(text), Config)
    except TomlFault as fault:
        raise ConfigError(f"configuration file {path} is not TOML: line {fault.line}: {fault}; mend it") from None


def _plain(data: Mapping[str, Any], struct: type[msgspec.Struct], *, of_labels: bool = False) -> dict[str, Any]:
    """The keys of a file, with what people write in place of a key with its unit as that key."""
    out: dict[str, Any] = {}
    for _, key, value in plain_keys(data, () if of_labels else struct.__struct_fields__):
        below = DecisionConfig if of_labels or key == "segmentation" else SECTIONS.get(key)
        if isinstance(value, Mapping) and below is not None:
            value = _plain(value, below, of_labels=key == "segmentation" and not of_labels)
        out[key] = value
    return out


def _check(data: dict[str, Any], where: str) -> Config:
    _known(data, Config, "", where)
    try:
        return msgspec.convert(data, Config, strict=True)
    except msgspec.ValidationError as fault:
        problem, _, place = str(fault).partition(" - at `$.")
        key = place.rstrip("`") or "the file"
        said = sentences(struct_of(key.split("."))).get(key.rpartition(".")[2], "").rstrip(".")
        meant = f" ({said})".replace("`", "") if said else ""
        place, value = _found(data, key)
        hint = hint_for_value(place, value)
        meant = f"; {hint}" if hint else meant
        raise ConfigError(f"{where}: {_in_full(place, value)}: {_in_words(problem)}{meant}") from None


def _found(data: Mapping[str, Any], key: str) -> tuple[str, Any]:
    """The place of a fault with its label, which msgspec does not name, and what stands there."""
    if key.startswith("segmentation[...]"):
        for label, decision in data["segmentation"].items():
            try:
                msgspec.convert(decision, DecisionConfig, strict=True)
            except msgspec.ValidationError:
                key = key.replace("[...]", f".{clean(label, 60)}", 1)
                break
    value: Any = data
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return key, value


def _in_full(key: str, value: Any) -> str:
    """The place of a fault, with the number that stands there."""
    told = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_TOLD
    return f"{key} = {value}" if told else key


def _in_words(problem: str) -> str:
    """What msgspec says, with the words of the configuration's documents for its types."""
    if " matching regex " in problem:
        return "is not written as it should be"
    problem = problem.replace("`", "").replace(" | null", "")
    return _TYPES.sub(lambda found: _IN_WORDS[found[0]], problem[0].lower() + problem[1:])


def _known(data: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str, where: str) -> None:
    names = struct.__struct_fields__
    for key, value in data.items():
        if key not in names:
            own = prefix.rstrip(".")
            owners = [name for name, section in SECTIONS.items() if key in section.__struct_fields__ and name != own]
            meant = nearest(key, names)
            if own and key in Config.__struct_fields__:
                hint = f"{key} belongs to no table; write it above the first [table] of the file"
            elif expected := hint_for(prefix, key):
                hint = expected
            elif len(owners) == 1 and not (own and meant):
                hint = f"it belongs under [{owners[0]}]"
            else:
                hint = f"did you mean {prefix}{meant}?" if meant else f"known keys: {', '.join(names)}"
            raise ConfigError(f"{where}: unknown key {prefix}{clean(key, 60)}; {hint}")
        if key in SECTIONS and isinstance(value, Mapping):
            _known(value, SECTIONS[key], f"{key}.", where)
        if key == "segmentation" and isinstance(value, Mapping):
            for label, decision in value.items():
                if isinstance(decision, Mapping):
                    _known(decision, DecisionConfig, f"segmentation.{label}.", where)


def _merge(base: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value
