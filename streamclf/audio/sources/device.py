"""Microphones through PortAudio, and the one thread that calls it.

Every call into PortAudio is made by one worker thread, because PortAudio is not thread-safe and its calls hang while a
sound server is frozen; callers wait for an answer only so long. What happens to a lost device stands in `supervisor`.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from streamclf.audio.ring import Ring
from streamclf.audio.sources import portaudio
from streamclf.audio.sources.base import Intake, Notify, Room, not_there
from streamclf.audio.sources.capture import Capture
from streamclf.audio.sources.kind import MAX_RATE, Option, SourceKind, as_name, whole
from streamclf.audio.sources.portaudio import DeviceInfo, RateNotTakenError
from streamclf.audio.sources.spec import SourceSpec
from streamclf.audio.sources.supervisor import DeviceState, Supervisor, Use
from streamclf.audio.sources.worker import NoAnswerError, Worker
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock
from streamclf.errors import AbsentError, SourceError
from streamclf.retry import Backoff
from streamclf.types import StreamState

T = TypeVar("T")

_ANSWER_S = 10.0
_CLOSE_S = 1.5
_REST_S = 0.25
_RETRY = Backoff(first_s=0.25, most_s=0.5)  # a try costs a millisecond, measured
_UNSTABLE = Backoff(first_s=0.5, most_s=5.0)  # for a device that comes and at once goes again
_STABLE_S = 1.0


def list_devices() -> list[DeviceInfo]:
    """All audio inputs, in PortAudio's order; empty where there is none. Raises `SourceError` without PortAudio."""
    return _call(lambda: [info for _, info in portaudio.inputs()])


