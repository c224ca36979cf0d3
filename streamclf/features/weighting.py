"""A and C weighting of sound, as IEC 61672-1:2013 has it, for streams of any rate and blocks of any size.

The standard states both curves as formulas of frequency (its annex E): of each, the poles at 20.6 Hz (and for A at
107.7 and 737.9 Hz) are made here by one-pole high-passes, and what is left of the curve, which is smooth, by a short
filter of minimum phase, found from the magnitude alone (its cepstrum, folded). So the curve holds up to half the rate,
which poles at 12.2 kHz, mapped in the usual way, would not reach. Both are linear, so a sub-block of samples is one
matrix product, and only the states of the high-passes go from one to the next.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamclf.clock import hop_of
from streamclf.types import F32, F64

Weighting = Literal["A", "C"]
Seats = npt.NDArray[np.intp]

# Hz: the pole frequencies f1 to f4 of IEC 61672-1, annex E, which come of 10^1.5, 10^2.45 and 10^3.9 Hz
_F1, _F2, _F3, _F4 = 20.598997, 107.65265, 737.86223, 12194.217
_POLES: dict[Weighting, tuple[float, ...]] = {"A": (_F1, _F1, _F2, _F3), "C": (_F1, _F1)}
_LEAST_TAPS = 16  # 0.03 dB at most, up to half of any rate
_HZ_A_TAP = 6000  # above 96 kHz the filter has to last as long in time
_GRID = 1 << 14
_FIRST_SEAT = np.zeros(1, dtype=np.intp)
_SUB_BLOCK = 32  # samples, about: longer ones cost products, shorter ones states


def weight_db(weighting: Weighting, hz: F64) -> F64:
    """The standard's curve at these frequencies (Hz, over 0), in dB; 0 at 1 kHz."""
    return np.asarray(20 * np.log10(_curve(weighting, hz) / _curve(weighting, np.array([1000.0]))))


class Weighted:
    """Sound of streams of one rate through one filter. Each has a seat; its frames follow each other until `restart`.

    Levels are right to 0.2 dB from the second tenth of a second on: before that the filter swings in.
    """

    def __init__(self, weighting: Weighting, rate: int, *, seats: int = 1) -> None:
        self._net = _net(weighting, rate)
        self._past = np.zeros((seats, self._net.context), dtype=np.float32)
        self._states = np.zeros((seats, self._net.order), dtype=np.float32)

    def add(self) -> int:
        """One more seat. Returns its number."""
        self._past = np.pad(self._past, ((0, 1), (0, 0)))
        self._states = np.pad(self._states, ((0, 1), (0, 0)))
        return len(self._past) - 1

    def restart(self, seat: int = 0) -> None:
        """What comes next on it does not follow on what was."""
        self._past[seat] = 0
        self._states[seat] = 0

    def push(self, frames: F32, seats: Seats = _FIRST_SEAT) -> F32:
        """frames: (seats, n, hop) float32, full scale 1, those of so many seats. Returns them weighted, as (…, hop)."""
        net = self._net
        many, count, hop = frames.shape
        samples = np.concatenate((self._past[seats], frames.reshape(many, -1)), axis=1)
        self._past[seats] = samples[:, count * hop :]
        # overlapping windows without a copy; the view that numpy would check takes as long as the product
        step = samples.itemsize
        shape = many, count * net.blocks, net.context + net.size
        windows: F32 = np.ndarray(shape, np.float32, samples, strides=(samples.strides[0], net.size * step, step))
        made = windows.reshape(-1, shape[2]) @ net.direct
        fed = made[:, net.size :].reshape(many, count, -1)
        states = np.empty((many, count, net.blocks * net.order), dtype=np.float32)
        last = self._states[seats]
        for index in range(count):
            known = np.concatenate((last, fed[:, index]), axis=1) @ net.scan
            states[:, index] = known[:, : -net.order]
            last = known[:, -net.order :]
        self._states[seats] = last
        out = made[:, : net.size]
        out += states.reshape(-1, net.order) @ net.ringing
        return np.ascontiguousarray(out).reshape(many, count, hop)


@dataclass(frozen=True)
class _Net:
    """A filter as matrices over sub-blocks of `size` samples, of which a frame has `blocks`.

    direct: (context + size, size + order): samples, the newest `context` of those before among them, to what comes out
    where nothing was before, and to what is added to the states. ringing: (order, size): what states add to it. scan:
    from the states and what all sub-blocks of a frame add, to the states before each and at its end.
    """

    size: int
    blocks: int
    context: int
    order: int
    direct: F32
    ringing: F32
    scan: F32


