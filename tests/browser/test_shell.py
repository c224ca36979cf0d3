"""The head of the page: theme, keys, views by address, and the reason when one cannot be had."""

from playwright.sync_api import Route

from streamclf.serve.hub import Hub
from tests.browser.test_now import hub
from tests.support.browser import WAIT_MS, OpenPage, hub_server
from tests.support.serving import LABELS, pack_info, stream_info

THEME = "document.documentElement.dataset.theme ?? 'auto'"
BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"


def test_the_theme_is_chosen_by_key_and_kept(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address, color_scheme="dark")
        seen = [(page.evaluate(THEME), page.evaluate(BACKGROUND))]
        for _ in range(2):
            page.keyboard.press("t")
            seen.append((page.evaluate(THEME), page.evaluate(BACKGROUND)))
        page.reload()
        page.wait_for_selector(".brand")

        assert [theme for theme, _ in seen] == ["auto", "light", "dark"]
        assert seen[0][1] == seen[2][1] != seen[1][1]
        assert page.evaluate(THEME) == "dark"
        assert page.get_by_role("button", name="Theme: dark").count() == 1


def test_views_are_opened_by_digit_and_address_and_unknown_ones_lead_home(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#nothing")
        page.wait_for_selector("nav a[aria-current=page]:has-text('Live')")
        page.keyboard.press("2")
        page.wait_for_selector("nav a[aria-current=page]:has-text('Now')")
        titled = page.title()
        page.go_back()
        page.wait_for_selector("nav a[aria-current=page]:has-text('Live')")
        for name in ("Events", "Why", "Teach", "Rules", "Streams", "Microphone"):
            page.get_by_role("navigation").get_by_role("link", name=name).click()
            page.wait_for_selector(f".view:not([hidden]).view-{name.lower()}")

        assert titled == "Now · streamclf"
        assert page.url.endswith("#microphone")


def test_who_goes_back_while_a_view_is_fetched_stays_there(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address)
        page.wait_for_selector(".view-live:not([hidden])")
        held: list[Route] = []
        page.route("**/why*.js", lambda route: held.append(route))
        page.evaluate("location.hash = 'why'")
        for _ in range(WAIT_MS // 20):
            page.wait_for_timeout(20)
            if held:
                break
        page.go_back()
        page.wait_for_timeout(100)
        held[0].continue_()
        # done when the page has it too
        fetched = "(address) => import(address).then(() => new Promise(requestAnimationFrame))"
        page.evaluate(fetched, held[0].request.url)
        shown = page.locator(".view:not([hidden])").evaluate_all("(views) => views.map((view) => view.className)")
        page.evaluate("location.hash = 'why'")
        page.wait_for_selector(".view-why:not([hidden])")

        assert shown == ["view view-live"]
        assert page.locator(".view-why").count() == 1


def test_the_help_lists_the_keys_and_takes_them_away_while_it_is_open(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".now-quiet")
        page.keyboard.press("?")
        help_ = page.get_by_role("dialog", name="Keyboard")
        help_.wait_for()
        listed = help_.inner_text()
        page.keyboard.press("1")
        page.keyboard.press("Escape")
        help_.wait_for(state="hidden")

        assert "Show Events" in listed
        assert "Next theme" in listed
        assert page.url.endswith("#now")


def test_a_demo_is_shouted(open_page: OpenPage) -> None:
    info = stream_info("birds", demo=True)
    with hub_server(Hub(streams=[info, stream_info("yard")], packs=[pack_info("big", LABELS)])) as server:
        page = open_page(server.address)
        page.wait_for_selector(".demo-banner:visible")

        assert page.get_by_role("alert").inner_text().startswith("DEMO: birds is a recording")


def test_a_file_of_a_view_that_cannot_be_had_is_said(open_page: OpenPage) -> None:
    with hub_server(hub()) as server:
        page = open_page(server.address + "#now")
        page.wait_for_selector(".link-state[data-state=open]")
        server.stop()
        page.get_by_role("navigation").get_by_role("link", name="Rules").click()
        page.wait_for_selector(".toast-problem:has-text('could not be opened')")
        server.start()
        page.get_by_role("navigation").get_by_role("link", name="Now").click()
        page.wait_for_selector(".link-state[data-state=open]")
        page.get_by_role("navigation").get_by_role("link", name="Rules").click()
        page.wait_for_selector(".view-rules:not([hidden])")
