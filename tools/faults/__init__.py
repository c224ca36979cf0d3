"""Faults put into live daemons, for real: `python -m tools.faults`. See docs/operate/faults.md."""
