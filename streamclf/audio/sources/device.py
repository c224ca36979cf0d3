"""Microphones through PortAudio, and the one owner of PortAudio in this process.

Every call into PortAudio is made by one worker thread, because PortAudio is not thread-safe and its calls hang while a
sound server is frozen; callers wait for an answer only so long. What happens to a lost device stands in `supervisor`.
"""

import atexit
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from streamclf.audio.ring import Ring
from streamclf.audio.sources.base import Intake, NoInputDeviceError, Notify, Room, check_channel
from streamclf.audio.sources.capture import Capture
from streamclf.audio.sources.kind import MAX_RATE, Option, SourceKind, as_name, whole
from streamclf.audio.sources.spec import SourceSpec
from streamclf.audio.sources.supervisor import DeviceState, Supervisor
from streamclf.audio.sources.worker import NoAnswerError, Worker
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock, hop_of
from streamclf.errors import RateError, SourceError
from streamclf.retry import Backoff
from streamclf.types import StreamState

T = TypeVar("T")

# a channel count above this is what sound servers claim for virtual devices (PulseAudio: 32), not microphones
_MOST_REAL_CHANNELS = 8
_VIRTUAL_CHANNELS = 2
_OTHER_RATES = (48_000, 44_100, 16_000)

_ANSWER_S = 10.0
_CLOSE_S = 1.5
_REST_S = 0.25
_RETRY = Backoff(first_s=0.5, most_s=5.0)
_STABLE_S = 10.0


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One audio input: default rate in Hz, the most channels it offers, whether it is the default input."""

    name: str
    host_api: str
    rate: int
    channels: int
    default: bool


def list_devices() -> list[DeviceInfo]:
    """All audio inputs, in PortAudio's order; empty where there is none. Raises `SourceError` without PortAudio."""
    return _call(lambda: [info for _, info in _inputs()])


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
        self._live_since_s = 0.0
        self._told = ""

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
        """Find the device. `NoInputDeviceError` where there is no input at all, `SourceError`, `RateError`."""

        def look() -> None:
            try:
                self._look()
            except SourceError:
                if _SUPERVISOR.busy:
                    raise
                _start_anew()  # it may have been plugged in after the last look
                self._look()

        _call(look)

    def start(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify, *, room: Room | None = None) -> None:
        """Begin to capture into `ring`."""
        if self.state is not DeviceState.NEW or self._stopped or not self.rate:
            raise SourceError(f"{self.description} must be opened, then started once")
        self._intake = Intake(ring, clock, wake, notify)
        _SUPERVISOR.add(self)
        try:
            _call(self.reopen)
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
            self._told = ""
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
            if now_s - self._live_since_s > _STABLE_S:
                self._tries = 0
            intake.notify(StreamState.LOST, f"{self.description}: {reason}")
        self.state = DeviceState.LOST
        self.next_try_s = now_s + _RETRY.delay_s(self._tries)

    def bring_back(self) -> None:
        """On the worker's thread: one try to reopen; tells why not, once for every reason."""
        assert self._intake is not None
        self._tries += 1
        try:
            self.reopen()
        except SourceError as fault:
            self.lose(str(fault), time.monotonic())
            if str(fault) != self._told:
                self._told = str(fault)
                self._intake.notify(
                    StreamState.RECONNECTING, f"trying again, at least every {_RETRY.most_s:g} s: {fault}"
                )

    def reopen(self) -> None:
        """On the worker's thread: open the device that now has the name, at the rate the ring has."""
        if self._stopped:
            return
        assert self._intake is not None
        index, info = _find(self.spec)
        channels = _channel_count(self.spec, info)
        hop = hop_of(self.rate)
        capture = Capture(self._intake, rate=self.rate, channels=channels, channel=self.spec.channel, block=hop)

        def finished() -> None:
            capture.finished = True
            _SUPERVISOR.ring()

        sounddevice = _sounddevice()
        try:
            capture.stream = sounddevice.InputStream(
                device=index,
                channels=channels,
                samplerate=self.rate,
                dtype="float32",
                # without a block size PulseAudio delivered corrupt data
                blocksize=hop,
                callback=capture.callback,
                finished_callback=finished,
            )
            capture.stream.start()
        except (sounddevice.PortAudioError, ValueError) as fault:
            if capture.stream is not None:
                capture.stream.close()
            raise SourceError(f"device {info.name!r} cannot be opened: {fault}") from None
        self.state = DeviceState.STARTING
        self._capture = capture
        if self._stopped:  # meanwhile, by a caller who gave up waiting
            self.drop()

    def drop(self) -> None:
        """On the worker's thread: close the capture. Hangs for as long as the sound server is frozen."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.retired = True
            self._past_xruns += capture.xruns
            capture.stream.abort()
            capture.stream.close()

    def _look(self) -> None:
        index, info = _find(self.spec)
        self.channels = _channel_count(self.spec, info)
        self.rate = _choose_rate(self.spec, index, info, self.channels)
        which = f"channel {self.spec.channel + 1}" if self.spec.channel is not None else f"{self.channels} ch"
        self.description = f"device {info.name} ({info.host_api}), {self.rate} Hz, {which}"


def _call(function: Callable[[], T]) -> T:
    try:
        return _WORKER.call(function, limit_s=_ANSWER_S)
    except NoAnswerError:
        raise SourceError(
            f"PortAudio has not answered for {_ANSWER_S:g} s; see whether the sound server is frozen"
        ) from None
    finally:
        _rest()


def _rest() -> None:
    """Leave no thread behind where no device is in use."""
    if not _SUPERVISOR.busy:
        _WORKER.close(limit_s=_REST_S)


@cache
def _sounddevice() -> Any:
    try:
        import sounddevice
    except Exception as fault:  # OSError without the library, PortAudioError where it does not initialise
        raise NoInputDeviceError(
            f"PortAudio, which reads microphones, cannot be used ({fault}); on Debian: apt install libportaudio2"
        ) from None
    atexit.register(_leave)  # so it runs before sounddevice's own, which was registered by the import
    return sounddevice


def _leave() -> None:
    """At exit: end PortAudio within a limit. Where it hangs, keep sounddevice's exit handler from hanging in it too."""
    try:
        _WORKER.call(_terminate, limit_s=_CLOSE_S)
    except NoAnswerError:
        atexit.unregister(_sounddevice()._exit_handler)


