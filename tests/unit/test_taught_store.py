"""What was taught, and moments, in a real database."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamclf.clock import NS_PER_FRAME
from streamclf.store import moments, taught
from streamclf.store.database import Store
from streamclf.store.moments import Moment, MomentLog
from streamclf.store.taught import Example, TaughtClass
from streamclf.teach.alike import find_alike
from streamclf.types import F32, Remembered

SIZE = 32
S = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def numbers(seed: int, count: int = 1) -> F32:
    return np.random.default_rng(seed).random((count, SIZE)).astype(np.float32)


def example(ident: str, label: str = "kettle", *, made_ns: int = 1, said: str = "is") -> Example:
    return Example(ident, label, said, "", "mic", 5 * S, 6 * S, made_ns, "v1", numbers(made_ns, 3), b"fLaC")


def a_class(label: str = "kettle") -> TaughtClass:
    return TaughtClass(label, label.capitalize(), "tones", "v1", numbers(9)[0], 0.5, 0.3, 7)


def moment(at_s: float, seed: int, *, event: str = "", label: str = "", stream: str = "mic") -> Moment:
    return Moment(int(at_s * S), stream, event, label, "v1", numbers(seed)[0])


def test_classes_and_examples_come_back_as_they_were_in_the_order_in_which_they_were_shown(store: Store) -> None:
    with store.transaction() as tx:
        for at, label in enumerate(("zebra", "ant")):
            taught.put_class(tx, a_class(label))
            taught.put_example(tx, example(f"e{at}", label, made_ns=at + 1))

    assert [one.label for one in taught.classes(store.connection)] == ["zebra", "ant"]
    (back,) = taught.examples(store.connection, ["ant"])
    np.testing.assert_allclose(back.numbers, numbers(2, 3), atol=1e-3)
    assert (back.sound, back.said, back.until_ns) == (b"fLaC", "is", 6 * S)
    np.testing.assert_array_equal(taught.classes(store.connection)[0].weights, numbers(9)[0])


def test_a_class_goes_with_its_examples_and_an_example_goes_alone(store: Store) -> None:
    with store.transaction() as tx:
        for label in ("ant", "bee"):
            taught.put_class(tx, a_class(label))
            for at in range(2):
                taught.put_example(tx, example(f"{label}{at}", label, made_ns=at + 1))
        taught.forget_example(tx, "ant0")
        taught.forget_class(tx, "bee")

    assert [one.id for one in taught.examples(store.connection)] == ["ant1"]
    assert [one.label for one in taught.classes(store.connection)] == ["ant"]


def test_the_moment_of_an_event_and_the_one_that_is_nearest_are_found(store: Store) -> None:
    with store.transaction() as tx:
        some = [moment(1, 1), moment(9, 2, event="run/e1", label="dog"), moment(30, 3), moment(9.5, 4, stream="yard")]
        moments.put_moments(tx, some)

    connection = store.connection
    of_event = moments.moment_of(connection, "run/e1")
    assert of_event is not None
    np.testing.assert_allclose(of_event.numbers, numbers(2)[0], atol=1e-3)
    assert moments.moment_of(connection, "") is None
    near = moments.moment_near(connection, "mic", 10 * S, within_ns=15 * S)
    assert near is not None
    assert near.at_ns == 9 * S
    assert moments.moment_near(connection, "mic", 300 * S, within_ns=15 * S) is None


def test_moments_are_read_newest_or_spread_over_all(store: Store) -> None:
    with store.transaction() as tx:
        moments.put_moments(tx, [moment(at, at) for at in range(100)])

    newest = moments.read_moments(store.connection, "v1", most=10)
    assert (newest.at_ns // S).tolist() == list(range(90, 100))
    spread = moments.read_moments(store.connection, "v1", most=10, spread=True)
    assert len(spread.at_ns) == 10
    assert spread.at_ns[0] // S < 15
    assert len(moments.read_moments(store.connection, "another", most=10).at_ns) == 0


def test_old_moments_go_and_the_oldest_beyond_the_number(store: Store) -> None:
    with store.transaction() as tx:
        moments.put_moments(tx, [moment(at, at) for at in range(20)])
        assert moments.forget_moments(tx, before_ns=5 * S, most=10) == 10

    assert moments.read_moments(store.connection, "v1", most=99).at_ns[0] == 10 * S


def test_the_log_gathers_and_writes_whole_ids_but_nothing_of_a_self_test(store: Store) -> None:
    log = MomentLog("run1", keep_days=1, without=("self",))
    some = [
        Remembered("mic", 50, "mic/dog/1", "dog", "v1", numbers(1)[0]),
        Remembered("self", 50, "", "", "v1", numbers(2)[0]),
    ]
    log.take(some, {"mic": 7, "self": 7})

    assert log.due(1.0, 1) is None
    write = log.due(6.0, 1)
    assert write is not None
    with store.transaction() as tx:
        write(tx)
    (kept,) = [moments.moment_of(store.connection, "run1/mic/dog/1")]
    assert kept is not None
    assert kept.at_ns == 7 + 50 * NS_PER_FRAME
    assert moments.count_moments(store.connection, "v1") == 1
    assert log.due(99.0, 1) is None


def test_what_sounds_alike_is_found_and_is_not_the_moment_itself(store: Store) -> None:
    with store.transaction() as tx:
        like = Moment(50 * S, "yard", "", "", "v1", numbers(1)[0] * 3)
        some = [moment(at, at, event=f"run/e{at}", label="dog") for at in range(1, 6)]
        moments.put_moments(tx, [*some, like])

    found = find_alike(store.connection, event="run/e1", limit=3)

    assert found is not None
    assert [(found[0].stream, found[0].at_ns)] == [("yard", 50 * S)]
    assert found[0].likeness == pytest.approx(1.0, abs=1e-3)
    assert len(found) == 3
    assert "run/e1" not in [one.event for one in found]
    assert find_alike(store.connection, event="run/none") is None
