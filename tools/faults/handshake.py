"""What a websocket client says first, as bytes."""

import base64
import os


def shake(port: int, path: str = "/v1", *more: str, host: str = "") -> bytes:
    """more: further lines of the request."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host or f'127.0.0.1:{port}'}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
