"""The documents build strictly, and a page of the site asks nothing of another host."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.documents import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NAMED = {"canonical", "next", "prev"}  # of <link>: places that are named and not loaded


class Loads(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADED and given.get("rel") not in NAMED and (place := given.get(LOADED[tag])):
            self.found.append(place)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built; STREAMCLF_TEST_SITE names one that was built just now."""
    if built := os.environ.get("STREAMCLF_TEST_SITE"):
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(ROOT / ".mkdocs.yml"), "-d", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_a_page_asks_nothing_of_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        assert loads.found
        assert [place for place in loads.found if "//" in place] == [], page