@lru_cache(maxsize=16)
def _net(weighting: Weighting, rate: int) -> _Net:
    hop = hop_of(rate)
    size = min((n for n in range(1, hop + 1) if hop % n == 0), key=lambda n: abs(n - _SUB_BLOCK))
    blocks = hop // size
    taps = max(_LEAST_TAPS, rate // _HZ_A_TAP)
    answer, feed, ringing, step = _matrices(weighting, rate, taps=taps, size=size)
    order = len(step)
    direct = np.concatenate([answer, feed], axis=1)
    scan = np.zeros(((1 + blocks) * order, (1 + blocks) * order))
    for later in range(blocks + 1):
        power = np.eye(order)
        for earlier in range(later, -1, -1):  # a row of blocks for each source: the states, then each sub-block
            scan[earlier * order : (earlier + 1) * order, later * order : (later + 1) * order] = power
            power = power @ step
    narrow = [np.ascontiguousarray(one, dtype=np.float32) for one in (direct, ringing, scan)]
    return _Net(size, blocks, taps - 1, order, *narrow)


def _matrices(weighting: Weighting, rate: int, *, taps: int, size: int) -> tuple[F64, F64, F64, F64]:
    """What `_Net` is made of: (context + size, size) to outputs, (…, order) to states, ringing, states to states."""
    poles = _POLES[weighting]
    a, b, c, d = _high_passes(poles, rate)
    # what a run of `size` samples does from rest, and what is left of a state in it
    answer = np.zeros((size, size))
    feed, ringing = np.zeros((size, len(poles))), np.zeros((len(poles), size))
    power = np.eye(len(poles))
    response = [d]
    for n in range(size):
        ringing[:, n] = c @ power
        feed[size - 1 - n] = power @ b
        response.append(float(c @ power @ b))
        power = power @ a
    for n in range(size):
        answer[n, n:] = response[: size - n]
    smooth = np.zeros((taps - 1 + size, size))
    for n, tap in enumerate(_smooth_part(weighting, rate, taps)):
        smooth[np.arange(size) + taps - 1 - n, np.arange(size)] = tap
    return smooth @ answer, smooth @ feed, ringing, power.T


def _high_passes(poles: tuple[float, ...], rate: int) -> tuple[F64, F64, F64, float]:
    """One-pole high-passes in a row as state space: s' = A s + b x, y = c s + d x."""
    a, b, c, d = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    for hz in poles:
        gain, root = _one_pole(hz, rate)
        order = len(b)
        # of its input v: y = gain v + s, s' = root s - gain (1 - root) v; so states stay as small as sound is
        fed = -gain * (1 - root)
        wider = np.zeros((order + 1, order + 1))
        wider[:order, :order] = a
        wider[order, :order], wider[order, order] = fed * c, root
        a, b = wider, np.append(b, fed * d)
        c, d = np.append(gain * c, 1.0), gain * d
    return a, b, c, d


def _one_pole(hz: float, rate: int) -> tuple[float, float]:
    """(gain, pole) of gain (1 - z^-1) / (1 - pole z^-1), by the bilinear transform."""
    k = np.tan(np.pi * hz / rate)
    return float(1 / (1 + k)), float((1 - k) / (1 + k))


def _smooth_part(weighting: Weighting, rate: int, taps: int) -> F64:
    """The filter of minimum phase that makes the high-passes' magnitude the curve's."""
    hz: F64 = np.asarray(np.fft.rfftfreq(_GRID, 1 / rate), dtype=np.float64)
    hz[0] = hz[1] / 1000
    turns = np.exp(-2j * np.pi * hz / rate)
    made = np.ones(len(hz))
    for pole in _POLES[weighting]:
        gain, root = _one_pole(pole, rate)
        made *= np.abs(gain * (1 - turns) / (1 - root * turns))
    cepstrum = np.fft.irfft(np.log(10 ** (weight_db(weighting, hz) / 20) / made), _GRID)
    cepstrum[1 : _GRID // 2] *= 2
    cepstrum[_GRID // 2 + 1 :] = 0
    return np.asarray(np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), _GRID)[:taps])


def _curve(weighting: Weighting, hz: F64) -> F64:
    """IEC 61672-1, annex E, without its constant."""
    squared = np.asarray(hz, dtype=np.float64) ** 2
    ends = squared / (squared + _F1**2) / (squared + _F4**2)
    if weighting == "C":
        return np.asarray(ends)
    return np.asarray(ends * squared / np.sqrt((squared + _F2**2) * (squared + _F3**2)))
