"""What each state of a stream means, told in one place."""

import pytest

from streamclf.types import StreamState


@pytest.mark.parametrize("state", StreamState)
def test_a_state_means_one_thing(state: StreamState) -> None:
    # nothing is at once as it should be and a fault, and what is heard is neither silent nor left unread
    assert state.expected + state.broken + state.lessened <= 1
    assert not (state.heard and (state.silent or state.unread or state.broken or state.lessened))
    assert StreamState.read(str(state)) is state


def test_a_stream_that_resumed_is_live() -> None:
    assert StreamState.RESUMED.settled is StreamState.LIVE
    assert all(state.settled is state for state in StreamState if state is not StreamState.RESUMED)
    assert StreamState.RESUMED.settled.heard


def test_the_pace_of_packs_is_no_state_of_a_stream() -> None:
    assert [state for state in StreamState if not state.of_stream] == [StreamState.BEHIND, StreamState.HOP]


def test_a_word_that_a_newer_daemon_says_is_no_state() -> None:
    assert StreamState.read("asleep") is None
