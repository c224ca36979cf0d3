"""Sounds that are made here out of parts: speech out of synthesisers, typing out of keys, music out of a sound font.

None of them is ever used to judge: made sounds are for training, a few for choosing thresholds.
"""

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from models.default.recipe.corpus import RATE
from streamclf.errors import StreamclfError
from streamclf.train.data.asheard import read_sound
from streamclf.types import F32

_SENTENCES = {
    "en-us": (
        "Could you open the window, please? It is warm in here.",
        "The next train to the harbour leaves at a quarter past seven.",
        "No, thank you, I have already eaten.",
        "We should talk about this tomorrow morning, when everybody is awake.",
        "Who left the light on in the kitchen?",
        "One, two, three, four, five, six, seven, eight, nine, ten.",
        "It has been raining since Thursday, and the river is rising.",
        "Turn left behind the church, then go straight on.",
    ),
    "de": (
        "Kannst du mir bitte das Salz geben?",
        "Der Zug nach Hamburg hat zehn Minuten Verspätung.",
        "Gestern Abend haben wir lange im Garten gesessen.",
    ),
    "fr": (
        "Où est la gare, s'il vous plaît?",
        "Nous avons mangé du pain et du fromage au bord de la rivière.",
        "Il fait froid ce matin, ferme la porte.",
    ),
    "es": ("¿A qué hora sale el autobús?", "Mañana vamos a la playa con los niños.", "No sé dónde está mi libro."),
    "pl": ("Dzień dobry, poproszę dwie kawy.", "Jutro będzie padać deszcz."),
    "sv": ("Var ligger biblioteket?", "Vi ses klockan åtta i morgon bitti."),
    "fi": ("Tänään on kaunis ilma.", "Missä on lähin kauppa?"),
    "sw": ("Habari ya asubuhi, rafiki yangu.", "Tutaonana kesho jioni."),
}
_VARIANTS = ("", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+croak", "+whisper")
_FLITE = ("kal16", "awb", "rms", "slt")
_PRESETS = (0, 4, 11, 16, 19, 22, 24, 25, 27, 33, 40, 42, 48, 52, 56, 61, 65, 71, 73, 80, 88, 104, 105, 110)
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))


def speak(folder: Path) -> list[tuple[str, Path]]:
    """(voice, recording) of every sentence, by espeak-ng and flite."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = []
    rng = np.random.default_rng(1)
    for language, sentences in _SENTENCES.items():
        for variant in _VARIANTS:
            for number, sentence in enumerate(sentences):
                path = folder / f"espeak-{language}{variant}-{number}.wav"
                pace = [f"-s{int(rng.integers(110, 220))}", f"-p{int(rng.integers(20, 90))}"]
                _make(path, ["espeak-ng", "-v", f"{language}{variant}", *pace, "-w", str(path), sentence])
                spoken.append((f"espeak-{language}{variant}", path))
    for voice in _FLITE:
        for number, sentence in enumerate(_SENTENCES["en-us"]):
            path = folder / f"flite-{voice}-{number}.wav"
            _make(path, ["flite", "-voice", voice, "-o", str(path), "-t", sentence])
            spoken.append((f"flite-{voice}", path))
    return spoken


def play(folder: Path, font: Path, pieces: int = 40) -> list[Path]:
    """Pieces of ten seconds by random instruments of a sound font, each one a scale, a tempo and a few voices."""
    folder.mkdir(parents=True, exist_ok=True)
    played = []
    for number in range(pieces):
        score, path = folder / f"{number:02d}.mid", folder / f"fluid-{number:02d}.wav"
        score.write_bytes(_score(np.random.default_rng([2, number])))
        _make(path, ["fluidsynth", "-ni", "-q", "-g", "0.6", "-r", "44100", "-F", str(path), str(font), str(score)])
        played.append(path)
    return played


def type_out(folder: Path, name: str, keys: Sequence[Path], clips: int) -> list[Path]:
    """Clips of six seconds of typing out of recordings of single keys."""
    folder.mkdir(parents=True, exist_ok=True)
    pressed = [read_sound(path, RATE) for path in keys]
    typed = []
    for number in range(clips):
        path = folder / f"{name}-{number:02d}.wav"
        if not path.exists():
            rng = np.random.default_rng([3, number])
            out = np.zeros(6 * RATE, dtype=np.float32)
            at, pace = int(0.2 * RATE), rng.uniform(0.07, 0.3)
            while at < len(out):
                key = pressed[int(rng.integers(len(pressed)))][: len(out) - at]
                out[at : at + len(key)] += key * np.float32(rng.uniform(0.4, 1.0))
                at += int(rng.gamma(3.0, pace / 3.0) * RATE) + RATE // 50
            soundfile.write(path, _even(out), RATE)
        typed.append(path)
    return typed


def sound_alarms(folder: Path, clips: int = 30) -> list[Path]:
    """Sirens that wail, yelp or change between two tones, beepers and bells, five seconds each."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(clips):
        path = folder / f"alarm-{number:02d}.wav"
        if not path.exists():
            soundfile.write(path, _even(_alarm(np.random.default_rng([4, number]), number % 4)), RATE)
        made.append(path)
    return made


