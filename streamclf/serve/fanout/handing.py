"""Orders that a gateway hands on to the daemon which keeps what they are about: marks, and what is taught.

The daemon does it and answers, and everybody is told by what it then publishes. So a mark at a gateway is the daemon's.
Whether somebody may is decided here, by the role, and once more there.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import msgspec

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.fanout.asking import ORDER, Asking, Question
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.fleet import FleetRelay
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.fanout.roster import BETWEEN, place_at
from streamclf.serve.orders import Order, Orderer, Orders
from streamclf.serve.roles import Role

MAX_WAITING = 64
"""Orders that are not answered yet; further ones are refused in words."""
HANDED_ON: tuple[type[wire.Message], ...] = (wire.Mark, wire.Teach, wire.Forget)
_KINDS: Mapping[type[wire.Message], tuple[Any, str]] = {
    wire.Mark: ("bad-mark", "marking events"),
    wire.Teach: ("bad-teach", "teaching"),
    wire.Forget: ("bad-teach", "teaching"),
}
change = msgspec.structs.replace


class Handing:
    """Lives on the loop. place: of a site; where there is one alone it is asked for as ""."""

    def __init__(self, asking: Asking, place: Callable[[str], NatsPlace]) -> None:
        self._asking = asking
        self._place = place
        self._waiting: set[asyncio.Task[None]] = set()  # bound: MAX_WAITING

    def orders(self, relay: Relay) -> Orders:
        """By message. relay: of the sites that are meant."""
        return {kind: Order(code, what, partial(self._hand_on, relay)) for kind, (code, what) in _KINDS.items()}

    def _hand_on(self, relay: Relay, orderer: Orderer, wish: wire.Mark | wire.Teach | wire.Forget) -> None:
        """Ask that site, and answer soon. Raises `ServeError` where nobody can be asked."""
        site, order = _at_site(wish, relay.sites) if isinstance(relay, FleetRelay) else ("", wish)
        if len(self._waiting) >= MAX_WAITING:
            raise ServeError(f"{MAX_WAITING} others wait for an answer already; try again when some have one")
        task = asyncio.get_running_loop().create_task(self._answer(orderer, site, order))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _answer(self, orderer: Orderer, site: str, order: wire.Mark | wire.Teach | wire.Forget) -> None:
        code, _ = _KINDS[type(order)]
        try:
            question = Question(ORDER, {}, int(Role.ADMIN), wire.encode(order))
            reply = await self._asking.asked(self._place(site), question)
            said = wire.decode_server(reply.body)
        except StreamclfError as fault:
            orderer.control(wire.Error(code=code, message=str(fault)))
            return
        if isinstance(said, wire.Error):
            orderer.control(said)
        elif not orderer.subscribed:  # who is subscribed is told with everybody
            orderer.control(_from_site(site, said) if site else said)


def _at_site(
    wish: wire.Mark | wire.Teach | wire.Forget, sites: Collection[str]
) -> tuple[str, wire.Mark | wire.Teach | wire.Forget]:
    """The one of `sites` that is meant, and the order with the names of there. Raises `ServeError` where none is."""
    if isinstance(wish, wire.Forget) or (isinstance(wish, wire.Teach) and wish.sound):
        raise ServeError("this gateway has many sites, and that says of none; say it at the daemon that is meant")
    if isinstance(wish, wire.Teach) and wish.stream:
        site, name = place_at(wish.stream)
        order: wire.Mark | wire.Teach = change(wish, stream=name)
    else:
        site, name = place_at(wish.event)
        order = change(wish, event=name)
    if site not in sites or not name:
        raise ServeError("there is no such event or stream here; /v1/events and /v1/status say which there are")
    return site, order


def _from_site(site: str, said: wire.Message) -> wire.Message:
    """As it is called here; its number is another one here, with which it comes to who is subscribed."""
    if isinstance(said, wire.Marked):
        return change(said, event=f"{site}{BETWEEN}{said.event}", seq=0)
    return change(said, seq=0) if isinstance(said, wire.Taught) else said
