"""What the first view costs in bytes; when its first row was painted is kept as a figure, which nothing judges."""

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_figures

BYTES = 60_000
_COST = """
() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(({ name }) => !name.includes('/v1/'))
    .map(({ name, transferSize }) => [name.split('/').pop(), transferSize])
"""


def test_the_page_is_small_and_paints_a_row(daemon: StartDaemon, open_page: OpenPage) -> None:
    running = daemon("--source", "demo", "--model", "default")
    page = open_page(f"http://127.0.0.1:{running.port}/")
    page.wait_for_function("() => performance.getEntriesByName('first-row').length > 0")
    first_row = page.evaluate("performance.getEntriesByName('first-row')[0].startTime")
    files = page.evaluate(_COST)
    keep_figures("budget", first_row_ms=round(first_row), transferred_bytes=sum(size for _, size in files))

    assert {"app.js", "style.css"} <= {name for name, _ in files}
    assert all(size > 0 for _, size in files)
    assert sum(size for _, size in files) < BYTES, files
