"""Events and marks in a real PostgreSQL: they arrive, once, whatever is stopped or killed meanwhile."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from streamclf.config import PostgresConfig
from streamclf.daemon import central
from streamclf.daemon.central import Central
from streamclf.store.database import Store
from streamclf.store.events import put_events, set_mark
from tests.conftest import StartDaemon
from tests.support.recordings import bursts
from tests.support.storing import START_NS, stored
from tools.lab.daemon import run_cli
from tools.lab.pgserver import PostgresServer, programs
from tools.lab.tinypack import stateful_pack

psycopg = pytest.importorskip("psycopg", reason="psycopg is absent (pip install streamclf[postgres])")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (package postgresql)"),
]

LIMIT_S = 60.0
SECRET = "s3cr3t-word"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(password=SECRET)
    try:
        server.start(database=True)
        yield server
    finally:
        server.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "store")) as store:
        yield store


@pytest.fixture
def delivering(store: Store, server: PostgresServer) -> Iterator[Callable[..., Central]]:
    """Starts one that delivers this store; all of them are stopped at the end."""
    begun = []

    def begin(site: str = "garden") -> Central:
        begun.append(Central(PostgresConfig(url=server.url, site=site), store.folder))
        begun[-1].start()
        return begun[-1]

    yield begin
    for one in begun:
        assert one.stop(LIMIT_S)


def ask(server: PostgresServer, query: str) -> list[Any]:
    with psycopg.connect(server.url) as connection:
        return list(connection.execute(query).fetchall())


def until(server: PostgresServer, query: str, wanted: object) -> None:
    """Until the query answers this."""
    deadline, found = time.monotonic() + LIMIT_S, None
    while time.monotonic() < deadline:
        try:
            if (found := ask(server, query)) == wanted:
                return
        except psycopg.Error as fault:
            found = fault
        time.sleep(0.05)
    raise AssertionError(f"{query} answers {found!r}, expected {wanted!r}\n{server.said}")


def put(store: Store, first: int, count: int, **changes: Any) -> None:
    with store.transaction() as tx:
        put_events(tx, [stored(number, **changes) for number in range(first, first + count)])


def test_events_their_later_stages_and_marks_arrive(
    store: Store, server: PostgresServer, delivering: Callable[..., Central]
) -> None:
    put(store, 0, 1, stage="open")
    put(store, 1, 2500)  # more than a page
    put(store, 9000, 1, test=True)
    one = delivering()
    until(server, "SELECT count(*), count(offset_at) FROM streamclf.events", [(2501, 2500)])

    put(store, 0, 1)
    with store.transaction() as tx:
        set_mark(tx, stored(7).id, "wrong", "wren\0")
    one.committed()

    until(server, "SELECT mark, mark_label FROM streamclf.events WHERE mark <> ''", [("wrong", "wren")])
    until(server, "SELECT sum(events) FROM streamclf.days", [(2501,)])
    until(server, "SELECT sum(events) FROM streamclf.hours", [(2501,)])
    row = "SELECT site, stage, extract(epoch FROM onset_at), peak FROM streamclf.events"
    assert ask(server, f"{row} WHERE id = '{stored(0).id}'") == [
        ("garden", "close", START_NS // 10**9, pytest.approx(0.9))
    ]
    assert not list(one.found())


def test_nothing_is_lost_or_doubled_where_the_server_is_killed_and_restarted_and_so_is_the_daemon(
    store: Store, server: PostgresServer, delivering: Callable[..., Central]
) -> None:
    one = delivering()
    for turn in range(6):
        for part in range(5):
            put(store, turn * 1000 + part * 200, 200)
            one.committed()
            if part == 2:
                (server.kill if turn % 2 else server.stop)()
        if turn == 3:
            assert one.stop(LIMIT_S)
            one = delivering()
        server.start()
    with store.transaction() as tx:
        set_mark(tx, stored(5999).id, "right")
    one.committed()

    until(server, "SELECT count(*) FROM streamclf.events WHERE mark = 'right'", [(1,)])
    assert ask(server, "SELECT count(*), count(DISTINCT id) FROM streamclf.events") == [(6000, 6000)]
    for counts in ("days", "hours"):
        assert ask(server, f"SELECT sum(events) FROM streamclf.{counts}") == [(6000,)]


def test_a_server_that_lost_all_and_a_store_that_was_put_back_get_everything_again(
    store: Store, server: PostgresServer, delivering: Callable[..., Central], tmp_path: Path
) -> None:
    put(store, 0, 100)
    one = delivering()
    until(server, "SELECT count(*) FROM streamclf.events", [(100,)])
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA streamclf CASCADE")
    put(store, 100, 1)
    one.committed()
    until(server, "SELECT count(*) FROM streamclf.events", [(101,)])

    assert one.stop(LIMIT_S)
    with psycopg.connect(server.url, autocommit=True) as connection:  # as of an event that this store does not have
        connection.execute("UPDATE streamclf.sites SET event = 'gone'")
        connection.execute("DELETE FROM streamclf.events WHERE id LIKE '%/5'")
    delivering()
    until(server, "SELECT count(*) FROM streamclf.events", [(101,)])


def test_two_daemons_of_one_name_are_told(
    store: Store, server: PostgresServer, delivering: Callable[..., Central]
) -> None:
    put(store, 0, 1)
    one = delivering()
    until(server, "SELECT count(*) FROM streamclf.events", [(1,)])
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("UPDATE streamclf.sites SET seq = seq + 1, event = 'of another'")
    put(store, 1, 1)
    one.committed()

    (problem,) = until_found(one)
    assert "another daemon delivers as site garden, too" in problem.what


def test_a_server_that_hangs_is_told_and_goes_on_where_it_hung(
    store: Store,
    server: PostgresServer,
    delivering: Callable[..., Central],
    daemon: StartDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(central, "HANGS_S", 1.0)
    put(store, 0, 1)
    one = delivering()
    until(server, "SELECT count(*) FROM streamclf.events", [(1,)])
    env = {"STREAMCLF_STORE_PATH": str(tmp_path / "other"), "STREAMCLF_POSTGRES_URL": server.url}
    pack = str(stateful_pack(tmp_path / "pack"))
    running = daemon("--source", "push:mic,16000", "--model", pack, env=env)
    running.wait_for("events go to PostgreSQL", LIMIT_S)

    server.freeze()
    put(store, 1, 1)
    one.committed()
    (problem,) = until_found(one)
    assert "no answer for over 1 s" in problem.what
    time.sleep(central.LOOK_S + 1)  # so that the daemon waits for an answer, too
    running.stop()  # in time, or it fails
    server.thaw()

    until(server, "SELECT count(*) FROM streamclf.events", [(2,)])
    deadline = time.monotonic() + LIMIT_S
    while list(one.found()):  # it is there before the answer is
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_found(one: Central) -> list[Any]:
    deadline = time.monotonic() + LIMIT_S
    while not (found := list(one.found())):
        assert time.monotonic() < deadline, "no problem was found"
        time.sleep(0.02)
    return found


def test_what_the_server_says_has_no_password(store: Store, server: PostgresServer) -> None:
    url = server.url.replace(SECRET, f"{SECRET}x")
    one = Central(PostgresConfig(url=url, site="garden"), store.folder)
    one.start()
    (problem,) = until_found(one)
    assert one.stop(LIMIT_S)
    assert "password authentication failed" in problem.what
    assert SECRET not in problem.what


def test_a_real_daemon_delivers_tells_that_it_is_cut_off_and_goes_on(
    server: PostgresServer, daemon: StartDaemon, tmp_path: Path
) -> None:
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=1.5)
    env = {
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
        "STREAMCLF_POSTGRES_URL": server.url,
        "STREAMCLF_POSTGRES_SITE": "garden",
    }
    running = daemon(
        "--source", f"file:{sound}#loop=yes&name=mic", "--model", str(stateful_pack(tmp_path / "pack")), env=env
    )
    until(server, "SELECT DISTINCT site, stream FROM streamclf.events", [("garden", "mic")])
    event = running.get_json("/v1/events?limit=1")["events"][0]["id"]
    with connect(running.url) as client:
        client.send(json.dumps({"type": "mark", "event": event, "mark": "right"}))
        until(server, "SELECT id FROM streamclf.events WHERE mark = 'right'", [(event,)])

    server.kill()
    running.wait_for("events do not reach PostgreSQL", LIMIT_S)
    told = running.get_json("/healthz")
    assert "events do not reach PostgreSQL" in json.dumps(told)
    server.start()
    kept = len(running.get_json("/v1/events?limit=1000")["events"])
    deadline = time.monotonic() + LIMIT_S
    while ask(server, "SELECT count(*) FROM streamclf.events")[0][0] < kept:
        assert time.monotonic() < deadline, running.stderr
        time.sleep(0.1)
    # new events come all the time: it is empty at some moment
    while "streamclf_postgres_backlog 0.0" not in running.get("/metrics")[1].decode():
        assert time.monotonic() < deadline, running.stderr
        time.sleep(0.02)
    shown = run_cli("config", "show", home=tmp_path, env=env)
    for text in (running.stderr, json.dumps(told), shown.stdout):
        assert SECRET not in text


@pytest.mark.parametrize(
    "wrong", [f"postgresql://me:{SECRET}/x@host/db", f"postgresql://me:{SECRET}%zz@host/db", SECRET]
)
def test_an_address_that_cannot_be_read_is_told_without_its_password(wrong: str, tmp_path: Path) -> None:
    done = run_cli("run", "--source", "push:a,16000", home=tmp_path, env={"STREAMCLF_POSTGRES_URL": wrong})
    assert done.returncode == 78, done.stderr
    assert "postgresql://" in done.stderr
    assert SECRET not in done.stderr
