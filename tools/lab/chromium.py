"""The browser of the tests and of the tools that draw or measure the page."""

import os
import shutil

CHROMIUM = os.environ.get("STREAMCLF_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# a container's root has no sandbox to start, and nothing but our own page is opened
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
