"""Teaching while the daemon runs: what a client shows becomes a class with rows, events and rules, within a moment.

Theory of operation. A lesson is taken on the event loop. What was heard of the moment is asked of the model's thread;
then, in a thread of its own, the example is made and the head fitted to it. Both are written in one transaction, and
only when that is on the disk does the model's thread take the head, between two ticks: what a client was told of is
there after any crash. Lessons are taken one after the other.
"""

import asyncio
import base64
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from streamclf.clock import NS_PER_FRAME
from streamclf.daemon.sources import SourceStream
from streamclf.engine.calls import EngineCalls
from streamclf.engine.embed import Host
from streamclf.engine.taughtpack import TaughtPack, heard_in
from streamclf.errors import Overrun, ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.orders import Order, Orderer, Orders
from streamclf.serve.packinfo import pack_info
from streamclf.store import events, taught
from streamclf.store.database import reader
from streamclf.store.taught import TaughtClass
from streamclf.teach.sound import decoded
from streamclf.teach.tutor import LearntClass, Lesson, Tutor, check_label, heads_of
from streamclf.types import F32, Output

log = logging.getLogger("streamclf")

MOST_WAITING = 64  # lessons that wait for their turn; beyond it the next ones are refused in words
_REFIT_S = (
    120.0,
    600.0,
    3600.0,
    21_600.0,
)  # between two fits to what was heard meanwhile; the last one again and again
_ANSWERS_S = 8.0  # the model's thread, between two ticks; a client waits for ten
_MOMENT_NS = 500_000_000
_LATELY_FRAMES = 1 << 40
_AROUND_NS = 200_000_000  # of sound before and behind what is shown

Keep = Callable[[Callable[[sqlite3.Connection], None], Callable[[], object]], None]


