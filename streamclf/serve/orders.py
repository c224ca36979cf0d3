"""What a client may order of the daemon: a message, who may send it, and what does it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.roles import Role


class Orderer(Protocol):
    """Who has ordered something, and is answered."""

    @property
    def subscribed(self) -> bool:
        """Whether it gets what is told to everybody."""

    def control(self, message: wire.Message) -> None:
        """Take an answer; must not block and must not raise."""


class Order(NamedTuple):
    """For the role admin. `do` answers whoever ordered it, at once or later, and raises `ServeError` to refuse."""

    code: Literal["bad-mark", "bad-adjust", "bad-teach"]
    """Of the `error` that a refusal is answered with."""
    what: str
    """What it is, as the subject of a sentence: "marking events"."""
    do: Callable[[Orderer, Any], None]


Orders = Mapping[type[wire.Message], Order]


def obey(order: Order, orderer: Orderer, message: wire.Message, role: Role) -> None:
    """Do it, or answer with why not."""
    try:
        if role < Role.ADMIN:
            raise ServeError(f"{order.what} needs the role admin, and this connection has {role.name.lower()}")
        order.do(orderer, message)
    except ServeError as fault:
        orderer.control(wire.Error(code=order.code, message=str(fault)))
