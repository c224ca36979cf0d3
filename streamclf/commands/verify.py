"""`streamclf models verify`: proof that a pack's streaming rows are its offline rows, and what it costs here."""

import dataclasses
import json
import time

import click

from streamclf.errors import PackError
from streamclf.types import Provider


@click.command()
@click.argument("name")
@click.option("--provider", type=click.Choice([p.value for p in Provider]), default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(name: str, provider: str, as_json: bool) -> None:
    """Verify the pack NAME (or the pack in a folder): streaming = offline, frame by frame.

    It runs in a process of its own first, with limits of memory and time, whatever came of that before. Any cutting
    into blocks, companions in the batch, the golden reference where there is one, the stated look-ahead, and that the
    last frame of a recording has its row, are put to the test; exit code 1 when a claim does not hold. It also tells
    what of the past is kept and not computed again, and what that saves here.
    """
    from streamclf.engine.trial import pass_trial
    from streamclf.engine.verify import verify as put_to_the_test
    from streamclf.model.library import find_pack

    pack = find_pack(name)
    pass_trial(pack, again=True)
    report = put_to_the_test(pack, provider=Provider(provider), cpu_clock=time.thread_time)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(report), "rtf": report.rtf}, indent=2))
    else:
        golden = "no golden.npz" if report.golden is None else f"{report.golden:.1e}"
        late = "not tried: golden.npz is too short" if report.late is None else f"{report.late:.1e}"
        for what, value in (
            ("pack", f"{report.pack} on {report.provider}"),
            ("frames compared", str(report.frames)),
            ("any blocks", f"{report.blocks:.1e}"),
            ("companions", f"{report.companions:.1e}"),
            ("golden", golden),
            ("after look-ahead", late),
            ("window", f"{report.window_ms:g} ms"),
            ("look-ahead", f"{report.look_ahead_ms:g} ms"),
            ("one run", f"{report.run_ms:.2f} ms"),
            ("kept", report.reuse),
            ("saves", f"{report.saves:.1f}x in CPU time, against {report.against} every 20 ms"),
            ("hop held here", f"{report.hop_ms} ms (RTF {report.rtf:.3f})"),
        ):
            click.echo(f"{what:18} {value}")
    if report.problems:
        raise PackError(f"pack {report.pack} does not hold what it states: {'; '.join(report.problems)}")
    if not as_json:
        click.echo("verified: streaming equals offline")
