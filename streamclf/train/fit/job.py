"""From a folder of labelled recordings to a verified pack: the whole way that `streamclf train` goes.

Whatever can be wrong with the data, the options or the checkpoint shows before the first step. A run's folder holds
all that is made on the way: decoded audio, the options, checkpoints, the log for tensorboard, the trained weights.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import msgspec

from streamclf.clock import FRAME_MS, hop_of
from streamclf.engine.verify import verify
from streamclf.errors import PackError, SourceError, StreamclfError, UsageError
from streamclf.model import swap
from streamclf.model.labels import printable
from streamclf.model.loader import GOLDEN, LABELS, MODEL, load_pack
from streamclf.model.pack import Fbank, LogMel, Manifest, Pack
from streamclf.model.packwriter import write_pack
from streamclf.train.data import annotations, tasks
from streamclf.train.data.annotations import LeftOut, Recording
from streamclf.train.data.corpus import Corpus, decode
from streamclf.train.data.examples import ExampleCut, Examples
from streamclf.train.data.features import statistics
from streamclf.train.evaluate import decisions, learnt
from streamclf.train.evaluate.heldout import Judged, judge
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.packing import Say, check_target, pack_name
from streamclf.train.families.family import Wishes
from streamclf.train.families.trained import IMAGES
from streamclf.train.fit import card, newhead, ours, runstate, scratch
from streamclf.train.fit.cached import HEADS
from streamclf.train.fit.hubnet import HubNet
from streamclf.train.fit.training import FitSettings, Learner, Outcome, Watch, fit
from streamclf.train.pretrained import load_checkpoint
from streamclf.types import Shape

_MEASURED = 256
"""Batches that the mean and spread of spectra are measured on, at most."""
SPEECH_RATE = 16_000
CARD = "CARD.md"
_LONGEST_TITLE = 200


class Options(msgspec.Struct, frozen=True):
    """What a run is made of; see `streamclf train --help`. Two runs with the same options and data end the same."""

    arch: str
    mode: tasks.Mode
    source: str = ""
    """Checkpoint to begin with: a folder or a hub id."""
    freeze: newhead.Freeze = "none"
    size: scratch.Size = "small"
    labels: tuple[str, ...] = ()
    several: bool | None = None
    rate: int = ours.DEFAULT_RATE
    bands: int = 64
    high_hz: float = 0.0
    width: int = 0
    window_s: float = 0.0
    look_ahead_ms: int | None = None
    chunk_ms: int = 0
    """Time between two runs of a causal net; 0 takes the architecture's own."""
    augment: tuple[str, ...] = ()
    balance: bool = False
    validation: float = 0.15
    test: float = 0.15
    train_folds: tuple[int, ...] = ()
    validation_folds: tuple[int, ...] = ()
    test_folds: tuple[int, ...] = ()
    settings: FitSettings = FitSettings()


class Trainable(Learner, Protocol):
    """A learner that can become a pack.

    stretch: samples of one training example. delay: samples by which rows come after the frames that they tell of.
    """

    stretch: int
    delay: int

    def export(self, out: Path, task: tasks.Task, *, name: str, licence: str, card: str, say: Say) -> ExportReport:
        """Write the pack into the folder `out`, in place of one that is there."""


class Result(msgspec.Struct, frozen=True):
    """A finished run. judged: on the held-out recordings through the live engine, None where none were held out."""

    pack: Path
    task: tasks.Task
    split: tasks.Partition
    outcome: Outcome
    problems: list[LeftOut]
    report: ExportReport | None = None
    judged: Judged | None = None


