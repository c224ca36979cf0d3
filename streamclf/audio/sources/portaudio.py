"""PortAudio itself: what it lists, finds and opens. Called by one thread alone, for it is not thread-safe.

Its device list is as old as its last initialisation, and initialising anew ends every open stream. So on Linux each
list remembers which sound cards there were then: a card that has changed since is looked for in no old list.
"""

import atexit
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from streamclf.audio.sources.base import NoInputDeviceError, check_channel
from streamclf.audio.sources.hush import hush
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import hop_of
from streamclf.errors import AbsentError, RateError, SourceError

# a channel count above this is what sound servers claim for virtual devices (PulseAudio: 32), not microphones
_MOST_REAL_CHANNELS = 8
_VIRTUAL_CHANNELS = 2
USUAL_RATE = 48_000
_OTHER_RATES = (USUAL_RATE, 44_100, 16_000)
_NOT_TAKEN = (-9994, -9997, -9998)  # PortAudio's: the device is there, and takes no such format, rate or channels
_CARDS = Path("/proc/asound/cards")
_CARD = re.compile(r"\(hw:(\d+)")  # in the name that PortAudio gives to a card's device
_cards_listed: dict[str, str] = {}  # those of the time of the list; see `cards`
_leaving: list[Callable[[], object]] = []


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One audio input: default rate in Hz, the most channels it offers, whether it is the default input."""

    name: str
    host_api: str
    rate: int
    channels: int
    default: bool


class NoPortAudioError(SourceError):
    """There is no PortAudio on this machine: no microphone can come before somebody installs it and starts anew."""


class RateNotTakenError(SourceError):
    """The device is there and does not take the rate."""


@cache
def _loaded() -> Any:
    """The module, or the sentence that says why there is none: looking for it again and again would cost processes.

    Raises `AbsentError` where there is PortAudio and it does not start.
    """
    _cards_listed.update(cards())
    try:
        import sounddevice
    except (ImportError, OSError) as fault:
        return f"PortAudio, which reads microphones, cannot be used ({fault}); on Debian: apt install libportaudio2"
    except Exception as fault:  # its own; it was not imported, so its class cannot be named
        raise AbsentError(f"PortAudio cannot be started: {fault}") from None
    for function in _leaving:  # so they run before the module's own exit handler, which was registered by the import
        atexit.register(function)
    return sounddevice


def sounddevice() -> Any:
    """The module. Raises `NoPortAudioError`, and `AbsentError` where it does not start."""
    module = _loaded()
    if isinstance(module, str):
        raise NoPortAudioError(module)
    return module


def at_exit(function: Callable[[], object]) -> None:
    """Run `function` before PortAudio's module ends it at exit, if it was ever imported."""
    _leaving.append(function)


def forget_exit() -> None:
    """Keep the module's exit handler from hanging where PortAudio does."""
    atexit.unregister(sounddevice()._exit_handler)


def terminate() -> None:
    """End PortAudio, and with it every stream."""
    module = sounddevice()
    while module._initialized:
        module._terminate()


def start_anew() -> None:
    """Initialise PortAudio again: the only way to a new device list. Ends every open stream."""
    module = sounddevice()
    try:
        terminate()
        _cards_listed.clear()
        _cards_listed.update(cards())
        # not its own way to do it, which throws away what other threads write on standard error meanwhile
        with hush():
            module._check(module._lib.Pa_Initialize(), "PortAudio does not start")
        module._initialized += 1
    except module.PortAudioError as fault:
        raise SourceError(f"PortAudio cannot be started again: {fault}") from None


def inputs() -> list[tuple[int, DeviceInfo]]:
    """Every input by its index, in PortAudio's order. Raises `SourceError`."""
    module = sounddevice()
    try:
        apis = [api["name"] for api in module.query_hostapis()]
        devices = list(module.query_devices())
        default = module.default.device[0]
    except module.PortAudioError as fault:
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


def meant(wanted: str, listed: Iterable[DeviceInfo]) -> list[DeviceInfo]:
    """Exact name, `NAME, HOST API`, or each name that holds the text (letter case aside); no text: the default."""
    infos = list(listed)
    if not wanted:
        return [info for info in infos if info.default]
    exact = [info for info in infos if wanted in (info.name, f"{info.name}, {info.host_api}")]
    return exact or [info for info in infos if wanted.casefold() in info.name.casefold()]