class DeviceSource:
    """A microphone: the device of that name, or the default input, which is asked for anew after a loss."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.rate = 0
        self.channels = 0
        self.description = spec.public
        self.live = True
        self.state = DeviceState.NEW
        self.next_try_s = 0.0
        self._stopped = False
        self._intake: Intake | None = None
        self._capture: Capture | None = None
        self._past_xruns = 0
        self._tries = 0
        self._unstable = 0
        self._live_since_s = 0.0
        self._told = ""
        self._expected = ""

    @property
    def xruns(self) -> int:
        """Times the device lost samples."""
        capture = self._capture
        return self._past_xruns + (capture.xruns if capture is not None else 0)

    @property
    def bad_samples(self) -> int:
        """NaN and infinite samples that were replaced by 0."""
        return self._intake.bad_samples if self._intake is not None else 0

    @property
    def ended(self) -> bool:
        """Only after `stop`: a lost device may always come back."""
        return self._stopped

    def open(self) -> None:
        """Find the device.

        Raises `AbsentError` where it is not there (`NoInputDeviceError`: no input is), `SourceError`, `RateError`.
        """

        def look() -> None:
            try:
                self._look()
            except AbsentError:
                if _SUPERVISOR.busy:
                    raise
                portaudio.start_anew()  # it may have been plugged in after the last look
                self._look()

        _call(look)

    def expect(self, reason: str) -> None:
        """It is not there, for `reason`: `start` waits for it. Its samples are brought to the rate of the stream."""
        self.rate = self.spec.options.get("rate") or portaudio.USUAL_RATE
        self._expected = reason

    def start(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify, *, room: Room | None = None) -> None:
        """Begin to capture into `ring`."""
        if self.state is not DeviceState.NEW or self._stopped or not self.rate:
            raise SourceError(f"{self.description} must be opened, then started once")
        self._intake = Intake(ring, clock, wake, notify)
        if self._expected:
            self._await(self._expected)
            _SUPERVISOR.add(self)
            return
        _SUPERVISOR.add(self)
        try:
            _call(self.reopen)
        except AbsentError as fault:  # it went between the two calls
            self._await(str(fault))
        except SourceError:
            self.stop()
            raise

    def stop(self) -> None:
        """End within 2 s, whatever PortAudio does."""
        if self._stopped:
            return
        self._stopped = True
        capture, intake = self._capture, self._intake
        if capture is not None:
            capture.retired = True
        _SUPERVISOR.remove(self)
        try:
            if intake is not None:
                _WORKER.call(self.drop, limit_s=_CLOSE_S)
            _rest()
        except NoAnswerError:
            _WORKER.submit(self.drop)  # for when PortAudio comes back
            assert intake is not None
            intake.notify(
                StreamState.PROBLEM, f"{self.description} did not close within {_CLOSE_S:g} s and was left behind"
            )

    @property
    def running(self) -> bool:
        """Whether a stream is open for it."""
        return self._capture is not None

    @property
    def lost(self) -> bool:
        """Whether it waits to be brought back."""
        return self.state is DeviceState.LOST and not self._stopped

    # --- the rest is for the supervisor and the worker

    def check(self, now_s: float) -> None:
        """On the supervisor's thread: follow the capture from STARTING to LIVE to LOST."""
        capture, intake = self._capture, self._intake
        if capture is None or intake is None or self._stopped or self.state is DeviceState.LOST:
            return
        if self.state is DeviceState.STARTING and capture.blocks:
            self.state = DeviceState.LIVE
            self._live_since_s = now_s
            self._told = self._expected = ""
            intake.notify(StreamState.LIVE, self.description)
        if fault := capture.fault(now_s):
            self.lose(fault, now_s)

    def lose(self, reason: str, now_s: float) -> None:
        """Give the capture up; the next try comes soon, or later for a device that keeps failing."""
        capture, intake = self._capture, self._intake
        if self._stopped or intake is None:
            return
        if capture is not None:
            capture.retired = True
        if self.state is DeviceState.LIVE:
            lasted = now_s - self._live_since_s > _STABLE_S
            self._unstable = 0 if lasted else self._unstable + 1
            self._tries = 0
            intake.notify(StreamState.LOST, f"{self.description}: {reason}")
        elif self.state is DeviceState.STARTING and reason != self._told:
            self._told = reason
            if self._expected:
                self._tell_absent(reason)
            else:
                intake.notify(StreamState.LOST, f"{self.description}: {reason}")
        self.state = DeviceState.LOST
        self.next_try_s = now_s + self._delay_s()

    def bring_back(self) -> str:
        """On the worker's thread: one try to reopen. Why it could not be, "" where it was."""
        try:
            self.reopen()
        except SourceError as fault:
            return str(fault)
        return ""

    def put_off(self, reason: str) -> None:
        """On the worker's thread: the next try comes later; tells why, once for every reason."""
        assert self._intake is not None
        self._tries += 1
        self.lose(reason, time.monotonic())
        if reason == self._told or self._stopped:
            return
        self._told = reason
        if self._expected:
            self._tell_absent(reason)
            return
        self._intake.notify(StreamState.RECONNECTING, f"trying again, at least every {_RETRY.most_s:g} s: {reason}")

    def use_of_anew(self, there: Sequence[DeviceInfo]) -> Use:
        """On the worker's thread: whether a new list of devices, such as `there`, would help to find this one."""
        wanted = portaudio.meant(self.spec.argument, there)
        if not wanted:
            return Use.NONE
        try:
            known = portaudio.meant(self.spec.argument, (info for _, info in portaudio.inputs()))
        except SourceError:
            known = []
        if {(info.name, info.host_api) for info in wanted} != {(info.name, info.host_api) for info in known}:
            return Use.SURE
        # ALSA's are opened by their name, each time anew
        return Use.NONE if all(info.host_api == "ALSA" for info in wanted) else Use.PERHAPS

    def reopen(self) -> None:
        """On the worker's thread: open the device that now has the name, for a ring of the rate that there is."""
        if self._stopped:
            return
        index, info = portaudio.find(self.spec)
        channels = portaudio.channel_count(self.spec, info)
        capture = self._opened(index, info, channels)
        self.channels = channels
        self.description = self._described(info, channels)
        self.state = DeviceState.STARTING
        self._capture = capture
        if self._stopped:  # meanwhile, by a caller who gave up waiting
            self.drop()

    def _opened(self, index: int, info: DeviceInfo, channels: int) -> Capture:
        try:
            return self._open_at(self.rate, index, info, channels)
        except RateNotTakenError as refusal:
            # the stream's rate was chosen for a device that was not there, or this one is in the place of another
            for rate in () if self.spec.options.get("rate") else portaudio.other_rates(info):
                try:
                    return self._open_at(rate, index, info, channels)
                except RateNotTakenError:
                    continue
            raise refusal

    def _open_at(self, rate: int, index: int, info: DeviceInfo, channels: int) -> Capture:
        assert self._intake is not None
        capture = Capture(self._intake, rate=rate, channels=channels, channel=self.spec.channel)

        def finished() -> None:
            capture.finished = True
            _SUPERVISOR.ring()

        capture.stream = portaudio.open_stream(
            index, info, channels=channels, rate=rate, callback=capture.callback, finished=finished
        )
        return capture

    def drop(self) -> None:
        """On the worker's thread: close the capture. Hangs for as long as the sound server is frozen."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.retired = True
            self._past_xruns += capture.xruns
            capture.stream.abort()
            capture.stream.close()

    def _look(self) -> None:
        index, info = portaudio.find(self.spec)
        self.channels = portaudio.channel_count(self.spec, info)
        self.rate = portaudio.choose_rate(self.spec, index, info, self.channels)
        self.description = self._described(info, self.channels)

    def _described(self, info: DeviceInfo, channels: int) -> str:
        which = f"channel {self.spec.channel + 1}" if self.spec.channel is not None else f"{channels} ch"
        return f"device {info.name} ({info.host_api}), {self.rate} Hz, {which}"

    def _await(self, reason: str) -> None:
        """Wait from the start on for what is not there."""
        self._expected = self._told = reason
        self.state = DeviceState.LOST
        self.next_try_s = time.monotonic() + self._delay_s()
        self._tell_absent(reason)

    def _tell_absent(self, reason: str) -> None:
        assert self._intake is not None
        self._intake.notify(StreamState.LOST, not_there(f"every {_RETRY.most_s:g} s", reason))

    def _delay_s(self) -> float:
        return _UNSTABLE.delay_s(self._unstable - 1) if self._unstable else _RETRY.delay_s(self._tries)


def _call(function: Callable[[], T]) -> T:
    try:
        return _WORKER.call(function, limit_s=_ANSWER_S)
    except NoAnswerError:
        raise AbsentError(
            f"PortAudio has not answered for {_ANSWER_S:g} s; see whether the sound server is frozen"
        ) from None
    finally:
        _rest()


def _rest() -> None:
    """Leave no thread behind where no device is in use."""
    if not _SUPERVISOR.busy:
        _WORKER.close(limit_s=_REST_S)


def _leave() -> None:
    """At exit: end PortAudio within a limit. Where it hangs, keep its module's exit handler from hanging in it too."""
    try:
        _WORKER.call(portaudio.terminate, limit_s=_CLOSE_S)
    except NoAnswerError:
        portaudio.forget_exit()


_WORKER = Worker("portaudio")
_SUPERVISOR = Supervisor(_WORKER, portaudio.start_anew)
portaudio.at_exit(_leave)


KIND = SourceKind(
    name="device",
    usage="device[:NAME]",
    summary="a microphone (`streamclf devices` lists them)",
    example="device:USB Mic#ch=1",
    make=lambda spec, *, fast: DeviceSource(spec),
    default_name=as_name,
    options=(Option("rate", lambda text: whole("rate", text, 1, MAX_RATE), "Hz to ask the device for"),),
)
