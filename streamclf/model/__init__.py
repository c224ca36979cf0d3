"""Model packs, and what runs them."""

import os

# ONNX Runtime reads it once, when it is imported, and whoever imports it comes through here first. Without it, it looks
# up a host for its telemetry and keeps a device id in the user's cache. Processes started from here inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
