"""Alerts at work: the task that watches the rules file outlives whatever is written into it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from unittest.mock import Mock

import pytest

from streamclf.alerts.rules import reload
from streamclf.alerts.service import AlertService, read_rules
from streamclf.types import Label
from tests.support.writing import writing

LABELS = {"mic": (Label("robin", "Robin", "bird"),)}
RULE = '[[rule]]\nname = "{}"\nlabels = "robin"\n'
BAD = [
    "[[rule]",
    RULE.format("many") + "min_peak = " + 5000 * "9",
    RULE.format("hex") + "min_peak = 0x" + 5000 * "f",
    RULE.format("deep") + "sinks = " + 100_000 * "[",
    RULE.format("wrong").replace("robin", "robyn"),
]


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not there():
            await asyncio.sleep(0.005)


def test_after_any_file_the_next_good_one_is_taken_on_a_signal_and_without(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(RULE.format("first"))

    async def main(service: AlertService) -> None:
        names: Callable[[], list[str]] = lambda: [rule.name for rule in service.rules.file.rules]  # noqa: E731
        service.start()
        task = asyncio.create_task(service.watch(lambda stream, label: None))
        for at, bad in enumerate(BAD):
            path.write_text(bad)
            service.reload()
            await until(lambda: bool(service.rules.problem))
            problem = service.rules.problem
            assert problem.startswith(f"the rules that were read before hold, for {path}:")
            assert len(problem) < 500
            path.write_text(RULE.format(f"mended{at}"))
            service.reload()
            await until(lambda at=at: names() == [f"mended{at}"])  # type: ignore[misc]
            assert not service.rules.problem
        path.write_text(RULE.format("unasked"))
        await until(lambda: names() == ["unasked"])
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await service.stop()

    _serve(tmp_path, path, main)


def test_a_fault_of_ours_in_reading_a_file_ends_no_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever exception it is: the next file is read again."""
    path = tmp_path / "rules.toml"
    path.write_text(RULE.format("first"))

    async def main(service: AlertService) -> None:
        service.start()
        task = asyncio.create_task(service.watch(lambda stream, label: None))
        for fault in (MemoryError(), OverflowError("planted"), AssertionError("planted")):
            with monkeypatch.context() as patch:
                patch.setattr(reload, "load_rules", Mock(side_effect=fault))
                service.reload()
                await until(lambda fault=fault: repr(fault) in service.rules.problem)  # type: ignore[misc]
            service.reload()
            await until(lambda: not service.rules.problem)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await service.stop()

    _serve(tmp_path, path, main)


def test_a_sink_that_cannot_be_opened_for_whatever_reason_leaves_the_others_alone(tmp_path: Path) -> None:
    """There is no such user, which Python tells by an exception of its own."""
    path = tmp_path / "rules.toml"
    path.write_text(RULE.format("first"))
    told = tmp_path / "told.ndjson"
    faults: list[BaseException] = []

    async def main(service: AlertService) -> None:
        service.start()
        task = asyncio.create_task(service.watch(lambda stream, label: None))
        homeless = '[sink.homeless]\ntype = "ndjson"\npath = "~nobody-of-that-name/x"\n'
        path.write_text(f'{homeless}[sink.good]\ntype = "ndjson"\npath = "{told}"\n{RULE.format("second")}')
        service.reload()
        await until(lambda: "homeless" in service.failing)
        assert service.failing["homeless"].startswith("it cannot be opened: ")
        path.write_text(RULE.format("third"))
        service.reload()
        await until(lambda: not service.failing)
        assert (task.done(), faults) == (False, [])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await service.stop()

    _serve(tmp_path, path, main, faults)


def _serve(
    tmp_path: Path,
    path: Path,
    main: Callable[[AlertService], Coroutine[None, None, None]],
    faults: list[BaseException] | None = None,
) -> None:
    """A service of these rules at work, as `main` uses it. faults: gathers what would end the daemon."""
    found: list[BaseException] = [] if faults is None else faults
    with writing(tmp_path / "store") as (inbox, _, _):
        rules = read_rules(path, LABELS, required=True)

        async def run() -> None:
            await main(AlertService(tmp_path / "store", inbox, rules, LABELS, on_fault=found.append))

        asyncio.run(run())
