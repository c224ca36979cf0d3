"""What `rules check` and `config check` find: all that the daemon would refuse at its start, before it is started."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

from streamclf.alerts.rules.mistakes import Mistake
from streamclf.alerts.rules.rulefile import RuleFile, Vocabulary, load_rules, parse_rules, read_rules
from streamclf.alerts.sinks.checking import obstacles
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.audio.sources import SourceSpec, name_sources, parse_source
from streamclf.config import Config, rules_file, store_folder
from streamclf.daemon.central import check_postgres
from streamclf.daemon.ground import read_settings
from streamclf.daemon.heartbeat import check_heartbeat, heartbeat_of
from streamclf.daemon.selftest import check_selftest
from streamclf.daemon.watchman import check_watch
from streamclf.engine.build import check_labels, known_packs, read_kserve, read_species
from streamclf.engine.deciding import decisions_of
from streamclf.errors import ConfigError, StoreError, StreamclfError
from streamclf.model.pack import Pack
from streamclf.store import taught
from streamclf.store.clips import check_privacy
from streamclf.store.database import obstacle, reader
from streamclf.teach.tutor import GROUP
from streamclf.text import one_line
from streamclf.toml import line_of, lines_of
from streamclf.types import Label
from streamclf.writer.configured import check_kept

REACH = "see that it runs and can be reached from here, or leave it out with --offline"


def sources_of(config: Config) -> list[SourceSpec]:
    """The sources that the configuration names, with the names of their streams. Raises `UsageError`."""
    return name_sources([parse_source(text) for text in config.source])


def vocabulary(config: Config, packs: Sequence[Pack]) -> Vocabulary:
    """What rules may name: what packs tell events of and what was taught, and streams where there are sources."""
    known, ever = _taught(config)
    return Vocabulary.of(
        chain(
            known,
            (
                label
                for pack in packs
                for label, decision in zip(
                    pack.labels,
                    decisions_of(
                        pack.labels, pack.manifest, per_label=config.per_label(), sensitivity=config.sensitivity
                    ),
                    strict=True,
                )
                if decision.enabled
            ),
        ),
        [spec.name for spec in sources_of(config)] or None,
        sites=config.nats.named,
        gone=ever,
    )


def _taught(config: Config) -> tuple[list[Label], set[str]]:
    """What the store holds of what was taught: the classes, and what was taught at any time, as rules name it."""
    folder = store_folder(config)
    if not config.store.enabled or not folder.is_dir():
        return [], set()
    try:
        with closing(reader(folder)) as connection:
            known = [Label(one.label, one.name, GROUP) for one in taught.classes(connection)]
            return known, {*taught.ever(connection), f"group:{GROUP}"}
    except (StoreError, sqlite3.Error):
        return [], set()  # the daemon says what is wrong with it


def check_rules(path: Path, known: Vocabulary, *, offline: bool) -> tuple[RuleFile, list[Mistake]]:
    """The file and its mistakes; where it has none, what stands in the way of its sinks. Raises `ConfigError`."""
    text = read_rules(path)
    found, mistakes = parse_rules(text, known=known)
    if mistakes or offline:
        return found, mistakes
    lines = lines_of(text)
    blocked = []
    for name, said in obstacles(found.sinks).items():
        problem, _, hint = said.removeprefix(f"sink.{name}: ").partition("; ")
        blocked.append(Mistake(line_of(lines, ("sink", name)), f"sink.{name}", problem, hint or REACH))
    return found, blocked


def told(path: Path, mistake: Mistake) -> str:
    """On one line."""
    return one_line(f"{path}:{mistake.line}: {mistake}", None)


def config_mistakes(config: Config, *, offline: bool) -> Iterator[str]:
    """Everything that the daemon would refuse, a sentence each. Raises `PackError` where packs cannot be read."""
    packs = known_packs(config)
    checks: list[Callable[[], object]] = [
        lambda: _check_sources(config),
        lambda: check_labels(config, packs),
        lambda: read_settings(config),
        lambda: check_kept(config),
        lambda: check_postgres(config),
        lambda: _check_nats(config),
        lambda: read_kserve(config, packs),
        lambda: read_species(config, packs),
        lambda: check_selftest(config.selftest, packs),
        lambda: check_privacy(config.clips, "any source", {pack.manifest.name: pack.labels for pack in packs}),
    ]
    for check in checks:
        try:
            check()
        except StreamclfError as fault:
            yield str(fault)
    try:
        _check_watch(config, offline=offline)
    except StreamclfError as fault:
        yield str(fault)
    if config.store.enabled and (why := obstacle(store_folder(config))) and not why.startswith("another daemon"):
        yield f"no events could be kept: {why}; name another folder with [store] path, or make it writable"
    yield from _rules_mistakes(config, packs, offline=offline)


def _rules_mistakes(config: Config, packs: Sequence[Pack], *, offline: bool) -> Iterator[str]:
    path = rules_file(config)
    if not config.rules and not path.is_file():
        return
    if not config.store.enabled:
        yield f"{path} has rules of alerts, but no events are kept, and alerts need them; set [store] enabled = true"
    known = Vocabulary(frozenset())
    with suppress(StreamclfError):  # told already, of the sources
        known = vocabulary(config, packs)
    try:
        _, mistakes = check_rules(path, known, offline=offline)
    except StreamclfError as fault:
        yield str(fault)
    else:
        yield from (told(path, mistake) for mistake in mistakes)


def _check_watch(config: Config, *, offline: bool) -> None:
    path = rules_file(config)
    sinks: Mapping[str, SinkConfig] | None = {}
    try:
        sinks = load_rules(path).sinks if path.is_file() else {}
    except ConfigError:
        sinks = None  # told of the rules
    if sinks is not None:
        check_watch(config.watch, sinks, kept=config.store.enabled)
    heartbeat_of(config.watch)
    if not offline:
        check_heartbeat(config.watch)


def _check_nats(config: Config) -> None:
    if config.nats.named:
        from streamclf.serve.fanout.way import way_of

        way_of(config.nats)


def _check_sources(config: Config) -> None:
    for spec in sources_of(config):
        if spec.kind == "file" and not Path(spec.argument).expanduser().exists():
            raise StreamclfError(f"source {spec.public}: there is no such file; check the path")
