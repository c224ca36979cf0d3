"""What a daemon stands on, read from its configuration before anything runs. A mistake in it is refused here, in words.

What is opened here and has to be closed again is a part.
"""

import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.service import read_rules
from streamclf.config import Config, rules_file, store_folder
from streamclf.daemon.heartbeat import heartbeat_of
from streamclf.daemon.parts import in_thread
from streamclf.daemon.selftest import STREAM as SELF_TEST
from streamclf.daemon.selftest import SelfTest, prepare
from streamclf.daemon.watchman import check_watch
from streamclf.engine.build import read_seasons
from streamclf.engine.engine import Engine
from streamclf.engine.seasons import Seasons, Where
from streamclf.errors import ConfigError, PackError
from streamclf.serve.http import tls
from streamclf.serve.http.server import ServerSettings
from streamclf.serve.http.tokens import read_tokens
from streamclf.store import alive
from streamclf.store.database import Store
from streamclf.types import Label
from streamclf.writer.configured import open_store

if TYPE_CHECKING:
    from streamclf.daemon.central import Central

log = logging.getLogger("streamclf")


class OpenStore:
    """A part: the store of the configuration, open for the one that writes it. store: None where it is switched off."""

    name = "the store"
    stop_s = 0.5

    def __init__(self, config: Config) -> None:
        self.store: Store | None = None
        self.missed: tuple[int, int] | None = None
        """Since when and until when (ns) no daemon was at work there."""
        self._config = config

    async def start(self) -> None:
        """Raises `StoreError` and `ConfigError` as `open_store` does."""
        self.store = await in_thread("opening of the store", self._open)

    def _open(self) -> Store | None:
        now_ns = time.time_ns()
        if self._config.store.enabled:
            self.missed = alive.missed(store_folder(self._config), now_ns)
        return open_store(self._config, now_ns=now_ns)

    async def stop(self, limit_s: float) -> bool:
        """Write its journal back and let go of it; whoever wrote has stopped or is left behind."""
        if self.store is not None:
            await in_thread("closing of the store", self.store.close)
        return True


@dataclass(frozen=True, slots=True)
class Ground:
    """rules: None where no events are kept. selftest: None where it is off."""

    settings: ServerSettings
    rules: RulesWatch | None
    selftest: SelfTest | None
    seasons: Seasons


def read_ground(config: Config, engine: Engine, ever: Collection[str] = ()) -> Ground:
    """Read rules, self-test, species and tokens, for an engine that has its streams. ever: what was taught at any time.

    Raises `ConfigError` for a mistake in one of them, `SourceError` where the sound of the self-test cannot be read.
    """
    rules = _read_rules(config, engine, ever)
    check_watch(config.watch, rules.file.sinks if rules is not None else (), kept=rules is not None)
    heartbeat_of(config.watch)
    _check_postgres(config)
    selftest = prepare(config.selftest, engine)
    packs = engine.packs
    try:
        seasons = read_seasons(config, packs, where_of(rules))
    except PackError as fault:
        raise ConfigError(str(fault)) from None
    unplaced = [pack.manifest.name for pack in packs if pack.range is not None]
    if unplaced and seasons.where is None and config.species.likely > 0:
        log.info(
            "pack %s knows where species live: with latitude and longitude in [place] of the rules file it tells of "
            "those alone that are likely here",
            ", ".join(unplaced),
        )
    for pack in seasons.limited:
        engine.allow([pack], seasons.allowed(pack, date.today()))
    return Ground(read_settings(config), rules, selftest, seasons)


def where_of(rules: RulesWatch | None) -> Where | None:
    """Where the microphones are, as far as the rules file says so."""
    if rules is None or rules.file.place.latitude is None or rules.file.place.longitude is None:
        return None
    return rules.file.place.latitude, rules.file.place.longitude


def decided_labels(engine: Engine) -> Mapping[str, Sequence[Label]]:
    """stream -> the labels that its packs tell events of."""
    return {
        stream: [
            label
            for track in tracks
            for label, decision in zip(track.segmenter.labels, track.segmenter.decisions, strict=True)
            if decision.enabled
        ]
        for stream, tracks in engine.tracks.items()
        if stream != SELF_TEST
    }


def _read_rules(config: Config, engine: Engine, ever: Collection[str]) -> RulesWatch | None:
    path = rules_file(config)
    if config.store.enabled:
        labels, sites = decided_labels(engine), config.nats.named
        return read_rules(path, labels, required=bool(config.rules), sites=sites, ever=ever)
    if config.rules or path.is_file():
        raise ConfigError(
            f"there are rules of alerts in {path}, but no events are kept, and alerts need them; switch the store on "
            "([store] enabled, without --no-store) or move the rules away"
        )
    return None


def read_settings(config: Config) -> ServerSettings:
    """What the server is given. Raises `ConfigError` for a token or a certificate that cannot be used."""
    server = config.server
    token, audio_token, labels_token = read_tokens(server, os.environ)
    return ServerSettings(
        host=server.host,
        port=server.port,
        token=token,
        audio_token=audio_token,
        labels_token=labels_token,
        origins=server.origins,
        hosts=server.hosts,
        base_path=server.base_path,
        behind=server.behind,
        no_audio=no_audio(config),
        certificate=tls.load(server.certificate, server.key),
        connections=server.connections,
        connections_each=server.connections_each,
    )


def no_audio(config: Config) -> str:
    """Why nobody may listen live, or an empty text."""
    if not config.server.listening:
        return "listening is switched off on this daemon; set listening = true under [server] to allow it"
    if config.clips.privacy != "off":
        return f'live sound would carry the speech that clips.privacy = "{config.clips.privacy}" keeps out of clips'
    return ""


def _check_postgres(config: Config) -> None:
    if config.postgres.named:
        from streamclf.daemon.central import check_postgres

        check_postgres(config)


def open_central(config: Config, folder: Path) -> "Central | None":
    """What delivers events to PostgreSQL; None, and none of it imported, where that is not wanted."""
    if not config.postgres.named:
        return None
    from streamclf.daemon.central import Central

    return Central(config.postgres, folder)
