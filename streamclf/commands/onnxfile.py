"""What may be said of somebody's .onnx on a command line, and what is told of the pack that becomes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile

import click
import numpy as np

from streamclf.errors import PackError, UsageError
from streamclf.text import plain
from streamclf.types import F32, Provider, Shape

if TYPE_CHECKING:
    from streamclf.engine.goldenpair import GoldenMatch, GoldenPair
    from streamclf.features.spec import Features
    from streamclf.model.adopt.adoption import Adopted
    from streamclf.model.adopt.likefit import Likeness
    from streamclf.model.adopt.said import Adoption
    from streamclf.model.pack import Pack

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MS = click.FloatRange(min=0)
_MANY_AT_ONCE = 0.25
_FAR = 0.5  # of the spread of given features: what differs by more has nothing to do with them
_OPTIONS: Sequence[tuple[tuple[str, ...], dict[str, Any]]] = (
    (("--labels",), {"type": click.Path(path_type=Path), "help": "its labels, one a line, in order."}),
    (("--rate",), {"type": click.IntRange(1000, 384_000), "help": "the sample rate it was trained with."}),
    (("--licence",), {"help": "the licence under which you have it."}),
    (("--name",), {"help": "what the pack is to be called."}),
    (("--group",), {"help": "a group for all of its labels, such as bird."}),
    (("--activation",), {"type": click.Choice(["sigmoid", "softmax", "none"]),
                         "help": "what makes probabilities of its output; none where it does so itself."}),
    (("--waveform",), {"multiple": True, "metavar": "KEY=VALUE",
                       "help": "it takes samples: normalise=mean|peak|mean-peak|window, gain=32768."}),
    (("--logmel",), {"multiple": True, "metavar": "KEY=VALUE",
                     "help": "it takes log-mel frames: n_fft, win_length, hop_length, n_mels, fmin, fmax, htk, …"}),
    (("--image",), {"multiple": True, "metavar": "KEY=VALUE",
                    "help": "it takes a picture of the window; what is not stated is librosa's default."}),
    (("--features-like",), {"metavar": "RECORDING,FILE.npy",
                            "help": "a recording and the log-mel that your own code made of it: its settings are "
                                    "found."}),
    (("--layout",), {"type": click.Choice(["bands-time", "time-bands"]),
                     "help": "which side of a spectrogram is first."}),
    (("--window-ms",), {"type": _MS, "help": "length of a window, where the graph leaves it open."}),
    (("--step-ms",), {"type": _MS, "help": "new sound of each run, where it keeps a state."}),
    (("--look-ahead-ms",), {"type": _MS, "help": "sound behind a frame that its row rests on; half the window."}),
    (("--row-at-ms",), {"type": _MS, "help": "the same by where in its window a row belongs."}),
    (("--input",), {"help": "name of the input that takes the sound."}),
    (("--output",), {"help": "name of the output that gives the scores."}),
    (("--state",), {"multiple": True, "metavar": "INPUT=OUTPUT", "help": "a state by its two ends."}),
    (("--constant",), {"multiple": True, "metavar": "INPUT=VALUE", "help": "an input that is the same in every run."}),
    (("--golden",), {"metavar": "RECORDING,FILE.npy",
                     "help": "a recording and the scores that the model gave for it, to prove it by."}),
)  # fmt: skip
KEYS = tuple(names[0].removeprefix("--").replace("-", "_") for names, _ in _OPTIONS)


def onnx_options(command: _Command) -> _Command:
    """The options of an .onnx, all of them optional."""
    for names, facts in reversed(_OPTIONS):
        command = click.option(*names, **{**facts, "help": f"For an .onnx: {facts['help']}"})(command)
    return command


@dataclass(frozen=True, slots=True)
class Taken:
    """A pack out of an ONNX file, in its folder. parity: None where no golden pair was given."""

    adopted: "Adopted"
    pack: "Pack"
    parity: "GoldenMatch | None"
    notes: tuple[str, ...]


def given(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of an .onnx those that were used."""
    return {key: said[key] for key in KEYS if said.get(key) not in (None, ())}


