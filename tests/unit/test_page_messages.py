"""What the page's own tests decode is what the daemon encodes today."""

from tests.support import pagemessages


def test_the_messages_of_the_pages_tests_are_those_that_the_daemon_encodes() -> None:
    assert pagemessages.FILE.read_text() == pagemessages.text(), "run python -m tests.support.pagemessages"
