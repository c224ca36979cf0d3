"""Websocket frames from server to client, ready for any number of transports."""

from websockets.frames import Frame, Opcode


def text_frame(data: bytes) -> bytes:
    """Of a JSON message."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def binary_frame(data: bytes) -> bytes:
    """Of a message in binary."""
    return Frame(Opcode.BINARY, data).serialize(mask=False)
