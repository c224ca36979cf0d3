"""What each state of a stream means, told in one place."""

import pytest

from streamclf.types import MEANINGS, StreamState, Tone

OF_NO_STREAM = {StreamState.BEHIND, StreamState.HOP, StreamState.PACK_PROBLEM, StreamState.PACK_BACK}


def test_every_state_has_its_line() -> None:
    assert set(MEANINGS) == set(StreamState)


@pytest.mark.parametrize("state", StreamState)
def test_a_state_means_one_thing(state: StreamState) -> None:
    # nothing is at once as it should be and a fault, and what is heard is neither silent nor left unread
    assert state.expected + state.deaf + state.lessened <= 1
    assert not (state.heard and (state.silent or state.unread or state.deaf or state.lessened))
    assert StreamState.read(str(state)) is state
    assert state.meaning.words
    assert state.meaning.what.endswith(".")
    assert (state.meaning.tone in (Tone.WARN, Tone.BAD)) == (state.deaf or state.lessened)
    assert bool(state.meaning.to_do) == (state.deaf or state.lessened), "who sees trouble is told what to do"


def test_a_stream_that_should_be_heard_and_is_not_makes_health_503() -> None:
    deaf = {state for state in StreamState if state.of_stream and state.deaf}
    assert deaf == {
        StreamState.LOST,
        StreamState.RECONNECTING,
        StreamState.GONE,
        StreamState.STALLED,
        StreamState.MUTED,
        StreamState.UNSCORED,
        StreamState.PROBLEM,
        StreamState.PAUSED,
    }
    assert not any(state.heard for state in deaf)


def test_a_stream_that_resumed_is_live() -> None:
    assert StreamState.RESUMED.settled is StreamState.LIVE
    assert all(state.settled is state for state in StreamState if state is not StreamState.RESUMED)
    assert StreamState.RESUMED.settled.heard


def test_after_its_end_no_sample_comes() -> None:
    assert {state for state in StreamState if state.over} == {StreamState.ENDED, StreamState.GONE}


def test_the_state_of_a_pack_and_the_pace_is_no_state_of_a_stream() -> None:
    assert {state for state in StreamState if not state.of_stream} == OF_NO_STREAM


def test_a_word_that_a_newer_daemon_says_is_no_state() -> None:
    assert StreamState.read("asleep") is None