def take(folder: Path, graph: Path, said: Mapping[str, Any], *, prove: Callable[["Pack"], None]) -> Taken:
    """Write the pack of `graph` into `folder`, once `prove` lets it pass and its golden pair, if there is one, holds.

    Raises `UsageError` where something is not said, `PackError` where it cannot be taken or does not hear as it did.
    """
    from streamclf.engine.goldenpair import compare
    from streamclf.model.adopt.adoption import NotTakenError, adopt
    from streamclf.model.loader import load_pack

    found = _found(said["features_like"], said) if said.get("features_like") else None
    wishes = _adoption(graph, said, found)
    labels = said["labels"]
    try:
        adopted = adopt(folder, graph, labels, wishes)
    except NotTakenError as fault:
        click.echo("write it by hand, in a folder with model.onnx and labels.csv, and seal it (`streamclf models seal "
                   "FOLDER`); of its pack.toml this is known:\n", err=True)  # fmt: skip
        click.echo("\n".join(map(plain, fault.lines)), err=True)
        raise PackError(str(fault)) from None
    pack = load_pack(folder)
    prove(pack)
    if shown := _shown(pack, wishes):
        wishes = replace(wishes, shown=shown)
        adopted, pack = adopt(folder, graph, labels, wishes), load_pack(folder)
    notes = [*_told(found), *adopted.notes]
    pair = _golden(said["golden"], wishes.rate) if said.get("golden") else None
    if pair is None:
        notes += _looks_like_softmax(pack, said)
        return Taken(adopted, pack, None, tuple(notes))
    parity = compare(pack, pair)
    if parity.holds and parity.activation not in ("", adopted.manifest.activation):
        if wishes.activation:
            raise PackError(f"{graph}: the golden scores are those of {parity.activation}, and --activation says "
                            f"{wishes.activation}; leave it out")  # fmt: skip
        adopted = adopt(folder, graph, labels, replace(wishes, activation=parity.activation))
        notes.append(f"the golden scores are those of {parity.activation}")
    if not parity.holds:
        raise PackError(
            f"{graph}: its scores differ from the golden ones by up to {parity.worst:.2g} over {parity.rows} rows; "
            "mend --rate, --window-ms or the features until they agree"
        )
    _keep_golden(folder, pair, parity)
    return Taken(adopted, load_pack(folder), parity, tuple(notes))


def tell(taken: Taken) -> None:
    """What the pack is, on standard output."""
    from streamclf.commands.models import cadence, kind_of
    from streamclf.engine.pace import hop_frames
    from streamclf.model.fusedsession import open_session

    manifest = taken.pack.manifest
    session = open_session(taken.pack, provider=Provider.CPU)
    run_s = session.warm_up()
    hop_ms = 20 * hop_frames(run_s, streams=1, window_packs=1)
    if manifest.shape is Shape.STATEFUL:
        hop_ms = 1000 * manifest.step // manifest.rate
    parity = taken.parity
    for what, value in (
        ("shape", f"{manifest.shape.value}, {cadence(manifest)}"),
        ("features", f"{kind_of(manifest)} at {manifest.rate} Hz"),
        ("activation", f"{manifest.activation}: {taken.adopted.why}"),
        ("look-ahead", f"{1000 * manifest.look_ahead / manifest.rate:.4g} ms"),
        ("one run here", f"{1000 * run_s:.2f} ms of one core"),
        ("hop held here", f"{hop_ms} ms"),
        ("golden pair", "none given (--golden RECORDING,SCORES.npy)" if parity is None
                        else f"{parity.worst:.1e} over {parity.rows} rows"),
        *(("note", note) for note in taken.notes),
    ):  # fmt: skip
        click.echo(f"{what:16} {plain(value)}")


def _adoption(graph: Path, said: Mapping[str, Any], found: "Likeness | None") -> "Adoption":
    from streamclf.model.adopt.said import Adoption, NamedEnds

    needed = {
        "labels": "a text file with one label a line, in the order of its output",
        "rate": "the sample rate it was trained with, such as 48000",
        "licence": "the licence under which you have it, such as 'CC BY-NC-SA 4.0'; it stands in the pack",
    }
    if missing := [f"--{key}: {why}" for key, why in needed.items() if said.get(key) is None]:
        raise UsageError(f"{graph} needs {'; '.join(missing)}")
    states = dict(_named(said.get("state", ()), "--state"))
    constants = {name: _number(name, value) for name, value in _named(said.get("constant", ()), "--constant")}
    return Adoption(
        features=found.features if found else _features(said),
        ends=NamedEnds(said.get("input") or "", said.get("output") or "", states, constants),
        **{key: said[key] for key in ("rate", "licence")},
        **{key: said[key] for key in ("name", "group", "activation", "layout") if said.get(key)},
        **{key: said[key] for key in ("window_ms", "step_ms", "look_ahead_ms", "row_at_ms") if key in said},
    )


def _found(text: str, said: Mapping[str, Any]) -> "Likeness":
    """How the features of a pair were made. Raises `UsageError` where nothing that is known makes them."""
    from streamclf.audio.onsets import read
    from streamclf.model.adopt.likefit import like, words

    _features(said)  # what is stated beside it is refused
    if said.get("rate") is None:
        raise UsageError("--features-like needs --rate: the sample rate that the features were made at")
    recording, array = _pair(text, "--features-like")
    found = like(read(recording, said["rate"]), said["rate"], _array(array))
    if found.share > _FAR:
        raise UsageError(
            f"{array}: nothing that is known makes these features, and nothing comes near; MFCC, PCEN, a constant-Q "
            "transform and wavelets are no log-mel of a pack: export the net with what makes them inside, so that it "
            "takes samples"
        )
    if not found.holds:
        raise UsageError(
            f"{array}: no usual settings make these features. The nearest, {words(found.features)}, is off by "
            f"{100 * found.share:.2g} % of their spread and by up to {found.worst:.2g}, most in {found.where}; if the "
            "rest is yours to mend, state them with --logmel or --image"
        )
    return found


