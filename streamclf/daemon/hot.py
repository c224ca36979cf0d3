"""The configuration is hot: a changed file holds while the daemon runs, as a whole or not at all.

Theory of operation. Once a second the files of the configuration and the list of species are looked at, and at once on
SIGHUP. A change is read at the second look that finds it the same. All of it is read and checked in a thread, as at the
start; with a mistake the configuration that was read before holds, and a problem says why. Then each key of `HOT` goes
to the part that it is for, on that part's own thread. All other keys wait for a restart: that is said once in the log,
and as advice among the problems for as long as they wait.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from streamclf.alerts.rules.reload import identity_of
from streamclf.config import SECTIONS, Config
from streamclf.daemon import running
from streamclf.daemon.ground import no_audio, where_of
from streamclf.daemon.health import Health
from streamclf.daemon.heartbeat import heartbeat_of
from streamclf.daemon.selftest import STREAM as SELF_TEST
from streamclf.daemon.sources import RING_SECONDS, SourceStream
from streamclf.daemon.watchman import check_watch
from streamclf.daemon.wiring import Archive, Ears, labels_as_decided
from streamclf.engine.build import check_labels, read_seasons
from streamclf.engine.deciding import decisions_of
from streamclf.engine.seasons import Seasons
from streamclf.engine.segment import Decision
from streamclf.errors import StreamclfError
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.http.server import Server
from streamclf.serve.hub import Hub
from streamclf.store.clips import check_privacy, ring_seconds
from streamclf.store.packfacts import PackFacts
from streamclf.text import some
from streamclf.types import Label
from streamclf.writer.configured import kept

log = logging.getLogger("streamclf")

LOOK_S = 1.0
HOT = frozenset(
    {
        "segmentation", "sensitivity", "server.listening", "health.muted_s",
        "store.keep_days", "store.max_mb", "store.headroom_mb", "scores.keep_days", "scores.max_mb",
        "selftest.every_min", "selftest.budget_ms", "selftest.sinks",
        "loudness.enter_dbfs", "loudness.enter_dba", "loudness.offsets",
        *(f"{name}.{key}" for name in ("clips", "species", "watch") for key in SECTIONS[name].__struct_fields__),
    }
)  # fmt: skip
"""Keys that are taken over while the daemon runs; the rules file, with its sinks, is looked at by itself."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the configuration comes from. load: reads it anew; raises `StreamclfError`. files: that it reads.

    edited: the one that thresholds are written into; it need not be there.
    """

    load: Callable[[], Config]
    files: tuple[Path, ...]
    edited: Path


@dataclass(frozen=True, slots=True)
class _Ready:
    """A configuration that was found good. waiting: keys that hold after a restart. decisions: of each pack."""

    config: Config
    waiting: list[str]
    seasons: Seasons
    decisions: Mapping[str, Sequence[Decision]]


def differing(one: Config, other: Config) -> list[str]:
    """The keys, dotted, whose values are not the same in both."""
    found = []
    for name in Config.__struct_fields__:
        mine, yours = getattr(one, name), getattr(other, name)
        if name in SECTIONS:
            keys = SECTIONS[name].__struct_fields__
            found += [f"{name}.{key}" for key in keys if getattr(mine, key) != getattr(yours, key)]
        elif mine != yours:
            found.append(name)
    return found


def with_keys(config: Config, keys: Sequence[str], other: Config) -> Config:
    """`config` with these keys as `other` has them."""
    for path in keys:
        name, _, key = path.partition(".")
        mine, yours = getattr(config, name), getattr(other, name)
        config = replace(config, **{name: replace(mine, **{key: getattr(yours, key)}) if key else yours})
    return config


class HotConfig:
    """A part: hears SIGHUP. `watch` runs on the event loop's thread; `found` on any.

    source: None where there are no files to look at; SIGHUP then reads the rules alone. on_hangup: called where it
    comes because our terminal was closed.
    """

    name = "the configuration"
    stop_s = 0.1

    def __init__(
        self,
        source: ConfigSource | None,
        ears: Ears,
        archive: Archive | None,
        hub: Hub,
        health: Health,
        server: Server,
        on_hangup: Callable[[], object],
    ) -> None:
        self.problem = ""
        self.waiting: list[str] = []
        self._source = source
        self._ears = ears
        self._archive = archive
        self._hub = hub
        self._health = health
        self._server = server
        self._on_hangup = on_hangup
        self._in_terminal = False
        self._asked = asyncio.Event()
        self._seen = self._read = self._identities()

    async def start(self) -> None:
        """Hear SIGHUP from now on. Who is not to end with the terminal starts us by nohup, or detached from it."""
        self._in_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)

    async def stop(self, limit_s: float) -> bool:
        """Nothing to undo: the loop lets go of its signals."""
        return True

    def _hang_up(self) -> None:
        """A microphone that goes on without its terminal would be one that nobody knows of."""
        if self._in_terminal and not _has_terminal():
            log.warning("the terminal that this daemon was started in was closed: it ends")
            self._on_hangup()
        else:
            self.reload()

    def reload(self) -> None:
        """Read all of it now, changed or not."""
        self._asked.set()
        if self._archive is not None:
            self._archive.alerts.reload()

    async def watch(self) -> None:
        """For ever: has a file changed."""
        if self._source is None:
            return
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                pass
            asked = self._asked.is_set()
            self._asked.clear()
            found = await asyncio.to_thread(self._identities)
            settled, self._seen = found == self._seen, found
            if asked or (settled and found != self._read):
                self._read = found
                await self._take_over(self._source.load)

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong with the configuration as it is on the disk now."""
        if problem := self.problem:
            yield DaemonProblem(problem, [], 0, "mend the file, and try it with `streamclf config check`")
        if waiting := self.waiting:
            what = f"the configuration has other values for {some(waiting, 6)}, which hold after a restart"
            yield DaemonProblem(what, [], 0, "restart the daemon when it suits", "advice")

    async def _take_over(self, load: Callable[[], Config]) -> None:
        try:
            ready = await asyncio.to_thread(lambda: self._prepare(load()))
        except StreamclfError as fault:
            self.problem = f"the configuration that was read before holds, for {fault}"
            log.error("%s", self.problem)
            return
        except Exception as fault:  # a fault of ours must not end the watching: the next file may be fine
            self.problem = f"the configuration that was read before holds, for it cannot be used ({fault!r:.200})"
            log.exception("%s; please report it", self.problem)
            return
        self.problem = ""
        changed = differing(self._ears.in_force.config, ready.config)
        self._apply(ready, changed)
        if changed:
            log.info("configuration: %s taken over", some(changed, 20))
        if ready.waiting and ready.waiting != self.waiting:
            log.warning("configuration: other values of %s hold after a restart", some(ready.waiting, 20))
        self.waiting = ready.waiting

    def _prepare(self, new: Config) -> _Ready:
        """Check what is to be taken over; in a thread. Raises `StreamclfError`."""
        engine, now = self._ears.engine, self._ears.in_force.config
        packs = engine.packs
        waiting = [key for key in differing(now, new) if key not in HOT]
        waiting += self._too_long(now, new)
        new = with_keys(new, waiting, now)
        check_labels(new, packs)
        labels = {pack.manifest.name: pack.labels for pack in packs}
        for one in self._ears.sources.streams:
            if one.stored:
                check_privacy(new.clips, f"stream {one.name}", {pack: labels[pack] for pack in one.info.packs})
        sinks = () if self._archive is None else self._archive.alerts.rules.file.sinks
        check_watch(new.watch, sinks, kept=self._archive is not None)
        heartbeat_of(new.watch)
        decisions = {
            pack.manifest.name: decisions_of(
                pack.labels, pack.manifest, per_label=new.per_label(), sensitivity=new.sensitivity
            )
            for pack in packs
        }
        seasons = read_seasons(new, packs, where_of(self._ears.ground.rules))
        return _Ready(new, waiting, seasons, decisions)

    def _too_long(self, now: Config, new: Config) -> list[str]:
        """Keys of clips that need more sound than the rings hold; more cannot be had while they are written."""
        if not new.clips.enabled:
            return []
        held_s = min((one.ring.capacity / one.info.rate - RING_SECONDS for one in self._kept_of()), default=0.0)
        if ring_seconds(new.clips) <= held_s:
            return []
        if not now.clips.enabled and ring_seconds(replace(new.clips, max_ms=now.clips.max_ms)) > held_s:
            return ["clips.enabled"]
        return ["clips.max_ms"]

    def _kept_of(self) -> list[SourceStream]:
        return [one for one in self._ears.sources.streams if one.stored]

    def _apply(self, ready: _Ready, changed: Sequence[str]) -> None:
        """Give each part what is new for it; on the event loop's thread."""
        new = self._ears.in_force.config = ready.config
        if "segmentation" in changed or "sensitivity" in changed:
            self._decide(ready)
        self._season(ready)
        if any(key.startswith("loudness.") for key in changed):
            self._ears.calls.call(partial(running.use_loudness, self._ears.engine, new.loudness))
        if any(key.startswith(("clips.", "store.", "scores.")) for key in changed):
            self._keep(new)
        if self._health.watchman is not None:
            self._health.watchman.config = new.watch
        if self._ears.ground.selftest is not None:
            self._ears.ground.selftest.config = new.selftest
        self._health.use(new)
        self._server.forbid_audio(no_audio(new))

    def _decide(self, ready: _Ready) -> None:
        engine, config = self._ears.engine, ready.config
        self._ears.calls.call(partial(engine.decide, config.per_label(), config.sensitivity))
        for name, decisions in ready.decisions.items():
            info = self._hub.packs[name]
            info.labels, info.sensitivity = labels_as_decided(info.labels, decisions), config.sensitivity
        if self._archive is None:
            return
        facts = self._archive.facts
        facts.update({
            name: PackFacts.of(
                facts[name].digest,
                [label for label, _ in facts[name].labels.values()],
                decisions,
                look_ahead_ms=facts[name].look_ahead_ms,
            )
            for name, decisions in ready.decisions.items()
            if name in facts
        })  # fmt: skip
        self._archive.inbox.change(partial(self._archive.house.decided, facts))
        self._archive.alerts.know(self._told_labels(ready.decisions), self._ears.school.ever)

    def _told_labels(self, decisions: Mapping[str, Sequence[Decision]]) -> dict[str, list[Label]]:
        """stream -> the labels that its packs tell events of, where they are kept."""
        unstored = {*self._ears.sources.unstored, SELF_TEST}
        return {
            stream: [
                label
                for track in tracks
                for label, decision in zip(track.segmenter.labels, decisions[track.manifest.name], strict=True)
                if decision.enabled
            ]
            for stream, tracks in self._ears.engine.tracks.items()
            if stream not in unstored
        }

    def _season(self, ready: _Ready) -> None:
        running.tell_seasons(self._ears.ground.seasons, ready.seasons, self._ears.engine, self._ears.calls)

    def _keep(self, config: Config) -> None:
        if self._archive is None:
            return
        self._archive.inbox.keep(**kept(config))
        kept_s = ring_seconds(config.clips) if config.clips.enabled else 0
        for one in self._kept_of():
            one.kept = kept_s * one.info.rate
        self._archive.inbox.change(partial(self._archive.house.keep, config.store, config.scores, config.clips))

    def _identities(self) -> tuple[object, ...]:
        if self._source is None:
            return ()
        species = self._ears.in_force.config.species.file
        paths = [*self._source.files, *([Path(species).expanduser()] if species else [])]
        return tuple(identity_of(path) for path in paths)


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there, whatever its standard files are."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
