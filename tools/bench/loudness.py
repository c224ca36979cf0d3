"""What loudness costs a stream, and how far it is from others' reading of IEC 61672-1.

    python -m tools.bench.loudness [--seconds 20] [--oracle]

Cost: thread CPU of the meter for each frame of 20 ms, five frames a call as in a live stream; hot, and with 8 MiB of
other memory read between two calls, as everything else of a daemon does. With --oracle tones in the middle of each
third octave from 31.5 Hz to 8 kHz, against the standard's table (rounded to 0.1 dB) as `acoustic-toolbox` of PyPI has
it, in an environment of its own.
"""

import streamclf.blas  # noqa: F401, I001 - before numpy

import importlib
import time

import click
import numpy as np

from streamclf.engine.loud import LoudnessMeter, decibels
from streamclf.engine.scope import DRAWN_TOGETHER
from streamclf.features.weighting import Weighted, Weighting

RATES = (16_000, 44_100, 48_000)
WEIGHTINGS: tuple[Weighting, ...] = ("A", "C")


@click.command()
@click.option("--seconds", default=20, show_default=True, help="Of sound for each figure.")
@click.option("--oracle", is_flag=True, help="Compare with acoustic-toolbox.")
def main(seconds: int, oracle: bool) -> None:
    """See the module's text."""
    if oracle:
        _compare()
        return
    other = np.zeros(1 << 20)
    click.echo("rate    hot us/frame  % of a core   cold us/frame  % of a core")
    for rate in RATES:
        sound = (0.1 * np.random.default_rng(0).normal(size=(seconds * 50, rate // 50))).astype(np.float32)
        costs = []
        for cold in (False, True):
            meter = LoudnessMeter("mic", rate)
            meter.push(0, sound[:50])
            spent = 0.0
            for index in range(0, len(sound), DRAWN_TOGETHER):
                if cold:
                    other.sum()
                began = time.thread_time()
                meter.push(50 + index, sound[index : index + DRAWN_TOGETHER])
                spent += time.thread_time() - began
            costs.append(1e6 * spent / len(sound))
        click.echo(f"{rate:<7} {costs[0]:<13.1f} {costs[0] / 200:<13.2f} {costs[1]:<14.1f} {costs[1] / 200:.2f}")


def _compare() -> None:
    standard = importlib.import_module("acoustic_toolbox.standards.iec_61672_1_2013")
    exact = 1000 * 10 ** ((np.arange(10, 44) - 30) / 10)
    for rate in RATES:
        for name in WEIGHTINGS:
            gaps = []
            for hz, wanted_db in zip(exact, standard.WEIGHTING_VALUES[name], strict=True):
                if not 31 < hz < min(8100, rate / 2):
                    continue
                tone = np.sin(2 * np.pi * hz * np.arange(4 * rate) / rate).reshape(-1, rate // 50).astype(np.float32)
                before, after = (float(np.mean(np.square(some[100:], dtype=np.float64)))
                                 for some in (tone, Weighted(name, rate).push(tone[np.newaxis])[0]))  # fmt: skip
                gaps.append(abs(decibels(after) - decibels(before) - wanted_db))
            click.echo(f"{rate} {name}: {max(gaps):.2f} dB at most from the table, {len(gaps)} third octaves")


if __name__ == "__main__":
    main()