@dataclass(slots=True)
class School:
    """What is taught, and by whom. packs: by the name of their host. problems: label -> why it cannot be used. ever:
    what was taught at any time, as rules name it. tutor: None where nothing is kept, so that nothing can be taught.
    """

    tutor: Tutor | None = None
    packs: dict[str, TaughtPack] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)

    @property
    def names(self) -> dict[str, str]:
        """Host -> name of the pack of what was taught on it."""
        return {host: pack.name for host, pack in self.packs.items()}

    def remembering(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """These, and what is to be kept of the moments that they tell of. On the model's thread."""
        kept = [one for pack in self.packs.values() for one in pack.remember(outputs)]
        return [*outputs, *kept] if kept else outputs


def usable(one: TaughtClass, host: Host) -> bool:
    """Whether the class rests on what that host hears now."""
    return one.host == host.name and one.identity == host.identity


class Teaching:
    """Lives on the event loop's thread. streams: those of which something may be shown. keep: as of marks.

    knows: told once other labels are in force. keeps_sound: whether what is shown may be kept as sound.
    may_go: of a label, and those that stay; raises where it must not be forgotten.
    """

    def __init__(
        self,
        school: School,
        hub: Hub,
        calls: EngineCalls,
        streams: Mapping[str, SourceStream],
        keep: Keep | None,
        *,
        folder: Path | None,
        knows: Callable[[], object],
        keeps_sound: Callable[[], bool],
        may_go: Callable[[str, list[str]], object],
    ) -> None:
        self._school = school
        self._hub = hub
        self._calls = calls
        self._streams = streams
        self._keep = keep
        self._folder = folder
        self._knows = knows
        self._keeps_sound = keeps_sound
        self._may_go = may_go
        self._turn = asyncio.Lock()
        self._lessons: set[asyncio.Task[None]] = set()  # bound: MOST_WAITING
        for pack in school.packs.values():
            if pack.name not in hub.packs:
                hop_ms = hub.packs[pack.host.name].hop_ms
                hub.overview.coming[pack.name] = pack_info(pack.pack, hop_ms=hop_ms, provider="")

    async def watch(self) -> None:
        """For ever: fit all classes anew now and then, for this place has been heard longer."""
        tutor = self._school.tutor
        for pause_s in chain(_REFIT_S, repeat(_REFIT_S[-1])):
            await asyncio.sleep(pause_s)
            if tutor is None or self._keep is None:
                continue
            async with self._turn:
                try:
                    await self._fit_anew(tutor)
                except (StreamclfError, sqlite3.Error) as fault:
                    log.warning("taught: classes cannot be fitted anew now: %s", fault)

    async def _fit_anew(self, tutor: Tutor) -> None:
        hosts = set()
        for one in await asyncio.to_thread(self._classes):
            again = partial(tutor.again, one.label, lately=await self._lately(), now_ns=time.time_ns())
            if (made := await asyncio.to_thread(again)) is not None:
                await self._kept(partial(taught.put_class, one=made))
                hosts.add(made.host)
        for host in hosts:
            await self._use(host)

    def orders(self) -> Orders:
        """What clients may order."""
        return {
            wire.Teach: Order("bad-teach", "teaching", self.teach),
            wire.Forget: Order("bad-teach", "teaching", self.forget),
        }

    def teach(self, orderer: Orderer, wish: wire.Teach) -> None:
        """Learn from it and tell everybody, soon. Raises `ServeError` where it makes no sense."""
        shown = [bool(wish.event), bool(wish.stream or wish.from_ns), bool(wish.sound)]
        if not any(shown) and wish.name:
            self._begin(orderer, partial(self._rename, orderer, wish))
            return
        if sum(shown) != 1:
            raise ServeError(f"{sum(shown)} sounds are shown; name one: event, or stream and from_ns, or sound")
        if wish.stream and wish.stream not in self._streams:
            raise ServeError(f"there is no stream '{wish.stream[:80]}' here of which anything is kept")
        if bool(wish.stream) != (wish.from_ns is not None):
            raise ServeError("stream and from_ns go together; say of which stream and when")
        self._begin(orderer, partial(self._learn, orderer, wish))

    def forget(self, orderer: Orderer, wish: wire.Forget) -> None:
        """Forget it and tell everybody, soon."""
        self._begin(orderer, partial(self._forget, orderer, wish))

    def _begin(self, orderer: Orderer, run: Callable[[], "asyncio.Future[None] | object"]) -> None:
        if self._keep is None or self._school.tutor is None:
            raise ServeError("no events are kept here, so nothing can be taught; [store] enabled switches it on")
        if len(self._lessons) >= MOST_WAITING:
            raise ServeError(f"{MOST_WAITING} lessons wait already; try again when some are answered")
        task = asyncio.get_running_loop().create_task(self._one(orderer, run))
        self._lessons.add(task)
        task.add_done_callback(self._lessons.discard)

    async def _one(self, orderer: Orderer, run: Callable[[], object]) -> None:
        try:
            async with self._turn:
                await run()  # type: ignore[misc]
        except StreamclfError as fault:
            orderer.control(wire.Error(code="bad-teach", message=str(fault)))
        except Exception:
            log.exception("a lesson could not be taken")
            orderer.control(wire.Error(code="bad-teach", message="that could not be learnt; the log says why"))

    async def _learn(self, orderer: Orderer, wish: wire.Teach) -> None:
        tutor = self._school.tutor
        assert tutor is not None
        own = {label.id for pack in self._school.packs.values() for label in pack.pack.labels}
        taken = [label.id for pack in self._hub.packs.values() for label in pack.labels if label.id not in own]
        check_label(wish.label, taken)
        lesson = await self._lesson(wish)
        learnt = await asyncio.to_thread(tutor.learn, lesson, now_ns=time.time_ns())

        def write(tx: sqlite3.Connection) -> None:
            taught.put_class(tx, learnt.made)
            taught.put_example(tx, learnt.example)

        await self._kept(write)
        self._school.ever.add(wish.label)
        await self._use(learnt.made.host)
        self._school.problems.pop(wish.label, None)
        self._answer(orderer, self._news(learnt, wish.said))

    async def _rename(self, orderer: Orderer, wish: wire.Teach) -> None:
        tutor = self._school.tutor
        assert tutor is not None
        made = await asyncio.to_thread(tutor.renamed, wish.label, wish.name)
        await self._kept(partial(taught.put_class, one=made))
        await self._use(made.host)
        news = wire.Taught(
            label=made.label, name=made.name, said="named", example="", pack=self._school.names.get(made.host, ""),
            examples=0, against=0, detail="", seq=0,
        )  # fmt: skip
        self._answer(orderer, news)

    async def _forget(self, orderer: Orderer, wish: wire.Forget) -> None:
        tutor = self._school.tutor
        assert tutor is not None
        lately = await self._lately()
        forget = partial(tutor.forget, wish.label, wish.example, lately=lately, now_ns=time.time_ns())
        made = await asyncio.to_thread(forget)
        known = await asyncio.to_thread(self._classes)
        if made is None:
            self._may_go(wish.label, [one.label for one in known if one.label != wish.label])

        def write(tx: sqlite3.Connection) -> None:
            if made is None:
                taught.forget_class(tx, wish.label)
            else:
                taught.forget_example(tx, wish.example)
                taught.put_class(tx, made)

        host = next((one.host for one in known if one.label == wish.label), "")
        await self._kept(write)
        await self._use(host)
        self._school.problems.pop(wish.label, None)
        news = wire.Taught(
            label=wish.label, name=made.name if made else "", said="forgot", example=wish.example,
            pack=self._school.names.get(host, ""), examples=0, against=0, detail="", seq=0,
        )  # fmt: skip
        self._answer(orderer, news)

    def _news(self, learnt: LearntClass, said: str) -> wire.Taught:
        return wire.Taught(
            label=learnt.made.label, name=learnt.made.name, said="is" if said == "is" else "not",
            example=learnt.example.id, pack=self._school.names[learnt.made.host], examples=learnt.examples,
            against=learnt.against, detail=learnt.detail, seq=0,
        )  # fmt: skip

    def _answer(self, orderer: Orderer, news: wire.Taught) -> None:
        told = self._hub.tell(news)
        if not orderer.subscribed:
            orderer.control(told)

    async def _lesson(self, wish: wire.Teach) -> Lesson:
        samples, rate, keep = None, 0, self._keeps_sound()
        stream, at_ns, until_ns, numbers = wish.stream, 0, 0, {}
        if wish.sound:
            try:
                content = base64.b64decode(wish.sound, validate=True)
            except ValueError:
                raise ServeError("sound is not base64; send a FLAC, OGG or WAV file that way") from None
            samples, rate = await asyncio.to_thread(decoded, content)
            keep = True  # it was sent to be kept
        elif wish.event:
            assert self._folder is not None
            kept = await asyncio.to_thread(self._event, wish.event)
            if kept is not None and kept.id.startswith(f"{self._hub.instance}/") and kept.stream in self._streams:
                end = kept.offset_frame or kept.onset_frame + (kept.decided_ns - kept.onset_ns) // NS_PER_FRAME
                numbers = await self._heard(kept.stream, *heard_in(kept.onset_frame, max(end, kept.onset_frame + 1)))
                samples, rate = self._sound(kept.stream, kept.onset_ns, kept.offset_ns or kept.decided_ns, keep)
        else:
            assert wish.from_ns is not None
            at_ns, until_ns = wish.from_ns, wish.to_ns if wish.to_ns is not None else wish.from_ns + _MOMENT_NS
            epoch_ns = self._streams[stream].clock.epoch_ns
            first, end = (at_ns - epoch_ns) // NS_PER_FRAME, -(-(until_ns - epoch_ns) // NS_PER_FRAME)
            if end <= first:
                raise ServeError("the moment ends before it begins; to_ns is above from_ns")
            numbers = await self._heard(stream, *heard_in(first, end))
            samples, rate = self._sound(stream, at_ns, until_ns, keep)
        return Lesson(
            label=wish.label, name=wish.name, said=wish.said, event=wish.event, stream=stream, at_ns=at_ns,
            until_ns=until_ns, pack=wish.pack, numbers=numbers, samples=samples, rate=rate, keep=keep,
            lately=await self._lately(),
        )  # fmt: skip

    def _event(self, ident: str) -> events.StoredEvent | None:
        assert self._folder is not None
        with closing(reader(self._folder)) as connection:
            return events.find(connection, ident)

    def _classes(self) -> list[TaughtClass]:
        assert self._folder is not None
        with closing(reader(self._folder)) as connection:
            return taught.classes(connection)

    def _sound(self, stream: str, at_ns: int, until_ns: int, keep: bool) -> tuple[F32 | None, int]:
        """What the ring still holds of it, where it may be kept."""
        one = self._streams[stream]
        rate = one.info.rate
        if not keep:
            return None, rate
        first = max(0, (at_ns - _AROUND_NS - one.clock.epoch_ns) * rate // 1_000_000_000)
        end = min(one.ring.written, (until_ns + _AROUND_NS - one.clock.epoch_ns) * rate // 1_000_000_000)
        try:
            samples = one.ring.view(first, end).copy() if first < end else None
        except Overrun:
            return None, rate
        return samples if samples is None or one.ring.holds(first) else None, rate

    async def _heard(self, stream: str, first: int, end: int) -> dict[str, F32]:
        """By host, the embeddings of these frames that are still held."""

        def look() -> dict[str, F32]:
            packs = self._school.packs.items()
            return {host: pack.recent[stream].between(first, end)[1] for host, pack in packs if stream in pack.recent}

        return await self._asked(look)

    async def _lately(self) -> dict[str, F32]:
        """By host, what was heard lately on all streams."""

        def look() -> dict[str, F32]:
            found = {}
            for host, pack in self._school.packs.items():
                parts = [recent.between(0, _LATELY_FRAMES)[1][::4] for recent in pack.recent.values()]
                found[host] = np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)
            return found

        return await self._asked(look)

    async def _asked(self, look: Callable[[], dict[str, F32]]) -> dict[str, F32]:
        """What `look` finds on the model's thread, between two ticks."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[dict[str, F32]] = loop.create_future()

        def give(value: dict[str, F32]) -> None:
            if not found.done():
                found.set_result(value)

        def call() -> list[Output]:
            loop.call_soon_threadsafe(give, look())
            return []

        self._calls.call(call)
        try:
            return await asyncio.wait_for(found, _ANSWERS_S)
        except TimeoutError:
            raise ServeError("the models hang, so nothing can be learnt now; try again when they run") from None

    async def _kept(self, write: Callable[[sqlite3.Connection], None]) -> None:
        """Once that is on the disk."""
        assert self._keep is not None
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._keep(write, lambda: loop.call_soon_threadsafe(done.set))
        await done.wait()

    async def _use(self, host: str) -> None:
        """Have the classes of that host as they are kept now; back once they are in force and everybody was told."""
        pack = self._school.packs.get(host)
        if pack is None:
            return
        known = await asyncio.to_thread(self._classes)
        heads, labels = heads_of([one for one in known if usable(one, pack.host)])
        loop, used = asyncio.get_running_loop(), asyncio.Event()

        def told() -> list[Output]:
            loop.call_soon_threadsafe(used.set)
            return []

        self._calls.call(lambda: pack.use(heads, labels))
        self._calls.call(told)  # the outputs of the first one are handed over before it runs
        await used.wait()
        self._knows()
