"""What came of a fault, and the table of all."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.faults.registry import Fault, load

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
OK, BUSY, FAILED, NOT_RUN = "ok", "ok (busy)", "FAIL", "not run"


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """A row of the table. pressure: processes that wanted to run for each core, at least 1."""

    key: str
    expected: str
    seen: str
    verdict: str
    detected_s: float | None
    recovered_s: float | None
    owner: str
    took_s: float
    pressure: float = 1.0

    @property
    def passed(self) -> bool:
        """Whether the daemon did what is expected."""
        return self.verdict in (OK, BUSY)


def judge(
    fault: Fault,
    *,
    notes: Sequence[str],
    complaints: Sequence[str],
    detected_s: float | None,
    recovered_s: float | None,
    took_s: float,
    pressure: float,
) -> FaultOutcome:
    """A limit of time that is passed on a busy machine by no more than `pressure` is told as that."""
    wrong, late = list(complaints), False
    for what, seconds, limit_s in (
        ("told", detected_s, fault.detect_s),
        ("back", recovered_s, fault.recover_s),
    ):
        if seconds is not None and limit_s is not None and seconds > limit_s:
            late = True
            if seconds > limit_s * pressure:
                wrong.append(f"{what} after {seconds:.1f} s, at most {limit_s:g} s")
    verdict = FAILED if wrong else BUSY if late else OK
    seen = "; ".join([*wrong, *notes]) or "as expected"
    return FaultOutcome(
        fault.key, fault.expected, _line(seen), verdict, detected_s, recovered_s, fault.owner, took_s, pressure
    )


def not_run(fault: Fault, reason: str) -> FaultOutcome:
    """For a fault that cannot be made here."""
    return FaultOutcome(fault.key, fault.expected, _line(reason), NOT_RUN, None, None, fault.owner, 0.0)


def table(outcomes: Sequence[FaultOutcome]) -> str:
    """Markdown."""
    lines = [
        "| fault | expected | seen | told after (s) | back after (s) | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        cells = [one.key, one.expected, one.seen, _seconds(one.detected_s), _seconds(one.recovered_s), one.verdict]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def summary(outcomes: Sequence[FaultOutcome]) -> str:
    """A sentence, and the failures by owner."""
    counts = Counter(one.verdict for one in outcomes)
    run = [one for one in outcomes if one.verdict != NOT_RUN]
    busy = f", {counts[BUSY]} of them later than their limit on a busy machine" if counts[BUSY] else ""
    skipped = f"; {counts[NOT_RUN]} could not be made here" if counts[NOT_RUN] else ""
    lines = [f"{sum(one.passed for one in run)} of {len(run)} faults ended as expected{busy}{skipped}"]
    for owner in sorted({one.owner for one in run if not one.passed}):
        lines += [f"\n{owner}:"]
        lines += [f"  {one.key}: {one.seen}" for one in run if one.owner == owner and not one.passed]
    return "\n".join(lines) + "\n"


def write(path: Path, outcomes: Sequence[FaultOutcome]) -> None:
    """As JSON or as Markdown, by the file's ending; in a document with `BEGIN` and `END` what stands between them."""
    if path.suffix == ".json":
        path.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
        return
    text = f"{summary(outcomes).splitlines()[0]}.\n\n{table(outcomes)}"
    if path.exists() and BEGIN in (there := path.read_text()):
        before, after = there.partition(BEGIN)[0], there.partition(END)[2]
        text = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
    path.write_text(text)


def completed(outcomes: Sequence[FaultOutcome], earlier: Path) -> list[FaultOutcome]:
    """These, and for every other fault that there still is what an earlier run wrote as JSON; in the list's order."""
    found = {row["key"]: FaultOutcome(**row) for row in json.loads(earlier.read_text())}
    found |= {one.key: one for one in outcomes}
    return [found[key] for key in load() if key in found]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _line(text: str) -> str:
    return " ".join(text.split())[:360]
