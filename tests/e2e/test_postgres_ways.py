"""Ways to a PostgreSQL: TLS, a password in a file, a database that may only be read, tables of other versions."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamclf.config import PostgresConfig
from streamclf.daemon.central import Central
from streamclf.store import postgres
from streamclf.store.database import Store
from streamclf.store.events import put_events
from tests.support.certificates import make_pair
from tests.support.storing import stored
from tools.lab.daemon import run_cli
from tools.lab.pgserver import Pooler, PostgresServer, pooler_program, programs

psycopg = pytest.importorskip("psycopg", reason="psycopg is absent (pip install streamclf[postgres])")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (package postgresql)"),
]

LIMIT_S = 60.0
SECRET = "s3cr3t-word"
Begin = Callable[..., Central]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "store")) as store:
        with store.transaction() as tx:
            put_events(tx, [stored(number) for number in range(5)])
        yield store


@pytest.fixture
def begin(store: Store) -> Iterator[Begin]:
    """Starts one that delivers this store; all are stopped at the end."""
    begun: list[Central] = []

    def start(url: str = "", **more: str) -> Central:
        begun.append(Central(PostgresConfig(url=url, site="garden", **more), store.folder))
        begun[-1].start()
        return begun[-1]

    yield start
    for one in begun:
        assert one.stop(LIMIT_S)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(password=SECRET)
    try:
        server.start(database=True)
        yield server
    finally:
        server.close()


def until_there(server: PostgresServer, events: int = 5) -> None:
    deadline, found = time.monotonic() + LIMIT_S, None
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(server.url) as connection:
                found = connection.execute("SELECT count(*) FROM streamclf.events").fetchone()[0]
        except psycopg.Error as fault:
            found = fault
        if found == events:
            return
        time.sleep(0.05)
    raise AssertionError(f"{found!r} is there, expected {events}\n{server.said}")


def problem_of(one: Central) -> str:
    deadline = time.monotonic() + LIMIT_S
    while not (found := list(one.found())):
        assert time.monotonic() < deadline, "no problem was found"
        time.sleep(0.02)
    assert SECRET not in found[0].what
    return found[0].what


def execute(server: PostgresServer, *statements: str) -> list[Any]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        done = connection.execute(statements[-1])
        return done.fetchall() if done.description else []


def file_of(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.skipif(pooler_program() is None, reason="PgBouncer is not installed (package pgbouncer)")
def test_by_way_of_a_pooler(server: PostgresServer, begin: Begin, store: Store, mode: str) -> None:
    pooler = Pooler(server, mode=mode)
    try:
        one = begin(pooler.url)
        until_there(server)
        for number in range(5, 40):  # each a transaction of its own, by turns in one of two sessions
            with store.transaction() as tx:
                put_events(tx, [stored(number)])
            one.committed()
            until_there(server, number + 1)
        assert list(one.found()) == []
    finally:
        pooler.close()


def test_a_statement_that_waits_for_ever_is_given_up(server: PostgresServer) -> None:
    """The limits are those of each transaction, and hold in it."""
    with closing(postgres.connect(server.url, "garden")) as far:
        postgres.prepare(far)
        (before,) = far.execute("SHOW lock_timeout").fetchone() or ("",)
        with closing(psycopg.connect(server.url)) as other:
            other.execute("LOCK TABLE streamclf.sites")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                postgres.position(far, "garden")
        assert far.execute("SHOW lock_timeout").fetchone() == (before,), "what others find in that session stays theirs"


def test_over_tls_where_the_authority_is_believed(begin: Begin, tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "server")
    another, _ = make_pair(tmp_path, "another")
    server = PostgresServer(password=SECRET)
    try:
        server.secure(certificate, key)
        server.start(database=True)
        distrusting = begin(f"{server.url}?sslmode=verify-full&sslrootcert={another}")
        assert "certificate verify failed" in problem_of(distrusting)
        assert distrusting.stop(LIMIT_S)
        begin(f"{server.url}?sslmode=verify-full&sslrootcert={certificate}")
        until_there(server)
        (row,) = execute(server, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                 "WHERE application_name = 'streamclf garden'")  # fmt: skip
        assert row == (True,)
    finally:
        server.close()


@pytest.mark.parametrize("way", ["passfile", "url_file"])
def test_a_password_that_lies_in_a_file(server: PostgresServer, begin: Begin, tmp_path: Path, way: str) -> None:
    bare = server.url.replace(f":{SECRET}@", "@")
    if way == "passfile":
        lines = f"127.0.0.1:{server.port}:streamclf:streamclf:{SECRET}\n"
        begin(f"{bare}?passfile={file_of(tmp_path, 'pgpass', lines)}")
    else:
        begin(url_file=str(file_of(tmp_path, "address", f"{server.url}\n")))
    until_there(server)


def test_files_and_addresses_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    opened = file_of(tmp_path, "opened", f"postgresql://me:{SECRET}@h/d")
    opened.chmod(0o644)
    nonsense = file_of(tmp_path, "nonsense", f"{SECRET} and more")
    for keys, words in (
        ({"URL_FILE": str(opened)}, "chmod 600"),
        ({"URL_FILE": str(tmp_path / "none")}, "No such file"),
        ({"URL_FILE": str(nonsense)}, "is not an address that can be read"),
        ({"URL_FILE": str(nonsense), "URL": "postgresql://h/d"}, "keep one"),
    ):
        env = {f"STREAMCLF_POSTGRES_{key}": value for key, value in keys.items()}
        done = run_cli("run", "--source", "push:a,16000", home=tmp_path, env=env)
        assert done.returncode == 78, done.stderr
        assert words in done.stderr
        assert SECRET not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_database_that_may_only_be_read_is_told_and_written_once_it_may(server: PostgresServer, begin: Begin) -> None:
    execute(server, "ALTER DATABASE streamclf SET default_transaction_read_only = on")
    assert "read-only transaction" in problem_of(one := begin(server.url))
    # as root of the server would: this connection is one that may only read, too
    execute(server, "SET default_transaction_read_only = off", "ALTER DATABASE streamclf SET "
            "default_transaction_read_only = off")  # fmt: skip
    until_there(server)
    execute(server, "ALTER DATABASE streamclf SET default_transaction_read_only = on")
    assert one.stop(LIMIT_S)
    assert not list(begin(server.url).found()), "nothing is new, so nothing has to be written"


def test_a_role_that_may_make_nothing_is_told_what_it_lacks(server: PostgresServer, begin: Begin) -> None:
    execute(server, f"CREATE ROLE poor LOGIN PASSWORD '{SECRET}'")
    poor = server.url.replace("streamclf:", "poor:")
    one = begin(poor)
    assert "permission denied for database streamclf" in problem_of(one)
    assert one.stop(LIMIT_S)
    execute(server, "CREATE SCHEMA streamclf AUTHORIZATION poor")
    begin(poor)
    until_there(server)


def test_tables_of_a_newer_version_are_left_alone(server: PostgresServer, begin: Begin) -> None:
    one = begin(server.url)
    until_there(server)
    assert one.stop(LIMIT_S)
    execute(server, "UPDATE streamclf.version SET version = 99")
    assert "the tables in PostgreSQL are of version 99" in problem_of(begin(server.url))


def test_tables_of_an_older_version_are_changed_and_who_writes_as_then_is_sent_away(
    server: PostgresServer, begin: Begin
) -> None:
    execute(server, (Path(__file__).parents[1] / "support" / "postgres_1.sql").read_text())
    execute(
        server,
        "INSERT INTO streamclf.events SELECT 'barn', 'run/' || n, n, 'mic', 'birds', '', 'label_' || n % 2, 'bird', "
        "'close', n, n, timestamptz '2026-01-01 00:10 UTC' + n * interval '20 min', NULL, now(), 0.9, 0.5, NULL, 0.5, "
        "0.3, 1, 1, 'quiet', '', '' FROM generate_series(0, 5) AS n",
        "INSERT INTO streamclf.days SELECT label, '2026-01-01', 'barn', count(*) FROM streamclf.events GROUP BY 1",
    )
    with psycopg.connect(server.url, application_name="streamclf barn", autocommit=True) as older:
        begin(server.url)
        until_there(server, 11)
        with pytest.raises(psycopg.OperationalError):
            older.execute("SELECT 1")
    hours = "SELECT label, extract(hour FROM hour AT TIME ZONE 'UTC')::int, events FROM streamclf.hours ORDER BY 1, 2"
    there = [row for row in execute(server, hours) if row[0].startswith("label_")]
    assert there == [("label_0", 0, 2), ("label_0", 1, 1), ("label_1", 0, 1), ("label_1", 1, 2)]
    sums = "SELECT (SELECT sum(events) FROM streamclf.days), (SELECT sum(events) FROM streamclf.hours)"
    assert execute(server, sums) == [(11, 11)]
    assert execute(server, "SELECT version FROM streamclf.version") == [(2,)]
    (columns,) = execute(server, "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'streamclf'")
    execute(server, "ALTER SCHEMA streamclf RENAME TO former")
    begin(server.url).committed()
    until_there(server)
    same = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'streamclf'"
    assert execute(server, same) == [columns], "what is changed is as what is made anew"


def test_many_sites_that_deliver_at_once_count_the_same_hours(server: PostgresServer) -> None:
    def deliver(site: str) -> None:
        with closing(postgres.connect(server.url, site)) as far:
            postgres.prepare(far)
            at = postgres.position(far, site)
            for page in range(10):
                numbers = range(page * 50, page * 50 + 50)
                events = [stored(n * 100, label=f"label_{(n * 7 + len(site)) % 11}", seq=n + 1) for n in numbers]
                at = postgres.put_page(far, site, at, events)

    with ThreadPoolExecutor(8) as pool:  # raises where the server found that two waited for each other
        list(pool.map(deliver, [f"site-{'x' * number}" for number in range(8)]))
    sums = "SELECT (SELECT sum(events) FROM streamclf.days), (SELECT sum(events) FROM streamclf.hours)"
    assert execute(server, sums) == [(4000, 4000)]
