"""What a configuration needs of the machine: devices, the network, files. A service is closed to everything else."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamclf
from streamclf.alerts.rules.rulefile import load_rules
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.audio.sources import SourceSpec, parse_source
from streamclf.config import Config, store_folder
from streamclf.errors import ConfigError
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import NAME
from streamclf.protocol.address import is_loopback
from streamclf.types import Provider

# Kinds that reach no other machine. What is not named here may, so a new kind works before somebody adds it.
LOCAL_SOURCES = frozenset({"demo", "device", "file", "pipe", "push"})
LOCAL_SINKS = frozenset({"desktop", "ndjson"})
SECRET_FILES = ("token_file", "audio_token_file", "labels_token_file", "certificate", "key")
"""Keys of `[server]` that name a file which others may not read: with the key goes the certificate that it is for."""
_FILES = {
    "nats": ("url_file", "authority", "certificate", "key", "credentials"),
    "kserve": ("authority", "certificate", "key", "token_file"),
    "postgres": ("url_file",),
}
"""Of other sections: keys that name a file which is read."""


@dataclass(frozen=True, slots=True)
class Needs:
    """network: why other machines are spoken to, a sentence each; none where only this machine is.

    gpu: whether models run on a graphics card of NVIDIA. reads, writes: files and folders, absolute. store: the folder
    of events where the configuration names one, else None. secrets: key of `[server]` -> the file that it names.
    programs: of sinks, which run within the service's walls.
    """

    microphone: bool
    network: tuple[str, ...]
    gpu: bool
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    store: Path | None
    secrets: Mapping[str, Path]
    programs: tuple[str, ...]


def needs_of(config: Config, *, rules: Path, gpu: bool, home: bool) -> Needs:
    """rules: the rules file in force (it need not exist). gpu: whether CUDA works here, where `provider` is auto.

    home: whether the service has the home of a user, so that `~` means something. Raises `ConfigError` where a path is
    not absolute, since a service does not start in the folder of this shell; and as `load_rules` does.
    """
    sources = [parse_source(text) for text in config.source]
    sinks = load_rules(rules).sinks if config.rules or rules.is_file() else {}
    place = _Places(home=home)
    reads = [rules] if sinks else []
    reads += [place(f"source {spec.public}", spec.argument) for spec in sources if spec.kind == "file"]
    reads += [place("model", name) for name in config.model if name != "all" and not NAME.fullmatch(name)]
    reads += [place("species.file", config.species.file)] if config.species.file else []
    reads += [place("selftest.sound", config.selftest.sound)] if config.selftest.sound else []
    watched = config.watch
    reads += [place("watch.heartbeat_file", watched.heartbeat_file)] if watched.heartbeat_file else []
    for section, keys in _FILES.items():
        found = {key: str(getattr(getattr(config, section), key)) for key in keys}
        reads += [place(f"{section}.{key}", path) for key, path in found.items() if path]
    named = {key: str(getattr(config.server, key)) for key in SECRET_FILES if getattr(config.server, key)}
    writes = [
        place(f"sink {name}", path).parent for name, sink in sinks.items() if (path := str(getattr(sink, "path", "")))
    ]
    if config.rules:
        place("rules", config.rules)
    if config.store.path:
        place("store.path", config.store.path)
    return Needs(
        microphone=not sources or any(spec.kind not in LOCAL_SOURCES or spec.kind == "device" for spec in sources),
        network=tuple(_network(config, sources, sinks)),
        gpu=config.provider in (Provider.CUDA, Provider.TENSORRT) or (config.provider is Provider.AUTO and gpu),
        reads=tuple(dict.fromkeys([*reads, *program_folders()])),
        writes=tuple(dict.fromkeys(writes)),
        store=store_folder(config) if config.store.path and config.store.enabled else None,
        secrets={key: place(f"server.{key}", path) for key, path in named.items()},
        programs=tuple(str(sink.argv[0]) for sink in sinks.values() if hasattr(sink, "argv")),
    )


def program_folders() -> list[Path]:
    """Where this program lies: the environment, the interpreter that made it, the package and its packs."""
    package = Path(streamclf.__file__).parent
    return list(dict.fromkeys([Path(sys.prefix), Path(sys.base_prefix), package, shipped_models_dir()]))


def _network(config: Config, sources: Iterable[SourceSpec], sinks: Mapping[str, SinkConfig]) -> Iterable[str]:
    if not is_loopback(config.server.host):
        yield f"it listens on {config.server.host or 'all addresses'}"
    if config.watch.heartbeat or config.watch.heartbeat_file:
        yield "it asks for the heartbeat's address"
    if config.nats.named:
        yield "it gives what it hears to NATS"
    if config.kserve.url:
        yield "models run on a server"
    if config.postgres.named:
        yield "events go to PostgreSQL"
    yield from (f"source {spec.name} is a {spec.kind}" for spec in sources if spec.kind not in LOCAL_SOURCES)
    for name, sink in sinks.items():
        kind = str(sink.__struct_config__.tag)
        if kind not in LOCAL_SINKS:
            yield f"sink {name} is a {kind}"


@dataclass(frozen=True, slots=True)
class _Places:
    """Paths of the configuration, as a service can use them."""

    home: bool

    def __call__(self, key: str, text: str) -> Path:
        path = Path(text).expanduser() if self.home else Path(text)
        if not path.is_absolute():
            why = "a service has no home" if text.startswith("~") else "a service starts in another folder"
            raise ConfigError(f"{key} is {text!r}, and {why}; write the whole path, such as /srv/{path.name}")
        return path
