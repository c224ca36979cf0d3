"""What an audio callback touches, and the watch over it.

A device is lost in two ways, neither with a status flag: unplugged, its stream finishes; frozen, the callbacks stop
while the stream says it is active. So both are watched: the end that PortAudio reports, and the progress of blocks.
"""

import time
from typing import Any

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.base import Intake, Mixer
from streamclf.clock import NS_PER_SECOND, hop_of
from streamclf.types import F32, GapReason

# a null sink of PulseAudio that idled delivers its first block after 1.9 s, hence the patience with the first
FIRST_BLOCK_S = 5.0
SILENT_S = 1.0
_MOST_LOST_S = 10


class Capture:
    """One opening of a device. Its callback copies, counts and leaves; once `retired` it does nothing at all.

    So a ring has one writer at any time: a capture is closed, and only then the next one begins.

    rate: Hz of the device. Where the stream has another one, because that was chosen before the device was there, its
    samples are resampled: the one thing that a callback does besides, for want of another thread.
    """

    def __init__(self, intake: Intake, *, rate: int, channels: int, channel: int | None) -> None:
        self.intake = intake
        self.stream: Any = None
        self.blocks = 0
        self.xruns = 0
        self.finished = False
        self.retired = False
        self._rate = rate
        self._resampler = Resampler(rate, intake.clock.rate) if rate != intake.clock.rate else None
        self._mix = Mixer(channels, channel, hop_of(rate))
        self._adc_end_s = 0.0
        self._seen_blocks = 0
        self._progress_s = time.monotonic()

    def callback(self, block: F32, frames: int, when: Any, status: Any) -> None:
        """PortAudio's: (frames, channels) float32 that is valid only now, its times in seconds, its flags."""
        if self.retired:
            return
        arrived_ns = time.time_ns()
        adc_s = when.inputBufferAdcTime
        rate = self.intake.clock.rate
        if not self.blocks:
            self.intake.resume(frames * rate // self._rate)
        elif status.input_overflow:
            self.xruns += 1
            lost = int((adc_s - self._adc_end_s) * rate)
            self.intake.lose(max(1, min(lost, _MOST_LOST_S * rate)), GapReason.XRUN)
            if self._resampler is not None:
                self._resampler.restart()
        self._adc_end_s = adc_s + frames / self._rate
        mono = self._mix(block)
        if self._resampler is not None:
            mono = self._resampler.push(mono)
            arrived_ns -= int(self._resampler.held_back * NS_PER_SECOND / rate)
        self.intake.write(mono, arrived_ns)
        self.blocks += 1

    def fault(self, now_s: float) -> str:
        """Why this capture must be given up, "" while it does well. `now_s` is monotonic."""
        if self.finished:
            return "the device ended its stream (unplugged, or its sound server gone)"
        if self.blocks != self._seen_blocks:
            self._seen_blocks, self._progress_s = self.blocks, now_s
        limit_s = SILENT_S if self.blocks else FIRST_BLOCK_S
        if now_s - self._progress_s > limit_s:
            return f"no samples came for {limit_s:g} s although the device says it runs"
        return ""
