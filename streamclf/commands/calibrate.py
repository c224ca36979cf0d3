"""`streamclf calibrate`: thresholds from a budget of false alarms."""

import difflib
import re
import shlex
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import numpy as np

from streamclf.alerts.calibrate import CONFIDENCE, Proposal, ScoredClip, propose, runs_of
from streamclf.alerts.proposals import in_force, right_spans, strictest, table_of, too_little
from streamclf.audio.sources.hush import own_errors
from streamclf.clock import FRAME_MS, NS_PER_SECOND
from streamclf.commands.scores import logged
from streamclf.commands.times import parse_time, span_text
from streamclf.config import load, store_folder
from streamclf.config.edit import edited_file, set_thresholds
from streamclf.errors import SourceError, StreamclfError, UsageError
from streamclf.store.scorefile import Stretch

HELP = "Find thresholds for a budget of false alarms."

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)/(hour|day|week)")
_HOURS = {"hour": 1, "day": 24, "week": 168}


@click.command()
@click.option("--budget", required=True, metavar="N/hour|day|week", help="False events of each label and stream.")
@click.option("--since", metavar="TIME", default="48h", show_default=True, help="From here on.")
@click.option("--until", metavar="TIME", help="Up to here; default now.")
@click.option(
    "--labels", metavar="ID,...", help="Only these labels, by id or group:NAME; default all that tell events."
)
@click.option("--clips", type=click.Path(path_type=Path, file_okay=False),
              help="A folder for each label with recordings of it: what the thresholds would miss.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write the TOML there; default standard output.")
@click.option(
    "--apply", is_flag=True, help="Write the thresholds into the configuration; the old file is kept beside it."
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def calibrate(
    budget: str,
    since: str,
    until: str | None,
    labels: str | None,
    clips: Path | None,
    out: Path | None,
    apply: bool,
    config_file: Path | None,
) -> None:
    """Propose thresholds that keep false events within a budget, out of this site's own score log.

    All that the log holds of a label counts as false, but for events that were marked as right: choose a time in which
    the label was not there. What is written is a piece of configuration to look over and to take into your own file;
    `streamclf replay --thresholds FILE` shows which events it would lose and gain, and --apply puts it in.
    """
    if apply and out is not None:
        raise UsageError("--out writes a piece to look over, --apply puts it into the configuration; give one of them")
    asked = _BUDGET.fullmatch(budget)
    if asked is None:
        raise UsageError(f"--budget {budget!r} is not a rate; write such as 1/day, 0.5/hour or 3/week")
    rate = float(asked[1]) / _HOURS[asked[2]]
    now_ns = time.time_ns()
    since_ns = parse_time(since, option="--since", now_ns=now_ns)
    until_ns = now_ns if until is None else parse_time(until, option="--until", now_ns=now_ns)
    config = load(file=config_file)
    stretches = [s for s in logged(config, since_ns, until_ns, command="calibrate") if s.header.kind == "scores"]
    wanted = _wanted(stretches, labels)
    right = right_spans(store_folder(config), since_ns, until_ns)
    proposals = [
        propose(label, runs, in_force(stretches, pack, label), budget=rate, right=right.get(label),
                clips=_clips(clips, pack, label) if clips is not None else ())
        for label in wanted
        for pack, runs in runs_of(stretches, label).items()
    ]  # fmt: skip
    _show(proposals)
    if too_little(proposals[0].hours, rate):
        logged_ = f"{span_text(3600 * proposals[0].hours)} were logged"
        click.echo(f"{logged_}: too little to tell {budget} from none; log for longer", err=True)
    if apply:
        _apply(proposals, edited_file(config_file), budget=budget, now_ns=now_ns)
        return
    text = _toml(proposals, budget)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as fault:
        raise StreamclfError(f"{out} cannot be written: {fault.strerror}") from None


def _wanted(stretches: Sequence[Stretch], labels: str | None) -> list[str]:
    enabled = {
        label.id
        for stretch in stretches
        for label, decision in zip(stretch.header.labels, stretch.header.decisions, strict=True)
        if decision.enabled
    }
    if labels is None:
        return sorted(enabled)
    wanted = [label for label in labels.split(",") if label]
    groups: dict[str, set[str]] = {}
    for stretch in stretches:
        for known in stretch.header.labels:
            if known.id in enabled and known.group:
                groups.setdefault(f"group:{known.group}", set()).add(known.id)
    found: list[str] = []
    for label in wanted:
        if label not in enabled and label not in groups:
            near = difflib.get_close_matches(label, [*enabled, *groups], n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(enabled)[:12])}"
            raise UsageError(f"--labels: no score of {label!r} was logged; {hint}")
        found += sorted(groups.get(label, {label}))
    return list(dict.fromkeys(found))


