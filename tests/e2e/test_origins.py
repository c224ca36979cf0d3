"""A dashboard's first contact: its page is refused and told why, and a flag lets it in."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.rawclient import RawClient
from tools.lab.daemon import run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

DEVELOPMENT = "http://localhost:5173"


def ask(port: int, origin: str) -> tuple[int, str]:
    """Status and body of the answer to a page of `origin` that opens the websocket."""

    async def main() -> tuple[int, str]:
        client = await RawClient.websocket(port, headers={"Origin": origin})
        client.close()
        return client.status, client.body.decode()

    return asyncio.run(main())


def test_a_page_of_another_origin_is_refused_with_the_line_that_lets_it_in(daemon: StartDaemon, tmp_path: Path) -> None:
    arguments = ["--source", "demo", "--model", str(stateful_pack(tmp_path / "tiny"))]
    running = daemon(*arguments)

    status, said = ask(running.port, DEVELOPMENT)
    ask(running.port, DEVELOPMENT)

    flag = f"streamclf run --origin {DEVELOPMENT}"
    running.wait_for(flag, 10.0)  # the log is written by a thread of its own
    logged = [line for line in running.stderr.splitlines() if DEVELOPMENT in line]
    assert status == 403
    assert said.startswith(f"Origin {DEVELOPMENT} may not connect; if it should, start with --origin {DEVELOPMENT} or ")
    assert len(logged) == 1
    assert f'set origins = ["{DEVELOPMENT}"] under [server] in the configuration, or start with: {flag}' in logged[0]

    allowing = daemon(*arguments, "--origin", DEVELOPMENT, "--origin", "https://dash.example/")
    answers = [
        ask(allowing.port, origin)[0] for origin in (DEVELOPMENT, "https://dash.example", "http://localhost:5174")
    ]
    assert answers == [101, 101, 403]


def test_a_page_opened_as_a_file_is_told_what_to_do_and_foreign_text_goes_nowhere(
    daemon: StartDaemon, tmp_path: Path
) -> None:
    running = daemon("--source", "demo", "--model", str(stateful_pack(tmp_path / "tiny")))

    for origin in ("null", "file://"):
        status, said = ask(running.port, origin)
        assert (status, "opened as a file" in said, "python3 -m http.server" in said) == (403, True, True)
    status, said = ask(running.port, "http://<img src=x>")
    assert (status, "no web origin" in said) == (403, True)
    assert "<" not in said + running.stderr
    assert running.stderr.count("opened as a file") == 1


@pytest.mark.parametrize("text", ["null", "localhost:5173", "http://localhost:5173/page", "*", ""])
def test_what_is_no_origin_is_a_mistake_of_the_command_line(text: str, tmp_path: Path) -> None:
    done = run_cli("run", "--source", "demo", "--origin", text, home=tmp_path)

    assert done.returncode == 2
    assert "is not a web origin" in done.stderr
    assert "Traceback" not in done.stderr
