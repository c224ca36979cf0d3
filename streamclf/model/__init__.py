"""Model packs, and what runs them."""

import os

from streamclf.room import need

# ONNX Runtime reads it once, when it is imported, and whoever imports it comes through here first. Without it, it looks
# up a host for its telemetry and keeps a device id in the user's cache. Processes started from here inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# of address space, for ONNX Runtime, onnx and what comes with them: a library in C++ that finds less as it is loaded
# ends the process now and then, without a word
_ROOM_MIB = 85
need(_ROOM_MIB)