@own_errors()
def _clips(folder: Path, pack: str, label: str) -> list[ScoredClip]:
    """The recordings of `label`, through the pack as it runs live."""
    from streamclf.audio.sources.file import open_blocks
    from streamclf.audio.sources.recording import readable
    from streamclf.engine.build import build_engine, load_packs, of_packs
    from streamclf.engine.offline import run_blocks
    from streamclf.types import FrameScores

    if not (folder / label).is_dir():
        return []
    engine = build_engine(of_packs(load(flags={"model": [pack]}), load_packs([pack])))
    column = [known.id for known in engine.runners[0].pack.labels].index(label)
    found = []
    for path in sorted(path for path in (folder / label).iterdir() if path.suffix.lower() in readable()):
        try:
            rate, _, blocks = open_blocks(path)
            rows = [
                output.rows[:, column]
                for outputs in run_blocks(engine, path.name, rate=rate, blocks=blocks)
                for output in outputs
                if isinstance(output, FrameScores) and output.final
            ]
        except SourceError as fault:
            click.echo(f"left out: {fault}", err=True)
            continue
        if rows:
            found.append(ScoredClip(path.name, np.concatenate(rows)))
    return found


def _show(proposals: Sequence[Proposal]) -> None:
    lines: list[Sequence[str]] = [
        ("label", "enter", "min_on_ms", "false a day", f"{CONFIDENCE:.0%} interval", "clips missed", "")
    ]
    for p in proposals:
        before, after = p.before, p.after
        lines.append(
            (
                p.label,
                f"{before.enter:.2f} -> {after.enter:.2f}",
                f"{before.min_on * FRAME_MS} -> {after.min_on * FRAME_MS}",
                f"{24 * p.rate_before:.1f} -> {24 * p.rate:.1f}",
                f"{24 * p.low:.1f} to {24 * p.high:.1f}",
                "" if p.missed is None else f"{p.missed_before} -> {p.missed} of {p.clips}",
                "" if p.met else "NOT MET",
            )
        )
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        # standard output is for the configuration
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), err=True)


def _apply(proposals: Sequence[Proposal], path: Path, *, budget: str, now_ns: int) -> None:
    tables = {p.label: table_of(p.after) for p in strictest(proposals) if p.met}
    if not tables:
        raise StreamclfError(f"no threshold keeps {budget} for any of these labels, so nothing was written; allow more")
    stamp = f"{datetime.fromtimestamp(now_ns // NS_PER_SECOND):%Y%m%d-%H%M%S}"
    old = set_thresholds(path, tables, note=f"streamclf calibrate --budget {budget}, {stamp}", stamp=stamp)
    click.echo(f"{path} holds the thresholds of {', '.join(tables)} now; a running daemon takes them over by itself")
    click.echo(f"to go back: {undo(path, old)}")


def undo(path: Path, old: Path | None) -> str:
    """The command that brings back what was."""
    return shlex.join(["rm", str(path)] if old is None else ["mv", str(old), str(path)])


def _toml(proposals: Sequence[Proposal], budget: str) -> str:
    lines = [f"# streamclf calibrate --budget {budget}: look it over, then take it into your configuration", ""]
    for p in strictest(proposals):
        if not p.met:
            lines += [f"# {p.label}: no threshold keeps {budget} here ({24 * p.rate:.1f} a day at the highest)", ""]
            continue
        lines += [
            f"[segmentation.{p.label}]",
            f"enter = {p.after.enter:.3f}  # was {p.before.enter:.3f}",
            f"leave = {p.after.leave:.3f}",
            f"min_on_ms = {p.after.min_on * FRAME_MS}",
            f"# {24 * p.rate:.2f} a day in {span_text(3600 * p.hours)} of log (before: {24 * p.rate_before:.2f})",
            f"# expected of as long again: {24 * p.low:.2f} to {24 * p.high:.2f} a day ({CONFIDENCE:.0%})",
        ]
        if p.missed is not None:
            lines.append(f"# misses {p.missed} of {p.clips} clips (before: {p.missed_before})")
        lines.append("")
    return "\n".join(lines)
