"""The sessions of a fused pack's members as one: made together, measured together, ended together."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from streamclf.model.fusion import Head
from streamclf.model.pack import Pack
from streamclf.model.session import Brake, Session
from streamclf.types import Provider

if TYPE_CHECKING:
    from streamclf.model.kserve import InferenceServer


class FusedSession:
    """members: a session for each, in the order of the pack, which gives its share; all on one brake."""

    def __init__(self, members: tuple[Session, ...], brake: Brake) -> None:
        self.members = members
        self.brake = brake

    @property
    def provider(self) -> str:
        """What they run on."""
        return "+".join(dict.fromkeys(member.provider for member in self.members))

    @property
    def elsewhere(self) -> bool:
        """Whether runs of any are computed by more than the calling thread."""
        return any(member.elsewhere for member in self.members)

    def warm_up(self, clock: Callable[[], float] | None = None) -> float:
        """Time of one single-row run of all members, as of `Session`."""
        return sum(member.warm_up() if clock is None else member.warm_up(clock) for member in self.members)


PackSession = Session | FusedSession
"""What runs a pack, whatever its shape."""


def open_session(
    pack: Pack,
    *,
    provider: Provider = Provider.AUTO,
    threads: int = 1,
    max_batch: int = 64,
    brake: Brake | None = None,
    server: "InferenceServer | None" = None,
) -> PackSession:
    """What runs `pack`. server: runs those graphs that it is for. Raises as `Session` does."""
    brake = brake or Brake()

    def made(graph: Pack, head: Head | None = None) -> Session:
        there = server if server is not None and server.runs(pack, graph) else None
        return Session(
            graph, provider=provider, threads=threads, max_batch=max_batch, brake=brake, head=head, server=there
        )

    if pack.fusion is None:
        return made(pack)
    members = tuple(made(member, head) for member, head in zip(pack.members, pack.fusion.heads, strict=True))
    return FusedSession(members, brake)
