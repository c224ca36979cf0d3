"""What the first view costs: bytes transferred, and the time until the first row is painted."""

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_figures
from tests.support.load import patience

BYTES = 60_000
FIRST_ROW_MS = 1_000
_COST = """
() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(({ name }) => !name.includes('/v1/'))
    .map(({ name, transferSize }) => [name.split('/').pop(), transferSize])
"""


def test_the_page_is_small_and_paints_its_first_row_at_once(daemon: StartDaemon, open_page: OpenPage) -> None:
    running = daemon("--source", "demo", "--model", "default")
    took = []
    for _ in range(3):
        page = open_page(f"http://127.0.0.1:{running.port}/")
        page.wait_for_function("() => performance.getEntriesByName('first-row').length > 0")
        took.append(page.evaluate("performance.getEntriesByName('first-row')[0].startTime"))
        if min(took) < FIRST_ROW_MS:
            break
    files = page.evaluate(_COST)
    keep_figures("budget", first_row_ms=round(min(took)), transferred_bytes=sum(size for _, size in files))

    assert min(took) < FIRST_ROW_MS * patience(), took
    assert {"app.js", "style.css"} <= {name for name, _ in files}
    assert all(size > 0 for _, size in files)
    assert sum(size for _, size in files) < BYTES, files
