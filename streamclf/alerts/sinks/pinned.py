"""Requests of the web that go to the very address that was checked, and nowhere else: no redirect, no proxy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from streamclf.alerts.sinks.addresses import answers, resolve
from streamclf.errors import ConfigError

if TYPE_CHECKING:
    import httpx  # slow to import: who opens a client imports it

_MOST_BYTES = 64 * 1024  # that are read of an answer


def client(timeout_s: float) -> "httpx.AsyncClient":
    """For `ask`. Raises ImportError where the package is absent."""
    import httpx

    return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout_s)


async def ask(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    *,
    private: bool,
    headers: Mapping[str, str],
    content: bytes = b"",
) -> "httpx.Response":
    """The answer, of whose body nobody wants to know. private: see `addresses.resolve`.

    Raises `Temporary` where the address may not be used, httpx's own errors where it does not answer.
    """
    parts = urlsplit(url)
    host, port = place_of(parts)
    address = await resolve(host, port, private=private)
    netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    request = client.build_request(
        method,
        urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")),
        headers={**headers, "Host": parts.netloc.rpartition("@")[2], "User-Agent": "streamclf"},
        content=content,
        extensions={"sni_hostname": host},  # the certificate has to be that of the name, not of the address
    )
    response = await client.send(request, stream=True)
    try:
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > _MOST_BYTES:
                break
    finally:
        await response.aclose()
    return response


async def check(url: str, *, private: bool) -> None:
    """Whether the address may be used and answers; nothing is asked of it. Raises `ConfigError` or `Temporary`."""
    import httpx

    parts = urlsplit(url)
    host, port = place_of(parts)
    address = await resolve(host, port, private=private)
    tls = httpx.create_ssl_context(trust_env=False) if parts.scheme == "https" else None
    await answers(address, port, tls=tls, name=host)


def place_of(parts: SplitResult) -> tuple[str, int]:
    """Host and port of an address."""
    try:
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ConfigError("the port of its address is no number from 1 to 65535") from None
