"""streamclf: a daemon that listens and tells what it hears, every 20 ms."""

__version__ = "0.1.0"