def train(
    folder: Path,
    out: Path,
    run: Path,
    options: Options,
    *,
    name: str = "",
    licence: str = "",
    resume: bool = False,
    replace: bool = False,
    offline: bool = False,
    watch: Watch,
    say: Say = lambda _: None,
    left_out: Callable[[Sequence[LeftOut]], None] = lambda _: None,
) -> Result:
    """Train on the recordings below `folder` and write the pack `out`. run: the folder of this run.

    left_out: is told of the files that are not used. Raises StreamclfError for whatever a user can mend.
    """
    _check(options)
    check_target(out, replace=replace)
    _check_run(run, options, resume)
    found, problems = annotations.read_data(folder)
    rate = _rate(options, offline)
    say(f"decoding {len(found)} recordings")
    corpus, decoded, unread = decode(found, rate, run / "audio")
    recordings, beyond = _within(corpus, decoded)
    problems += [*unread, *beyond]
    for note in corpus.notes:
        say(note)
    left_out(problems)
    task = tasks.make_task(
        recordings, {r.path: corpus.seconds(r) for r in recordings}, chosen=options.labels, several=options.several
    )
    parts = tasks.split(
        recordings,
        validation=options.validation,
        test=options.test,
        train_folds=options.train_folds,
        validation_folds=options.validation_folds,
        test_folds=options.test_folds,
        seed=options.settings.seed,
    )
    say(card.parts_line(task, parts))
    runstate.seed_all(options.settings.seed)
    learner = _learner(options, task, corpus, parts.train, run, offline)
    if learner.manifest.rate != rate:
        raise StreamclfError(f"the net hears {learner.manifest.rate} Hz, but the recordings were decoded at {rate} Hz")
    cut = _cut(options, learner)
    teaching = Examples(
        corpus, parts.train, task, cut, kinds=options.augment, balance=options.balance, seed=options.settings.seed
    )
    judging = Examples(corpus, parts.validation, task, cut) if parts.validation else None
    _begin(run, options, _digest(parts, task), resume)
    outcome = fit(learner, teaching, judging, options.settings, run, resume=resume, report=watch)
    say(f"trained: {outcome.stopped}")
    done = Result(out, task, parts, outcome, problems)
    base = _base(options, offline)
    return _finish(learner, done, run, options, name=name or pack_name(out.name), licence=licence, base=base, say=say)


def _base(options: Options, offline: bool) -> str:
    """What the card says of the checkpoint that was trained further; "" where there is none."""
    if not options.source:
        return ""
    checkpoint = load_checkpoint(options.source, offline=offline)
    return (
        f"It began with {printable(checkpoint.origin)} ({checkpoint.architecture}), whose licence is: "
        f"{printable(checkpoint.licence())}. What that asks of its users it asks of this pack's, too."
    )


def _rate(options: Options, offline: bool) -> int:
    """Hz at which the recordings are heard: those of the checkpoint that is trained further, where there is one."""
    if not options.source:
        return options.rate if options.arch in (*ours.ARCHS, *IMAGES) else SPEECH_RATE
    rate = load_checkpoint(options.source, offline=offline).rate or SPEECH_RATE
    if options.rate not in (rate, ours.DEFAULT_RATE):
        raise UsageError(f"--from {options.source} hears {rate} Hz; leave --rate {options.rate} out")
    hop_of(rate)
    return rate


def _within(corpus: Corpus, decoded: Sequence[Recording]) -> tuple[list[Recording], list[LeftOut]]:
    """The recordings with the spans that lie in them, and what is left out."""
    kept: list[Recording] = []
    problems: list[LeftOut] = []
    for recording in decoded:
        try:
            own, beyond = annotations.within(recording, corpus.seconds(recording))
        except SourceError as fault:
            problems.append(LeftOut(recording.path, str(fault)))
            continue
        kept.append(own)
        problems += beyond
    return kept, problems