def find(spec: SourceSpec) -> tuple[int, DeviceInfo]:
    """The one input that `spec` means.

    Raises `AbsentError` where it is not there (`NoInputDeviceError`: none is), `SourceError` where several match.
    """
    listed = inputs()
    if not listed:
        raise NoInputDeviceError("this machine has no audio input device; plug one in, or use --source demo")
    names = "; ".join(f"{info.name}, {info.host_api}" for _, info in listed)
    found = meant(spec.argument, (info for _, info in listed))
    if not found and not spec.argument:
        raise NoInputDeviceError(f"this machine has no default audio input; name one of: {names}")
    if not found:
        raise AbsentError(f"no audio input is called {spec.argument!r}; there are: {names}")
    if len(found) > 1:
        several = "; ".join(f"{info.name}, {info.host_api}" for info in found)
        raise SourceError(f"{len(found)} audio inputs match {spec.argument!r}; write more of the name: {several}")
    info = found[0]
    if (card := _CARD.search(info.name)) and cards().get(card[1]) != _cards_listed.get(card[1]):
        raise AbsentError(f"device {info.name!r} is not plugged in where it was")
    return next(index for index, one in listed if one is info), info


def channel_count(spec: SourceSpec, info: DeviceInfo) -> int:
    """How many to open. Raises `SourceError` where the one asked for is not there."""
    check_channel(spec, info.channels)
    if info.channels <= _MOST_REAL_CHANNELS:
        return info.channels
    return max(_VIRTUAL_CHANNELS, 1 + (spec.channel or 0))


def choose_rate(spec: SourceSpec, index: int, info: DeviceInfo, channels: int) -> int:
    """The rate asked for; else the device's own, or the first common one that it takes and that has a 20 ms frame.

    Raises `RateError`, `SourceError` where the device takes none, `AbsentError` where it does not answer.
    """
    module = sounddevice()
    asked: int | None = spec.options.get("rate")
    kind: type[SourceError] = SourceError
    refusal = ""
    for rate in dict.fromkeys((asked,) if asked else (info.rate, *_OTHER_RATES)):
        try:
            hop_of(rate)
            with hush():
                module.check_input_settings(device=index, channels=channels, dtype="float32", samplerate=rate)
            return rate
        except RateError:
            if asked:
                raise
        except (module.PortAudioError, ValueError) as fault:
            refusal = f"{rate} Hz: {fault}"
            if _code(fault) not in _NOT_TAKEN:
                kind = AbsentError
    raise kind(f"device {info.name!r} cannot be opened with {channels} channels at {refusal}")


def open_stream(
    index: int,
    info: DeviceInfo,
    *,
    channels: int,
    rate: int,
    callback: Callable[..., None],
    finished: Callable[[], None],
) -> Any:
    """A running stream of float32 blocks of 20 ms. Raises `RateNotTakenError`, `AbsentError` where it does not open."""
    module = sounddevice()
    stream: Any = None
    try:
        with hush():
            stream = module.InputStream(
                device=index,
                channels=channels,
                samplerate=rate,
                dtype="float32",
                # without a block size PulseAudio delivered corrupt data
                blocksize=hop_of(rate),
                callback=callback,
                finished_callback=finished,
            )
            stream.start()
    except (module.PortAudioError, ValueError) as fault:
        if stream is not None:
            stream.close()
        kind = RateNotTakenError if _code(fault) in _NOT_TAKEN else AbsentError
        raise kind(f"device {info.name!r} cannot be opened at {rate} Hz: {fault}") from None
    return stream


def other_rates(info: DeviceInfo) -> Sequence[int]:
    """What to try where a device does not take a stream's rate, rates with a 20 ms frame alone."""
    return [rate for rate in dict.fromkeys((info.rate, *_OTHER_RATES)) if rate > 0 and not rate % 50]


def cards() -> dict[str, str]:
    """Number -> what the kernel says of each sound card there is now; empty where there is no such list."""
    try:
        text = _CARDS.read_text(errors="replace")
    except OSError:
        return {}
    return {card[1]: card[2] for card in re.finditer(r"^ *(\d+) (.*)", text, re.MULTILINE)}


def _code(fault: Exception) -> object:
    return fault.args[1] if len(fault.args) > 1 else None
