"""One connection's receiving side: the query of its address, `subscribe`, `push`, pushed samples, `mark`."""

import msgspec

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.marks import MarkDesk
from streamclf.serve.push import PushDesk, PushSession
from streamclf.serve.query import NOT_OURS, query_of
from streamclf.serve.roles import Role
from streamclf.serve.subscriber import Subscriber

MAX_TEXT = 64 * 1024
MAX_BINARY = 256 * 1024  # a message of samples: 20 ms of float32 at 192 kHz is 15 KiB
_TOO_BIG = 1009
_LISTS = {"streams", "packs", "labels", "groups"}


class ClientSession:
    """Does what the client asks; what cannot be done is answered with `error` and changes nothing.

    no_audio: why nobody may listen live here; empty where everybody with the role may.
    """

    def __init__(
        self, subscriber: Subscriber, desk: PushDesk, marks: MarkDesk, *, role: Role, no_audio: str = ""
    ) -> None:
        self._subscriber = subscriber
        self._desk = desk
        self._marks = marks
        self._role = role
        if not no_audio and role < Role.AUDIO:
            no_audio = f"live sound needs the role audio, and this connection has {role.name.lower()}"
        self.no_audio = no_audio
        """Why this connection may not listen live; empty where it may."""
        self._push: PushSession | None = None

    def query(self, path: str) -> None:
        """`/v1?tier=frame&labels=speech,bird` is a subscription too, for clients that only listen."""
        try:
            asked = {name: values for name, values in query_of(path).items() if name not in NOT_OURS}
            if asked:
                self._subscribe(subscribe_of(asked))
        except (ServeError, ValueError) as fault:
            self._refuse("bad-subscription", fault)

    def receive(self, message: str | bytes) -> None:
        """A message of the client."""
        if self._subscriber.ended:
            return
        if isinstance(message, bytes):
            self._samples(message)
        elif len(message) > MAX_TEXT:
            self._subscriber.cut("too-big", _TOO_BIG, f"a text message may have {MAX_TEXT} characters")
        else:
            self._order(message)

    def close(self) -> None:
        """The connection is gone."""
        if self._push is not None:
            self._push.close()
            self._push = None

    def _order(self, text: str) -> None:
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
        if isinstance(message, wire.Mark):
            try:
                self._mark(message)
            except ServeError as fault:
                self._refuse("bad-mark", fault)
            return
        try:
            self._open(message)
        except StreamclfError as fault:
            self._refuse("bad-push", fault)
        else:
            self._subscriber.control(wire.Pushing(stream=message.stream, rate=message.rate, format=message.format))

    def _open(self, push: wire.Push) -> None:
        if self._role < Role.AUDIO:
            raise ServeError(f"sending sound needs the role audio, and this connection has {self._role.name.lower()}")
        self.close()
        self._push = self._desk.open(push)

    def _mark(self, message: wire.Mark) -> None:
        if self._role < Role.ADMIN:
            raise ServeError(f"marking events needs the role admin, and this connection has {self._role.name.lower()}")
        self._marks.mark(self._subscriber, message)

    def _subscribe(self, wish: wire.Subscribe) -> None:
        if wish.audio is not None and self.no_audio:
            raise ServeError(self.no_audio)
        self._subscriber.subscribe(wish)

    def _samples(self, data: bytes) -> None:
        try:
            if self._push is None:
                raise ServeError("samples came without a push message before them; say stream, rate and format first")
            self._push.feed(data)
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
        raise ServeError(wire.explain(fault, list(wire.Subscribe.__struct_fields__))) from None