def _check(options: Options) -> None:
    scratch.check_arch(options.arch, ours.ARCHS, source=options.source)
    if options.arch in ours.ARCHS:
        only = ours.ARCHS[options.arch]
        if options.mode != only:
            what = "one row a window" if only == "sequence" else "a row every 20 ms"
            raise UsageError(f"--arch {options.arch} gives {what}; use --mode {only}")
        if options.source or options.freeze != "none":
            raise UsageError(f"--arch {options.arch} is trained from scratch; leave --from and --freeze out")
    elif options.freeze != "none" and not options.source:
        raise UsageError(
            f"--freeze {options.freeze} keeps weights that were never trained; name a checkpoint by --from"
        )
    if options.arch in (*ours.ARCHS, *IMAGES) or options.source:
        hop_of(options.rate)
    elif options.rate != SPEECH_RATE:
        raise UsageError(f"--arch {options.arch} hears {SPEECH_RATE} Hz; leave --rate {options.rate} out")
    if options.arch not in ours.ARCHS and options.chunk_ms:
        raise UsageError(f"--chunk-ms belongs to causal nets of our own; leave it out with --arch {options.arch}")
    if options.bands % 8 or options.bands < 16:
        raise UsageError(f"--bands {options.bands}: expected a multiple of 8 from 16 on")
    if options.arch == "transformer" and options.width % HEADS:
        raise UsageError(f"--width {options.width}: expected a multiple of {HEADS}, the transformer's heads")


def _check_run(run: Path, options: Options, resume: bool) -> None:
    held = _held(run)
    if not resume:
        if (run / runstate.NAME).exists():
            raise UsageError(f"{run} holds a run already; go on with it by --resume, or name another folder by --run")
        return
    if held is None:
        raise UsageError(f"{run} holds no run to resume; start it without --resume")
    before, now = (msgspec.to_builtins(each) for each in (held.options, options))
    before |= before.pop("settings")
    now |= now.pop("settings")
    for key, value in now.items():
        if before[key] != value:
            raise UsageError(
                f"{run} was begun with {key.replace('_', '-')} {before[key]!r}, not {value!r}; resume it with the same "
                "options, or start another run"
            )


class _Begun(msgspec.Struct):
    """What a run was begun with. data: digest of the classes and of which recordings teach."""

    options: Options
    data: str


def _held(run: Path) -> _Begun | None:
    try:
        return msgspec.json.decode((run / "run.json").read_bytes(), type=_Begun)
    except (OSError, msgspec.MsgspecError):
        return None


def _begin(run: Path, options: Options, digest: str, resume: bool) -> None:
    held = _held(run)
    if resume and held is not None and held.data != digest:
        raise StreamclfError(f"the data is not what {run} was begun with; start another run on it")
    (run / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(_Begun(options, digest)), indent=2))


def _digest(parts: tasks.Partition, task: tasks.Task) -> str:
    text = repr((task, [[(str(r.path), r.labels, r.spans) for r in part] for part in (parts.train, parts.validation)]))
    return hashlib.sha256(text.encode()).hexdigest()


def _learner(
    options: Options, task: tasks.Task, corpus: Corpus, train: Sequence[Recording], run: Path, offline: bool
) -> Trainable:
    window_s = options.window_s or {**ours.DEFAULT_WINDOW_S, **scratch.DEFAULT_WINDOW_S}.get(options.arch, 1.0)
    chunk_ms = options.chunk_ms or ours.DEFAULT_CHUNK_MS.get(options.arch, FRAME_MS)
    shaping = ours.Shaping(options.rate, options.bands, options.high_hz, options.look_ahead_ms, options.width, chunk_ms)

    def measure(features: LogMel | Fbank, rate: int, window: int) -> tuple[float, float]:
        examples = Examples(corpus, train, task, ExampleCut("sequence", rate, window))
        batches = islice(examples.ordered(options.settings.batch), _MEASURED)
        return statistics(features, rate, (batch.audio for batch in batches))

    if options.arch in ours.ARCHS:
        own = ours.OwnNet(options.arch, task, window_s=window_s, shaping=shaping)
        own.normalise(measure)
        return own
    folder = run / "checkpoint"
    if options.source:
        kind = scratch.ARCHS[options.arch]
        checkpoint = newhead.exchange_head(options.source, folder, task, options.mode, model_type=kind, offline=offline)
    else:
        checkpoint = scratch.from_scratch(
            options.arch,
            folder,
            task,
            options.mode,
            size=options.size,
            shaping=shaping,
            window_s=window_s,
            measure=measure,
        )
    wishes = Wishes(window_ms=1000 * options.window_s or None, look_ahead_ms=options.look_ahead_ms)
    return HubNet(checkpoint, task, wishes=wishes, freeze=options.freeze, pretrained=bool(options.source))


