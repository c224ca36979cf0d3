"""The page in a real browser."""

from tests.support.browser import browser, open_page

__all__ = ["browser", "open_page"]
