"""What comes from a daemon, decoded, and the place to resume from. No I/O; client.py has the theory of operation."""

from typing import TYPE_CHECKING

from streamclf.client.options import Bookmark
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.text import one_line

if TYPE_CHECKING:
    from streamclf.protocol.packed import BinaryScores


class Reader:
    """Decodes what comes from one daemon after the other and keeps the place to resume from. No I/O.

    bookmark: how far it has come, None before anything was promised.
    """

    def __init__(self, *, bookmark: Bookmark | None = None) -> None:
        self.bookmark = bookmark
        self.hello: wire.Hello | None = None
        self.subscribed: wire.Subscribed | None = None
        self._connected = False
        self._rows: dict[tuple[str, str, bool], int] = {}

    def connected(self) -> None:
        """A connection begins: the next message has to be `hello`."""
        self._connected = False
        self.subscribed = None

    def take(self, data: str | bytes) -> wire.ServerMessage | None:
        """The message in a websocket message, or None for rows that were had before. Raises `ServeError`."""
        message = self._binary(data) if isinstance(data, bytes) else wire.decode_server(data)
        if not self._connected and not isinstance(message, wire.Hello):
            raise ServeError(f"the server began with something else than the hello of {wire.PROTOCOL}")
        if isinstance(message, wire.Hello):
            self.hello = message
            self._connected = True
        elif isinstance(message, wire.Subscribed):
            self._begin(message)
        elif isinstance(message, wire.Lagged):
            self._lag(message)
        elif isinstance(message, wire.Scores):
            # rows whose group was closed early stand behind larger numbers and are sent again on resuming there
            track = message.stream, message.pack, message.final
            if message.seq <= self._rows.get(track, -1):
                return None
            self._rows[track] = message.seq
            self._reach(message.seq)
        elif isinstance(message, wire.Relabelled):
            self._relabel(message.entry)
        elif isinstance(message, wire.Event | wire.Gap | wire.Status | wire.Marked | wire.Taught):
            self._reach(message.seq)
        elif isinstance(message, wire.Error) and message.code == "bad-subscription":
            raise ServeError(f"the daemon cannot serve this subscription: {one_line(message.message)}")
        return message

    def _relabel(self, entry: wire.PackEntry) -> None:
        assert self.hello is not None
        packs = self.hello.packs
        at = next((at for at, pack in enumerate(packs) if pack.name == entry.name), len(packs))
        packs[at : at + 1] = [entry]

    def _begin(self, message: wire.Subscribed) -> None:
        assert self.hello is not None
        self.subscribed = message
        if self.bookmark is None:
            self.bookmark = Bookmark(message.seq, self.hello.instance)
        elif self.bookmark.instance is None:
            self.bookmark = Bookmark(self.bookmark.seq, self.hello.instance)

    def _lag(self, message: wire.Lagged) -> None:
        assert self.hello is not None
        if message.reason == "restart":
            self.bookmark = Bookmark(0, self.hello.instance)
            self._rows.clear()
        else:
            self._reach(message.seq)

    def _reach(self, seq: int) -> None:
        before = self.bookmark or Bookmark(0)
        self.bookmark = Bookmark(max(seq, before.seq), before.instance)

    def _binary(self, data: bytes) -> wire.Scores:
        from streamclf.protocol import packed  # needs numpy, which a client of JSON alone can do without

        return self._scores(packed.decode_binary(data))

    def _scores(self, binary: "BinaryScores") -> wire.Scores:
        if self.hello is None or self.subscribed is None:
            raise ServeError("the server sent score rows before it answered the subscription")
        try:
            stream, pack = self.hello.streams[binary.stream].name, self.hello.packs[binary.pack]
            if binary.columns is not None:
                labels = [pack.labels[column].id for column in binary.columns]
            else:
                labels = next(entry.labels for entry in self.subscribed.packs if entry.name == pack.name)
            if len(labels) != binary.rows.shape[1]:
                raise LookupError
        except (LookupError, StopIteration):
            raise ServeError("the server sent score rows that do not fit the packs that it named") from None
        return wire.Scores(
            stream=stream,
            pack=pack.name,
            seq=binary.seq,
            first_frame=binary.first_frame,
            count=len(binary.rows),
            labels=labels,
            rows=wire.rounded(binary.rows),
            final=binary.final,
            captured_ns=binary.captured_ns,
            decided_ns=binary.decided_ns,
            sent_ns=binary.sent_ns,
        )
