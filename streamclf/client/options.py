"""What a client may be told: what to subscribe to, where to go on from, and what to do when a connection is lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypedDict

import msgspec

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.retry import Backoff

_SPREAD = 0.5
_LISTS = ("streams", "packs", "labels", "groups")


class Bookmark(NamedTuple):
    """A place in what one start of a daemon publishes, to go on from there (`since`).

    seq: the number of the last message had; 0 stands before everything that is held. instance: the start of the
    daemon that counted it (`hello.instance`); None takes whichever runs.
    """

    seq: int
    instance: str | None = None


class Wish(TypedDict, total=False):
    """The fields of `Subscription`, as keywords."""

    streams: Sequence[str] | None
    packs: Sequence[str] | None
    labels: Sequence[str] | None
    groups: Sequence[str] | None
    top_k: int | None
    min_prob: float | None
    tier: wire.Tier
    encoding: wire.Encoding
    final: wire.Revision
    audio: str | None
    since: Bookmark | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a daemon is to send. Left out means all. Messages are the same in every encoding.

    streams, packs: names. labels: ids, such as `speech`, or `group:NAME`. groups: names of groups whose labels are
    wanted too. top_k: the k best labels of each message alone (1 to 65,535). min_prob: leaves out labels that stay
    below this probability (0 to 1); None: 0, and 0.01 for a pack of more than 100 labels, without `top_k`. What is in
    force for a pack, and so what a label that is not in a message lies below: `subscribed.packs`.

    tier: `events` (no score rows), `batch` (ten messages a second of five rows of 20 ms each) or `frame` (a message
    every 20 ms). encoding: `json`, or the smaller binary `f16` and `u8` (these two need numpy). final: of packs that
    revise their rows, `final` ones, `provisional` ones or `all`. audio: the live sound of this stream as well, where
    the role may listen (needs numpy).

    since: also what came after this place or number, as far as the daemon still holds it; 0 takes all that it holds.

    Raises `ServeError` for values that no daemon could serve.
    """

    streams: Sequence[str] | None = None
    packs: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    top_k: int | None = None
    min_prob: float | None = None
    tier: wire.Tier = "batch"
    encoding: wire.Encoding = "json"
    final: wire.Revision = "all"
    audio: str | None = None
    since: Bookmark | int | None = None

    def __post_init__(self) -> None:
        for name in _LISTS:
            value = getattr(self, name)
            if isinstance(value, str):
                raise ServeError(f"{name} is the text {value!r}; expected a list of names, such as [{value!r}]")
            object.__setattr__(self, name, None if value is None else tuple(value))
        if self.since is not None and not isinstance(self.since, Bookmark):
            object.__setattr__(self, "since", Bookmark(self.since))
        self.message(None)

    @property
    def bookmark(self) -> Bookmark | None:
        """`since`, as a place."""
        return Bookmark(self.since) if isinstance(self.since, int) else self.since

    def message(self, place: Bookmark | None) -> wire.Subscribe:
        """What is sent, to go on from `place` (None: from `since`). Raises `ServeError`."""
        place = place or self.bookmark
        wish: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        wish |= {"since": None if place is None else place.seq, "instance": None if place is None else place.instance}
        try:
            return msgspec.convert({"type": "subscribe", **wish}, wire.Subscribe)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this cannot be subscribed to: {fault}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a lost connection (or one that never came) is tried again.

    first_s, most_s: seconds until the first try, doubled from try to try up to the longest; each is shortened by up to
    a half, by chance, so that the clients of a daemon that was restarted do not come all at once. on_wait: called with
    the reason and the delay (s) before each try; without it they are logged (logger `streamclf.client`).

    Raises `ServeError` unless 0 < first_s <= most_s.
    """

    first_s: float = 0.2
    most_s: float = 10.0
    on_wait: Callable[[str, float], object] | None = None

    def __post_init__(self) -> None:
        try:
            self.delay_s(0, chance=0.0)
        except ValueError:
            said = f"first_s is {self.first_s} and most_s is {self.most_s}"
            raise ServeError(f"{said}; expected seconds above 0, and no first delay above the longest") from None

    def delay_s(self, failures: int, *, chance: float) -> float:
        """Seconds to wait after so many failures before the last one (0: it was the first). chance: in [0, 1)."""
        return Backoff(self.first_s, self.most_s, spread=_SPREAD).delay_s(failures, chance=chance)
