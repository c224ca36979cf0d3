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
        self.congested = False
        """Whether a producer that can wait should. A plain attribute: any thread may read it."""
        self._streams = list(streams)
        self._packs = packs
        self._channels: dict[Spec, Channel] = {}
        self._number = 0
        self._subscribed: dict[Recipient, Channel] = {}
        self._pressed: set[Recipient] = set()

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def join(self, recipient: Recipient, wish: wire.Subscribe) -> Channel:
        """Put it on the channel of its wish instead of a former one. Raises `ServeError`; nothing changes then."""
        spec = resolve(wish, self._streams, self._packs)
        self.leave(recipient)
        channel = self._channels.get(spec)
        if channel is None:
            self._number += 1
            channel = self._channels[spec] = Channel(self._number, spec, self._packs)
        channel.join(recipient)
        self._subscribed[recipient] = channel
        return channel

    def leave(self, recipient: Recipient) -> None:
        """Forget `recipient`, and its channel with its last recipient."""
        self.press(recipient, False)
        channel = self._subscribed.pop(recipient, None)
        if channel is not None:
            channel.leave(recipient)
            if not channel.recipients:
                del self._channels[channel.spec]

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
        metrics.MESSAGES_SENT.labels(channel.spec.tier).inc(len(channel.recipients))
