"""One connection's receiving side: the query of its address, `subscribe`, `push`, pushed samples, and orders."""

import msgspec

from streamclf.errors import AbsentError, ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.connection import BYTES, BYTES_BURST
from streamclf.serve.limits import Allowance
from streamclf.serve.orders import Orders, obey
from streamclf.serve.push import CountedAnewError, PushDesk, PushSession
from streamclf.serve.query import NOT_OURS, query_of
from streamclf.serve.roles import Role
from streamclf.serve.subscriber import Subscriber

MAX_TEXT = 64 * 1024
AGAIN_S = 0.1
"""Between two looks whether the source of a client that came before it has started."""
MAX_BINARY = 256 * 1024  # a message of samples: 20 ms of float32 at 192 kHz is 15 KiB
_TOO_BIG = 1009
_LISTS = {"streams", "packs", "labels", "groups"}


class ClientSession:
    """Does what the client asks; what cannot be done is answered with `error` and changes nothing.

    now_s: the server's clock. no_audio: why nobody may listen live here; empty where everybody with the role may.
    """

    def __init__(
        self, subscriber: Subscriber, desk: PushDesk, orders: Orders, *, role: Role, now_s: float, no_audio: str = ""
    ) -> None:
        self._subscriber = subscriber
        self._desk = desk
        self._orders = orders
        self._role = role
        if not no_audio and role < Role.AUDIO:
            no_audio = f"live sound needs the role audio, and this connection has {role.name.lower()}"
        self.no_audio = no_audio
        """Why this connection may not listen live; empty where it may."""
        self._push: PushSession | None = None
        self._early: wire.Push | None = None
        self._bytes = Allowance(BYTES, BYTES_BURST, now_s=now_s)
        self._taken_until_s = now_s

    def query(self, path: str) -> None:
        """`/v1?tier=frame&labels=speech,bird` is a subscription too, for clients that only listen."""
        try:
            asked = {name: values for name, values in query_of(path).items() if name not in NOT_OURS}
            if asked:
                self._subscribe(subscribe_of(asked))
        except (ServeError, ValueError) as fault:
            self._refuse("bad-subscription", fault)

    def ahead_s(self, now_s: float) -> float:
        """Seconds for which nothing more should be taken from the client: it sends faster than it may. 0 for none."""
        return max(0.0, self._taken_until_s - now_s)

    def more(self, now_s: float) -> bool:
        """Do more of what the last message asked for. Returns whether there was more."""
        if self._early is not None:
            self._push_to(self._early, now_s)
            return True
        if self._push is None or not self._push.has_more:
            return False
        try:
            self._slow_down(self._push.more(now_s), now_s)
        except StreamclfError as fault:
            self._refuse("bad-push", fault)
        return True

    def gone(self) -> None:
        """The client is there no more: it waits for nothing."""
        self._early = None

    def receive(self, message: str | bytes, now_s: float) -> None:
        """A message of the client."""
        if self._subscriber.ended:
            return
        self._slow_down(self._bytes.owe(len(message), now_s), now_s)
        if isinstance(message, bytes):
            self._samples(message, now_s)
        elif len(message) > MAX_TEXT:
            self._subscriber.cut("too-big", _TOO_BIG, f"a text message may have {MAX_TEXT} characters")
        else:
            self._order(message, now_s)

    def close(self, *, left: bool) -> None:
        """The connection is gone. left: its client took its leave; else it broke off, or was cut."""
        self.gone()
        if self._push is not None:
            self._push.close(left=left)
            self._push = None

    def _slow_down(self, wait_s: float, now_s: float) -> None:
        self._taken_until_s = max(self._taken_until_s, now_s + wait_s)

    def _order(self, text: str, now_s: float) -> None:
        try:
            message = wire.decode_client(text)
        except ServeError as fault:
            self._refuse("bad-message", fault)
            return
        if isinstance(message, wire.Subscribe):
            try:
                self._subscribe(message)
            except ServeError as fault:
                self._refuse("bad-subscription", fault)
            return
        if order := self._orders.get(type(message)):
            obey(order, self._subscriber, message, self._role)
            return
        assert isinstance(message, wire.Push)
        self._push_to(message, now_s)

    def _push_to(self, message: wire.Push, now_s: float) -> None:
        """A daemon listens before its sources run: who is that early, as one that comes again is, waits."""
        self._early = None
        try:
            self._open(message, now_s)
        except AbsentError:
            self._early = message
            self._slow_down(AGAIN_S, now_s)
        except StreamclfError as fault:
            self._refuse("bad-push", fault)
        else:
            self._subscriber.control(wire.Pushing(stream=message.stream, rate=message.rate, format=message.format))

    def _open(self, push: wire.Push, now_s: float) -> None:
        if self._role < Role.AUDIO:
            raise ServeError(f"sending sound needs the role audio, and this connection has {self._role.name.lower()}")
        self.close(left=True)
        self._push = self._desk.open(push, now_s)

    def _subscribe(self, wish: wire.Subscribe) -> None:
        if wish.audio is not None and self.no_audio:
            raise ServeError(self.no_audio)
        self._subscriber.subscribe(wish)

    def _samples(self, data: bytes, now_s: float) -> None:
        try:
            if self._push is None:
                raise ServeError("samples came without a push message before them; say stream, rate and format first")
            self._subscriber.sends()
            self._slow_down(self._push.feed(data, now_s), now_s)
        except CountedAnewError as fault:
            self.close(left=True)  # so that nothing is dropped unheard: what follows is refused as well
            self._refuse("bad-push", fault)
        except StreamclfError as fault:
            self._refuse("bad-push", fault)

    def _refuse(self, code: str, fault: Exception) -> None:
        self._subscriber.control(msgspec.convert({"type": "error", "code": code, "message": str(fault)}, wire.Error))


def subscribe_of(query: dict[str, list[str]]) -> wire.Subscribe:
    """A subscription out of an address: lists by commas or repetition. Raises `ServeError`."""
    asked: dict[str, object] = {}
    for name, values in query.items():
        if name in _LISTS:
            asked[name] = [part for value in values for part in value.split(",") if part]
        elif len(values) > 1:
            raise ServeError(f"'{name[:80]}' stands {len(values)} times in the address; give it once")
        else:
            asked[name] = values[0]
    try:
        return msgspec.convert({"type": "subscribe", **asked}, wire.Subscribe, strict=False)
    except msgspec.ValidationError as fault:
        raise ServeError(wire.explain(fault, wire.Subscribe)) from None
