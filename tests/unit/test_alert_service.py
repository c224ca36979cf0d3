"""Alerts at work: the task that watches the rules file outlives whatever is written into it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

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

    with writing(tmp_path / "store") as (inbox, _, _):
        rules = read_rules(path, LABELS, required=True)

        async def run() -> None:
            await main(AlertService(tmp_path / "store", inbox, rules, LABELS))

        asyncio.run(run())
