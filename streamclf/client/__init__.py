"""The Python client: every message of a running daemon, typed, over reconnections, without a silent loss.

Needs msgspec and websockets alone; numpy where score rows come in binary, or sound.
"""

from streamclf.client.age import age_s
from streamclf.client.client import DEFAULT_URL, Bookmark, Client, Messages, Reconnect, Subscription, parse_url

__all__ = ["DEFAULT_URL", "Bookmark", "Client", "Messages", "Reconnect", "Subscription", "age_s", "parse_url"]