def _told(found: "Likeness | None") -> list[str]:
    from streamclf.model.adopt.likefit import words

    if found is None:
        return []
    notes = [
        f"its features were found: {words(found.features)}, off by up to {found.worst:.2g} in {found.frames} frames"
    ]
    if getattr(found.features, "padding", "none") != "none":
        notes.append("they are made of each window by itself, whose ends are padded (center=True)")
    if found.possible > found.frames:
        notes.append(f"the recording makes {found.possible} frames, of which the last were left out")
    return notes


def _features(said: Mapping[str, Any]) -> "Features | None":
    from streamclf.model.adopt.settings import image_features, logmel_features, waveform_features

    used = [key for key in ("waveform", "logmel", "image", "features_like") if said.get(key)]
    if len(used) > 1:
        first, second = (f"--{key.replace('_', '-')}" for key in used[:2])
        raise UsageError(f"{first} and {second} are two kinds of features, and a graph takes one; leave one out")
    if said.get("waveform"):
        return waveform_features(said["waveform"])
    if said.get("logmel"):
        return logmel_features(said["logmel"], said["rate"])
    if said.get("image"):
        return image_features(said["image"], said["rate"])
    return None


def _named(entries: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not sign or not name or not value:
            raise UsageError(
                f"{option} is {entry[:60]!r}; expected {'INPUT=OUTPUT' if option == '--state' else 'INPUT=VALUE'}"
            )
        pairs.append((name, value))
    return pairs


def _number(name: str, value: str) -> int | float:
    if value.lower() in ("true", "false"):
        return int(value.lower() == "true")
    try:
        return float(value) if any(sign in value for sign in ".eE") else int(value)
    except ValueError:
        raise UsageError(f"--constant {name} is {value[:40]!r}; expected a number") from None


def _pair(text: str, option: str) -> tuple[Path, Path]:
    first, sign, second = text.rpartition(",")
    if not sign or not first or not second:
        raise UsageError(f"{option} is {text[:80]!r}; expected two files, RECORDING,FILE.npy")
    return Path(first), Path(second)


def _array(path: Path) -> F32:
    try:
        if path.suffix in (".csv", ".txt"):
            return np.atleast_1d(np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, dtype=np.float32))
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            values = np.asarray(found[found.files[0]] if hasattr(found, "files") else found)
        if np.iscomplexobj(values):
            raise TypeError("its values are complex")
        return values.astype(np.float32)
    except (OSError, ValueError, IndexError, TypeError, EOFError, MemoryError, BadZipFile) as fault:
        raise UsageError(
            f"{path} cannot be read as an array ({plain(str(fault))}); give what numpy.save wrote"
        ) from None


def _golden(text: str, rate: int) -> "GoldenPair":
    from streamclf.audio.onsets import read
    from streamclf.engine.goldenpair import GoldenPair

    recording, array = _pair(text, "--golden")
    scores = _array(array)
    return GoldenPair(read(recording, rate), scores.reshape(-1, scores.shape[-1]))


def _shown(pack: "Pack", wishes: "Adoption") -> Any:
    """What the numbers of a graph are that ends open, "" where nothing shows it or its user says so."""
    from streamclf.engine.probe import kind_of_numbers
    from streamclf.engine.verify import signal

    if wishes.activation or pack.manifest.activation != "sigmoid":
        return ""
    return kind_of_numbers(pack, signal(pack.manifest, np.random.default_rng(0)))


def _looks_like_softmax(pack: "Pack", said: Mapping[str, Any]) -> list[str]:
    from streamclf.engine.probe import many_at_once
    from streamclf.engine.verify import signal

    if said.get("activation"):
        return []
    share = many_at_once(pack, signal(pack.manifest, np.random.default_rng(0)))
    if share is None or share < _MANY_AT_ONCE:
        return []
    return [f"{100 * share:.0f} % of its labels are over 0.5 at once: its output looks like logits of a softmax; if "
            "exactly one label holds at a time, add --activation softmax --replace"]  # fmt: skip


def _keep_golden(folder: Path, pair: "GoldenPair", parity: "GoldenMatch") -> None:
    """Put golden.npz, and what was found, into the pack."""
    from streamclf.commands.complete import golden_of
    from streamclf.model.loader import GOLDEN, load_pack
    from streamclf.model.packwriter import write_files

    pack = load_pack(folder)
    files = {name: (folder / name).read_bytes() for name in pack.manifest.files}
    files[GOLDEN] = golden_of(pack, pair.audio)
    files["CARD.md"] += f"\nIts scores are the golden ones to {parity.worst:.1e}, over {parity.rows} rows.\n".encode()
    write_files(folder, pack.manifest, files)
