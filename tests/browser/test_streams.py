"""The health view: problems on top with what to do, many streams in a table that stays readable."""

from streamclf.config import Config
from streamclf.daemon.diagnosis import DaemonProblems, PartProblems
from streamclf.daemon.health import Health
from streamclf.daemon.hearing import Hearing
from streamclf.serve.http.route import Route
from streamclf.serve.roles import Role
from streamclf.types import Status, StreamState
from tests.support.browser import OpenPage, hub_server, keep_picture
from tests.support.serving import make_hub, publish

MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
ROW = ".stream-table tbody tr"


def test_a_hundred_streams_are_a_table_with_trouble_first_and_a_filter(open_page: OpenPage) -> None:
    names = [f"box-{number:02}" for number in range(99)] + [f"z{MARKUP}"]
    hub = make_hub(streams=names)
    publish(hub, Status("box-40", StreamState.RECONNECTING, "why"), Status(names[-1], StreamState.LOST, MARKUP))
    problems = DaemonProblems(hub, PartProblems(writer=None, selftest=None, alerts=None))
    health = Health(hub, [], Config(), Hearing(hub, []), problems, needs_token=False)
    with hub_server(hub, {"/v1/status": Route(Role.LABELS, health.answer, in_thread=True)}) as server:
        page = open_page(server.address + "#streams")
        page.wait_for_selector(ROW)
        keep_picture(page, "streams-many")
        first = page.locator(f"{ROW} th").all_text_contents()
        told = page.locator(".health-problem").all_text_contents()
        page.fill("input[type=search]", "-04")
        page.wait_for_function(f"() => document.querySelectorAll('{ROW}').length === 1")
        found = page.locator(f"{ROW} th").all_text_contents()
        page.fill("input[type=search]", "")
        server.call(lambda: publish(hub, Status("box-07", StreamState.LOST, "unplugged")))
        page.wait_for_function(f"() => document.querySelector('{ROW} th').textContent === 'box-07'")
        summary = page.locator(".health-summary").inner_text()
        injected = page.locator("main img, .health-problem b").count()

        assert len(first) == 100
        assert first[:3] == [names[-1], "box-40", "box-00"]
        assert told[0].startswith(f"{names[-1]} is lost: {MARKUP}")
        assert "See that the device is plugged in" in told[0]
        assert found == ["box-04"]
        assert summary == "3 problems"
        assert (injected, page.title()) == (0, "Streams · streamclf")


def test_each_state_reads_as_the_table_says_here_and_in_the_live_view(open_page: OpenPage) -> None:
    states = [state for state in StreamState if state.of_stream and state is state.settled]
    hub = make_hub(streams=[str(state) for state in states])
    publish(hub, *(Status(str(state), state, "why") for state in states))
    problems = DaemonProblems(hub, PartProblems(writer=None, selftest=None, alerts=None))
    health = Health(hub, [], Config(), Hearing(hub, []), problems, needs_token=False)
    with hub_server(hub, {"/v1/status": Route(Role.LABELS, health.answer, in_thread=True)}) as server:
        page = open_page(server.address + "#streams")
        page.wait_for_selector(ROW)
        names = page.locator(f"{ROW} th").all_text_contents()
        badges = page.locator(f"{ROW} .health-badge").all()
        seen = {
            name: (badge.inner_text(), badge.get_attribute("data-tone"))
            for name, badge in zip(names, badges, strict=True)
        }
        page = open_page(server.address + "#live")
        page.wait_for_selector(".live-state")
        shown = page.locator(".live-state").inner_text()

        assert seen == {str(state): (state.meaning.words, str(state.meaning.tone)) for state in states}
        assert names[0] == "lost"
        first = StreamState(page.locator(".live-head h1, .live-head h2").first.inner_text())
        assert shown == ("why" if first.heard else f"{first.meaning.words}: why")