def sing(folder: Path, clips: int = 80) -> list[tuple[str, Path]]:
    """(kind, recording) of short whistles, sweeps, trills, notes in a row, hoots and coos as birds have them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(clips):
        path = folder / f"bird-{number:02d}.wav"
        kind = number % len(_SONGS)
        if not path.exists():
            soundfile.write(path, _even(_song(np.random.default_rng([5, number]), _SONGS[kind])), RATE)
        made.append((f"song-{kind}", path))
    return made


@dataclass(frozen=True, slots=True)
class _Song:
    """Ranges of one kind of song. hz: of a syllable's middle; sweep: how far it goes up or down, in octaves; long_s: of
    a syllable; pause: after it, in its lengths; syllables: in a song; overtones: how loud the second harmonic may be.
    """

    hz: tuple[float, float]
    sweep: float
    long_s: tuple[float, float]
    pause: tuple[float, float]
    syllables: tuple[int, int]
    overtones: float


_SONGS = (
    _Song((2500.0, 7000.0), 0.6, (0.03, 0.2), (0.5, 3.0), (1, 4), 0.1),  # calls
    _Song((2000.0, 6500.0), 0.4, (0.02, 0.08), (0.2, 1.0), (8, 25), 0.1),  # trills
    _Song((1500.0, 5000.0), 0.3, (0.08, 0.35), (0.2, 1.0), (3, 9), 0.2),  # songs
    _Song((280.0, 650.0), 0.15, (0.12, 0.6), (0.2, 1.5), (1, 5), 0.3),  # owls and doves
)


def _song(rng: np.random.Generator, song: _Song) -> F32:
    """One song: syllables that are alike, each a tone that sweeps and may tremble."""
    hz, sweep = np.exp(rng.uniform(*np.log(song.hz))), rng.uniform(-song.sweep, song.sweep)
    bend, seconds, pause = rng.uniform(-song.sweep, song.sweep), rng.uniform(*song.long_s), rng.uniform(*song.pause)
    second, tremble = rng.uniform(0.0, song.overtones), rng.choice([0.0, 0.0, 0.15]) * rng.random()
    alike = rng.choice([0.05, 0.3])
    parts = []
    for _ in range(int(rng.integers(song.syllables[0], song.syllables[1] + 1))):
        length = int(seconds * rng.uniform(0.8, 1.25) * RATE)
        at = np.linspace(-0.5, 0.5, length)
        octaves = rng.normal(0.0, alike * song.sweep) + sweep * at + bend * (1 - 8 * at**2)
        octaves += tremble * np.sin(2 * np.pi * rng.uniform(15, 45) * at * length / RATE)
        phase = 2 * np.pi * np.cumsum(np.minimum(hz * 2**octaves, 7800.0)) / RATE
        loud = np.cos(np.pi * at) ** rng.uniform(0.5, 2.0) * rng.uniform(0.5, 1.0)
        parts += [loud * (np.sin(phase) + second * np.sin(2 * phase)), np.zeros(int(length * pause))]
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def _alarm(rng: np.random.Generator, kind: int) -> F32:
    times = np.arange(5 * RATE) / RATE
    if kind == 0:  # a siren that sweeps, slowly or fast
        low, high = rng.uniform(400, 800), rng.uniform(1100, 1800)
        hz = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * times * rng.choice([0.2, 0.5, 3.0, 5.0])))
        on = np.ones_like(times)
    elif kind == 1:  # two tones in turn
        low = rng.uniform(350, 900)
        high = low * rng.uniform(1.2, 1.5)
        hz = np.where((times * rng.uniform(0.8, 4.0)) % 1 < 0.5, low, high)
        on = np.ones_like(times)
    else:  # beeps in groups, or a ringing bell
        hz = np.full_like(times, rng.uniform(1800, 3400) if kind == 2 else rng.uniform(500, 1600))
        period, beeps = rng.uniform(0.7, 2.0), int(rng.integers(1, 5))
        slot = (times % period) * beeps / (period * rng.uniform(0.5, 0.9))
        on = ((slot < beeps) & (slot % 1 < rng.uniform(0.4, 0.8))).astype(np.float64)
        if kind == 3:
            on *= 0.6 + 0.4 * np.sign(np.sin(2 * np.pi * rng.uniform(15, 30) * times))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    tone = sum(rng.uniform(0.0, 1.0) / n * np.sin(n * phase) for n in range(2, 7)) + np.sin(phase)
    # edges of 4 ms, so that a beep is not a click
    ramp = np.ones(RATE // 250) / (RATE // 250)
    return np.asarray(tone * np.convolve(on, ramp, mode="same"), dtype=np.float32)


def _score(rng: np.random.Generator) -> bytes:
    """A standard MIDI file of one track: a chord, a bass, a melody and now and then drums."""
    scale, root = _SCALES[int(rng.integers(len(_SCALES)))], int(rng.integers(45, 58))
    beat = int(rng.integers(200, 480))  # ms
    notes: list[tuple[int, int, int, int, int]] = []  # start, length (ms), channel, pitch, velocity
    setup = b""
    for channel in range(int(rng.integers(1, 4))):
        setup += b"\x00" + bytes([0xC0 | channel, int(rng.choice(_PRESETS))])
        step = beat * int(rng.choice([1, 1, 2, 4])) // (2 if channel == 0 else 1)
        degree, start = int(rng.integers(0, 7)), 0
        while start < 10_000:
            degree = int(np.clip(degree + rng.integers(-2, 3), -3, 12))
            pitch = root + 12 * (degree // len(scale)) + scale[degree % len(scale)] + (12 if channel == 0 else 0)
            chord = (0, 4, 7) if channel == 1 else (0,)
            notes += [(start, int(step * 0.95), channel, pitch + up, int(rng.integers(60, 115))) for up in chord]
            start += step
    if rng.random() < 0.5:
        for number, start in enumerate(range(0, 10_000, beat)):
            notes.append((start, 80, 9, (36, 42, 38, 42)[number % 4], int(rng.integers(60, 110))))
    moments = [(start, 0x90 | channel, pitch, velocity) for start, _, channel, pitch, velocity in notes]
    moments += [(start + length, 0x80 | channel, pitch, 0) for start, length, channel, pitch, _ in notes]
    track, last = setup, 0
    for at, status, pitch, velocity in sorted(moments):
        track += _length(at - last) + bytes([status, min(127, pitch), velocity])
        last = at
    track += b"\x00\xff\x2f\x00"
    # 500 ticks a quarter of 500 ms: a tick is a millisecond
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500) + b"MTrk" + struct.pack(">I", len(track)) + track


def _length(value: int) -> bytes:
    out = bytes([value & 0x7F])
    while value := value >> 7:
        out = bytes([0x80 | value & 0x7F]) + out
    return out


def _even(samples: F32) -> F32:
    return np.asarray(0.5 * samples / np.abs(samples).max(), dtype=np.float32)


def _make(path: Path, command: list[str]) -> None:
    if path.exists() and path.stat().st_size:
        return
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as fault:
        raise StreamclfError(
            f"{command[0]} could not make {path.name}: {fault}; install it (apt-get install)"
        ) from None