def _cut(options: Options, learner: Trainable) -> ExampleCut:
    manifest, hop = learner.manifest, hop_of(learner.manifest.rate)
    if options.mode == "sequence":
        return ExampleCut("sequence", manifest.rate, learner.stretch)
    if manifest.shape is Shape.STATEFUL:
        return ExampleCut("frame", manifest.rate, learner.stretch, rows=learner.stretch // hop, delay=learner.delay)
    return ExampleCut("frame", manifest.rate, learner.stretch, rows=manifest.rows_per_window)


def _finish(
    learner: Trainable, done: Result, run: Path, options: Options, *, name: str, licence: str, base: str, say: Say
) -> Result:
    """Export, prove, judge, and put the pack with its card where it was asked for."""
    report = learner.export(run / "exported", done.task, name=name, licence=licence, card="", say=say)
    exported = load_pack(run / "exported")
    manifest = msgspec.structs.replace(
        exported.manifest,
        title=", ".join(done.task.labels)[:_LONGEST_TITLE],
        source=f"streamclf train --arch {options.arch}",
        segmentation=tasks.segmentation(done.split.train, done.task),
    )
    pack = _rewritten(exported, run / "pack", manifest)
    problems = verify(pack).problems
    if problems:
        raise PackError(f"the pack in {run} was not put to {done.pack}, for {problems[0]}")
    drawn = [recording for recording in done.split.validation if recording.spans]
    if options.mode == "frame" and drawn:
        own = decisions.choose(run / "pack", drawn, done.task)
        say(f"thresholds: enter {own.enter:g}, leave {own.leave:g}, chosen on {len(drawn)} validation recordings")
        manifest = msgspec.structs.replace(manifest, segmentation=own)
        pack = _rewritten(exported, run / "pack", manifest)
    judged = None
    if done.split.test:
        say(f"trying it on {len(done.split.test)} held-out recordings")
        judged = judge(run / "pack", done.split.test, exclusive=done.task.exclusive)
    text = card.text(
        name,
        done.task,
        done.split,
        done.outcome,
        judged,
        arch=options.arch,
        licence=manifest.licence,
        base=base,
        settings=_told(options),
    )
    _rewritten(pack, done.pack, manifest, text=text, extra={learnt.LEARNT: learnt.written(done.split, judged)})
    return msgspec.structs.replace(done, report=report, judged=judged)


def _rewritten(
    pack: Pack, out: Path, manifest: Manifest, *, text: str = "", extra: Mapping[str, bytes] = MappingProxyType({})
) -> Pack:
    """Write the pack to `out` under another manifest, with further files; its card begins with `text`."""
    made = Path(pack.path)
    contents = {name: (made / name).read_bytes() for name in manifest.files}
    certificate = contents.pop(CARD).decode()
    new = out.with_name(f".{out.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    write_pack(
        new,
        manifest,
        model=contents.pop(MODEL),
        labels=pack.labels,
        card=f"{text}\n{certificate.strip()}\n",
        golden=contents.pop(GOLDEN),
        extra={name: content for name, content in contents.items() if name != LABELS} | dict(extra),
    )
    load_pack(new)
    swap.put(new, out)
    return load_pack(out)


def _told(options: Options) -> list[tuple[str, str]]:
    """The options that are not as they are by default, for the card."""
    rows = []
    for part in (options, options.settings):
        for field in msgspec.structs.fields(part):
            value = getattr(part, field.name)
            if field.required or (value != field.default and not isinstance(value, msgspec.Struct)):
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                if field.name == "source" and Path(text).exists():
                    text = Path(text).resolve().name  # the folders above it are nobody's business
                rows.append((field.name.replace("_", " "), text))
    return rows


def default_learning_rate(arch: str, *, pretrained: bool) -> float:
    """What has served: convolutional and recurrent nets bear more than transformers do."""
    if pretrained:
        return 1e-3
    return 2e-3 if arch in ("convnet", "crnn", "tcn", "resnet", "convnext") else 5e-4
