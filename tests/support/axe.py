"""What axe finds on a page."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# where the bar of the views is scrolled, axe takes their links (#live) for links that skip to a part of the page
OPTIONS = {"rules": {"skip-link": {"enabled": False}}}


def faults(page: Page) -> list[str]:
    """Each with where it is."""
    found: list[dict[str, Any]] = Axe().run(page, options=OPTIONS).response["violations"]
    return [f"{one['id']} at {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]]
