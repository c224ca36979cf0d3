"""The channels of a hub: subscribers with the same wish share one, and each sits on one at most."""

from collections.abc import Iterator, Mapping, Sequence

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.serve.info import PackInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.subscription import Channel, Recipient, Spec, resolve


class Channels:
    """streams, packs: what a wish may name. Iterates over the channels that somebody sits on."""

    def __init__(self, streams: Sequence[str], packs: Mapping[str, PackInfo]) -> None:
        self.by_frame = False
        """Whether somebody gets each row by itself. Any thread may read it, as the next one."""
        self.anybody = False
        """Whether somebody sits anywhere. Any thread may read it."""
        self.congested = False
        """Whether a producer that can wait should. A plain attribute: any thread may read it."""
        self._streams = list(streams)
        self._packs = packs
        self._channels: dict[Spec, Channel] = {}
        self._number = 0
        self._subscribed: dict[Recipient, Channel] = {}
        self._wishes: dict[Recipient, wire.Subscribe] = {}  # of those, as they came
        self._pressed: set[Recipient] = set()

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def join(self, recipient: Recipient, wish: wire.Subscribe) -> Channel:
        """Put it on the channel of its wish instead of a former one. Raises `ServeError`; nothing changes then."""
        return self._seat(recipient, wish, resolve(wish, self._streams, self._packs))

    @property
    def recipients(self) -> list[Recipient]:
        """All who sit somewhere."""
        return list(self._subscribed)

    def relabel(self, pack: str) -> Iterator[tuple[Recipient, Channel]]:
        """`pack` has other labels, or is new: seats those anew whom that concerns, each on a channel that knows it."""
        wishes = list(self._wishes.items())
        anew = {recipient: resolve(wish, self._streams, self._packs, strict=False) for recipient, wish in wishes}
        concerned = [r for r, _ in wishes if _has(self._subscribed[r].spec, pack) or _has(anew[r], pack)]
        for recipient in concerned:
            wish = self._wishes[recipient]
            self.leave(recipient)
            self._wishes[recipient] = wish
        for recipient in concerned:  # once all have left, so that no channel of before is left to sit on
            yield recipient, self._seat(recipient, self._wishes[recipient], anew[recipient])

    def _seat(self, recipient: Recipient, wish: wire.Subscribe, spec: Spec) -> Channel:
        self.leave(recipient)
        self._wishes[recipient] = wish
        channel = self._channels.get(spec)
        if channel is None:
            self._number += 1
            channel = self._channels[spec] = Channel(self._number, spec, self._packs)
        channel.join(recipient)
        self._subscribed[recipient] = channel
        self._count()
        return channel

    def leave(self, recipient: Recipient) -> None:
        """Forget `recipient`, and its channel with its last recipient."""
        self.press(recipient, False)
        self._wishes.pop(recipient, None)
        channel = self._subscribed.pop(recipient, None)
        if channel is not None:
            channel.leave(recipient)
            if not channel.recipients:
                del self._channels[channel.spec]
        self._count()

    def _count(self) -> None:
        self.anybody = bool(self._channels)
        self.by_frame = any(spec.tier == "frame" for spec in self._channels)

    def press(self, recipient: Recipient, full: bool) -> None:
        """`recipient` says whether so much waits for it that a producer that can wait should."""
        if full:
            self._pressed.add(recipient)
        else:
            self._pressed.discard(recipient)
        self.congested = bool(self._pressed)

    def deliver(self, channel: Channel, message: Outgoing) -> None:
        """To all who sit on `channel`, the same bytes."""
        channel.deliver(message)
        metrics.messages_of(channel.spec.tier).inc(len(channel.recipients))


def _has(spec: Spec, pack: str) -> bool:
    return any(wish.name == pack for wish in spec.packs)
