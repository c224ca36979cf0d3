"""`streamclf alerts test`: does an alert arrive?"""

import time
from pathlib import Path

import click

from streamclf.alerts.rules.rulefile import load_rules
from streamclf.alerts.testing import make_test, send_test
from streamclf.commands.tables import table
from streamclf.config import load, rules_file, store_folder
from streamclf.errors import StreamclfError, UsageError
from streamclf.text import some


@click.command("test")
@click.argument("name", metavar="SINK|RULE")
@click.option(
    "--rules", type=click.Path(path_type=Path), metavar="FILE", help="Rules file; default that of the configuration."
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def test_(name: str, rules: Path | None, config_file: Path | None) -> None:
    """Send an alert that says it is a test to one sink, or to all sinks of a rule, with the rule's own words.

    The daemon that keeps its events in the store sends it, within seconds; where none runs, this command does. It is
    tried once, stands in `streamclf alerts list`, and is told how each sink ended; exit code 1 where one failed.
    """
    config = load(file=config_file)
    if not config.store.enabled:
        raise UsageError("no events are kept, and alerts need them; switch the store on ([store] enabled)")
    file = load_rules(rules or rules_file(config))
    alert = make_test(file, name, now_ns=time.time_ns())
    outcomes, by_daemon = send_test(store_folder(config), file, alert)
    who = "the running daemon" if by_daemon else "this command, for no daemon runs"
    click.echo(f"{alert.message}\nalert {alert.id[:12]}, sent by {who}\n")
    table(("sink", "outcome"), [(sink, problem or "sent") for sink, problem in outcomes.items()])
    if failed := [sink for sink, problem in outcomes.items() if problem]:
        raise StreamclfError(f"{some(failed)} did not take the test; see above why, mend that, and test again")