def _terminate() -> None:
    sounddevice = _sounddevice()
    while sounddevice._initialized:
        sounddevice._terminate()


def _start_anew() -> None:
    """Initialise PortAudio again: the only way to a new device list. Ends every open stream."""
    sounddevice = _sounddevice()
    try:
        _terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as fault:
        raise SourceError(f"PortAudio cannot be started again: {fault}") from None


_WORKER = Worker("portaudio")
_SUPERVISOR = Supervisor(_WORKER, _start_anew)


def _inputs() -> list[tuple[int, DeviceInfo]]:
    sounddevice = _sounddevice()
    try:
        apis = [api["name"] for api in sounddevice.query_hostapis()]
        devices = list(sounddevice.query_devices())
        default = sounddevice.default.device[0]
    except sounddevice.PortAudioError as fault:
        raise SourceError(f"PortAudio cannot list its devices: {fault}") from None
    return [
        (
            index,
            DeviceInfo(
                name=device["name"],
                host_api=apis[device["hostapi"]],
                rate=int(device["default_samplerate"]),
                channels=device["max_input_channels"],
                default=index == default,
            ),
        )
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def _find(spec: SourceSpec) -> tuple[int, DeviceInfo]:
    """Exact name, `NAME, HOST API`, or the one name that holds the text (letter case aside); no text: the default."""
    inputs = _inputs()
    if not inputs:
        raise NoInputDeviceError("this machine has no audio input device; plug one in, or use --source demo")
    wanted = spec.argument
    if not wanted:
        found = [item for item in inputs if item[1].default]
        if not found:
            raise NoInputDeviceError("this machine has no default audio input; name one of: " + _names(inputs))
    else:
        found = [item for item in inputs if wanted in (item[1].name, f"{item[1].name}, {item[1].host_api}")]
        found = found or [item for item in inputs if wanted.casefold() in item[1].name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(f"{len(found)} audio inputs match {wanted!r}; write more of the name: {_names(found)}")
    raise SourceError(f"no audio input is called {wanted!r}; there are: {_names(inputs)}")


def _names(inputs: list[tuple[int, DeviceInfo]]) -> str:
    return "; ".join(f"{info.name}, {info.host_api}" for _, info in inputs)


def _channel_count(spec: SourceSpec, info: DeviceInfo) -> int:
    check_channel(spec, info.channels)
    if info.channels <= _MOST_REAL_CHANNELS:
        return info.channels
    return max(_VIRTUAL_CHANNELS, 1 + (spec.channel or 0))


def _choose_rate(spec: SourceSpec, index: int, info: DeviceInfo, channels: int) -> int:
    """The rate asked for; else the device's own, or the first common one that it takes and that has a 20 ms frame."""
    sounddevice = _sounddevice()
    asked: int | None = spec.options.get("rate")
    refusal = ""
    for rate in dict.fromkeys((asked,) if asked else (info.rate, *_OTHER_RATES)):
        try:
            hop_of(rate)
            sounddevice.check_input_settings(device=index, channels=channels, dtype="float32", samplerate=rate)
            return rate
        except RateError:
            if asked:
                raise
        except (sounddevice.PortAudioError, ValueError) as fault:
            refusal = f"{rate} Hz: {fault}"
    raise SourceError(f"device {info.name!r} cannot be opened with {channels} channels at {refusal}")


KIND = SourceKind(
    name="device",
    usage="device[:NAME]",
    summary="a microphone (`streamclf devices` lists them)",
    example="device:USB Mic#ch=1",
    make=lambda spec, *, fast: DeviceSource(spec),
    default_name=as_name,
    options=(Option("rate", lambda text: whole("rate", text, 1, MAX_RATE), "Hz to ask the device for"),),
)
