"""A daemon for hours among flapping sources, hostile clients and failing sinks: `python -m tools.soak --hours H`."""
