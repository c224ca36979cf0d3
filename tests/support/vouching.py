"""Who vouches for whom at a nats-server: pairs of keys, and the tokens (JWT) that they sign."""

import base64
import hashlib
import json
import os
from typing import Any

UNLIMITED = ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
              "consumer", "max_ack_pending", "mem_max_stream_bytes", "disk_max_stream_bytes")  # fmt: skip


def pair_of(nkeys: Any, kind: str) -> Any:
    """A new one."""
    prefix = getattr(nkeys, f"PREFIX_BYTE_{kind.upper()}")
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def signed(by: Any, of: Any, kind: str, more: dict[str, Any]) -> str:
    """A token of NATS (JWT), version 2: who vouches for whom."""
    claims = {"iss": by.public_key.decode(), "sub": of.public_key.decode(), "name": kind, "iat": 1_700_000_000}
    claims["nats"] = {"type": kind, "version": 2, **more}
    digest = hashlib.sha512(json.dumps(claims).encode()).digest()[:32]
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
    body = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{body}.{base64.urlsafe_b64encode(by.sign(body.encode())).decode().rstrip('=')}"
