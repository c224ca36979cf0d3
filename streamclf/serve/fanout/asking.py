"""What a gateway asks a daemon by way of NATS, and what the daemon answers: addresses that read what is kept there.

A question is one message of request and reply; the answer comes in pieces that NATS takes, in order. The daemon decides
what it answers: events unless it was told otherwise, clips only where it was told so, since whoever may use this NATS
may then hear them. Whether a person may ask is the gateway's affair, as it is with what is heard. What a person orders
there, a mark or a lesson, comes the same way, as the message that he has sent.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol import wire
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.way import next_message
from streamclf.serve.http.route import NotKeptError, Query, Reply, Route
from streamclf.serve.orders import Orders, obey
from streamclf.serve.roles import Role

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = logging.getLogger("streamclf")

EVENTS = ("/v1/events", "/v1/hours", "/v1/species", "/v1/why", "/v1/rules", "/v1/review", "/v1/taught", "/v1/like",
          "/v1/loudness")  # fmt: skip
"""What is kept, but for its sound."""
CLIP = "/v1/clip"
ORDER = "order"
"""The address of what changes something: marks, and what is taught."""
MOST = Role.AUDIO
"""As whom a daemon explains, whoever asks: what a receiver answered may hold its address, and stays at the daemon."""
ANSWER_S = 8.0
"""From the question to its last piece: less than what an answer over HTTP may take."""
MAX_ANSWER = 64 << 20
_PIECE = 256 * 1024
_MAX_QUESTIONS = 8  # at once, of all gateways together; further ones wait


class SiteAwayError(StreamclfError):
    """A site did not answer."""


class Question(msgspec.Struct, array_like=True, frozen=True):
    """fields: of the query, as they came. role: of who asks there. order: a message, where the path is ORDER."""

    path: str
    fields: dict[str, list[str]]
    role: int
    order: bytes = b""


class AnswerPiece(msgspec.Struct, array_like=True, frozen=True):
    """status: 200, 400, 404 or 503, and the body is a sentence but for 200. more: another one follows."""

    status: int
    kind: str
    headers: dict[str, str]
    body: bytes
    more: bool


class Answering:
    """The daemon's side. place: of its site. routes: what it answers, by address. orders: what may be ordered."""

    def __init__(self, place: NatsPlace, routes: Mapping[str, Route], orders: Orders) -> None:
        self._place = place
        self._routes = routes
        self._orders = orders
        self._turn = asyncio.Semaphore(_MAX_QUESTIONS)
        self._tasks: set[asyncio.Task[None]] = set()  # bound: what NATS lets wait of one subscription
        self._client: Client | None = None

    def kept(self) -> None:
        """Say to gateways that something is kept that was not before; on the loop's thread."""
        if self._client is not None and self._client.is_connected:
            self._later(self._say(self._client))

    async def _say(self, client: "Client") -> None:
        with suppress(Exception):  # the connection has gone: gateways look again with the next one
            await client.publish(self._place.kept_subject, b"")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def listen(self, client: "Client") -> None:
        """Answer what is asked on this connection, for as long as it lasts."""

        async def heard(message: "Msg") -> None:
            self._later(self._answer(client, message))

        # one of those who have that name answers, should two have it: pieces of two answers do not fit
        await client.subscribe(self._place.question_subject, queue="answers", cb=heard, pending_msgs_limit=256)
        self._client = client
        self.kept()

    async def _answer(self, client: "Client", message: "Msg") -> None:
        async with self._turn:
            status, reply = await self._reply(message.data)
            body = reply.body
            headers = dict(reply.headers)
            with suppress(Exception):  # the connection has gone: the gateway sees that nothing comes
                size = min(_PIECE, client.max_payload // 2)
                for start in range(0, max(1, len(body)), size):
                    more = start + size < len(body)
                    piece = AnswerPiece(status, reply.kind, headers, body[start : start + size], more)
                    await client.publish(message.reply, msgspec.msgpack.encode(piece))

    async def _reply(self, data: bytes) -> tuple[int, Reply]:
        try:
            question = _questions.decode(data)
            if question.path == ORDER:
                return 200, await self._obeyed(question)
            route = self._routes.get(question.path)
            if route is None:
                raise NotKeptError("this daemon does not answer that by way of NATS")
            query = Query(question.fields, Role(question.role))
            if query.role < route.role:
                raise ServeError(f"this needs the role {route.role.name.lower()}")
            if route.role <= MOST:
                query = query._replace(role=min(query.role, MOST))
            return 200, await asyncio.to_thread(route.answer, query)
        except NotKeptError as fault:
            return 404, _sentence(fault)
        except (ServeError, msgspec.MsgspecError, ValueError) as fault:
            return 400, _sentence(fault)
        except (StreamclfError, sqlite3.Error) as fault:
            return 503, _sentence(fault)
        except Exception:
            log.exception("a question of a gateway could not be answered")
            return 503, Reply(b"something went wrong; the daemon's log has it", "text/plain")

    async def _obeyed(self, question: Question) -> Reply:
        message = wire.decode_client(question.order)
        order = self._orders.get(type(message))
        if order is None:
            raise NotKeptError("this daemon takes no such thing by way of a gateway; say it at the daemon itself")
        far = _Far()
        obey(order, far, message, Role(question.role))
        return Reply(wire.encode(await far.answer))


class _Far:
    """Who has ordered something at a gateway. Lives on the loop."""

    subscribed = False

    def __init__(self) -> None:
        self.answer: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()

    def control(self, message: wire.Message) -> None:
        """See `Orderer`."""
        if not self.answer.done():
            self.answer.set_result(message)


class Asking:
    """The gateway's side. Lives on the loop; `ask` is for other threads. client: gives the connection there is now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: "Callable[[], Client | None]") -> None:
        self._client = client
        self._loop = loop

    def ask(self, place: NatsPlace, question: Question) -> Reply:
        """The answer of the daemon at `place`; waits for it.

        Raises what a route raises, and `SiteAwayError` where none comes.
        """
        return asyncio.run_coroutine_threadsafe(self.asked(place, question), self._loop).result(ANSWER_S + 1)

    def ask_all(self, questions: Mapping[NatsPlace, Question]) -> dict[NatsPlace, Reply | StreamclfError]:
        """The same of many at once."""

        async def all_of_them() -> list[Reply | BaseException]:
            asked = (self.asked(place, question) for place, question in questions.items())
            return await asyncio.gather(*asked, return_exceptions=True)

        found = asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(ANSWER_S + 1)
        answers: dict[NatsPlace, Reply | StreamclfError] = {}
        for place, answer in zip(questions, found, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, StreamclfError):
                raise answer
            answers[place] = answer
        return answers

    async def asked(self, place: NatsPlace, question: Question) -> Reply:
        """The same as `ask`, on the loop."""
        import nats.errors

        client = self._client()
        if client is None:
            raise SiteAwayError(f"{place.name} cannot be reached")
        inbox = client.new_inbox()
        body = bytearray()
        subscription = await client.subscribe(inbox)
        try:
            async with asyncio.timeout(ANSWER_S):
                await client.publish(place.question_subject, msgspec.msgpack.encode(question), reply=inbox)
                while True:
                    message = await next_message(subscription, timeout_s=ANSWER_S)
                    if message.headers and message.headers.get("Status") == "503":
                        raise SiteAwayError(f"the daemon of {place.site} is not there")
                    piece = _pieces.decode(message.data)
                    body += piece.body
                    if not piece.more or len(body) > MAX_ANSWER:
                        break
        except (TimeoutError, nats.errors.Error, OSError, msgspec.MsgspecError) as fault:
            raise SiteAwayError(f"the daemon of {place.site} does not answer: {place.problem(fault)}") from None
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()
        return _checked(piece, bytes(body))


def _checked(piece: AnswerPiece, body: bytes) -> Reply:
    if piece.status == 200:
        return Reply(body, piece.kind, piece.headers)
    said = body.decode(errors="replace")
    if piece.status == 404:
        raise NotKeptError(said)
    if piece.status == 400:
        raise ServeError(said)
    raise SiteAwayError(said)


def _sentence(fault: Exception) -> Reply:
    return Reply(str(fault).encode(), "text/plain")


_questions = msgspec.msgpack.Decoder(Question)
_pieces = msgspec.msgpack.Decoder(AnswerPiece)
