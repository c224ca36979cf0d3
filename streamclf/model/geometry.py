"""Checks that a manifest's numbers can be true together. The geometry itself is told in model/pack.py."""

from collections import Counter
from collections.abc import Sequence

from streamclf.clock import FRAME_MS, hop_of
from streamclf.config import MAX_REACH_BACK_MS
from streamclf.errors import PackError, RateError
from streamclf.features.frontend import window_feature_frames
from streamclf.features.image import picture_shape
from streamclf.model.pack import (
    Encoded,
    Fbank,
    Image,
    LevelControl,
    LogMel,
    Manifest,
    Member,
    MemberGate,
    Pack,
    Waveform,
)
from streamclf.types import F32, Shape

MAX_RATE = 384_000
MAX_WINDOW_S = 120
MAX_BANDS = 4096
MAX_MEMBERS = 8
MAX_CLIP = 15.0
_MOST_LEVEL_DB = 120.0


def row_shape(manifest: Manifest) -> tuple[int, ...]:
    """Shape of one row of features, without the batch axis: (window,), (feature frames, bands), or of a picture
    (channels, bands, frames)."""
    features = manifest.features
    if isinstance(features, Waveform):
        return (manifest.window,)
    if isinstance(features, Image):
        return picture_shape(features, manifest.window)
    bands = features.bands + (features.use_energy if isinstance(features, Fbank) else 0)
    return (window_feature_frames(features, manifest.window), bands)


def layout_dims(manifest: Manifest) -> list[int]:
    """The input's dimensions behind the batch axis, as the manifest's layout has them."""
    row = row_shape(manifest)
    if isinstance(manifest.features, Image):
        channels, bands, frames = row
        sides = [bands, frames] if manifest.input_layout.endswith("bands-time") else [frames, bands]
        return [channels, *sides] if manifest.input_layout.startswith("channel-") else sides
    swapped = [row[-1], row[0]]
    layouts: dict[str, list[int]] = {
        "flat": list(row),
        "time-bands": list(row),
        "bands-time": swapped,
        "channel-time-bands": [1, *row],
        "channel-bands-time": [1, *swapped],
    }
    return layouts[manifest.input_layout]


def as_rows(memory: F32, manifest: Manifest) -> F32:
    """The model's input memory, (rows, *layout_dims), seen as (rows, *row_shape), whatever the layout."""
    if isinstance(manifest.features, Image):
        memory = memory if manifest.input_layout.startswith("channel-") else memory[:, None]
        return memory if manifest.input_layout.endswith("bands-time") else memory.swapaxes(2, 3)
    if manifest.input_layout.startswith("channel-"):
        memory = memory[:, 0]
    return memory.swapaxes(1, 2) if manifest.input_layout.endswith("bands-time") else memory


def frame_of_row(manifest: Manifest, hop: int) -> int:
    """window-row: the sample offset, from the window's start, of the frame that gets a row with this look-ahead."""
    return (-((manifest.look_ahead - manifest.window) // hop) - 1) * hop


def reach(manifest: Manifest) -> int:
    """Samples before a window that can change its features: those of running statistics."""
    return manifest.features.reach if isinstance(manifest.features, Encoded) else 0


def receptive_field(manifest: Manifest) -> int | None:
    """Samples that can change a row; None where a recurrent state, or a level, makes it unbounded."""
    levelled = isinstance(manifest.features, LogMel) and manifest.features.level is not None
    return None if manifest.state or levelled else manifest.window + reach(manifest)


def receptive_field_ms(pack: Pack) -> float | None:
    """The same of a pack in milliseconds; of a fused one the longest of its members'."""
    fields = [(receptive_field(one.manifest), one.manifest.rate) for one in pack.graphs]
    known = [field * 1000 / rate for field, rate in fields if field is not None]
    return max(known) if len(known) == len(fields) else None


def check(manifest: Manifest) -> None:
    """Raises `PackError` with what is wrong, what was expected and what to do."""
    try:
        hop = hop_of(manifest.rate)
    except RateError as error:
        raise PackError(str(error)) from None
    limit = MAX_WINDOW_S * manifest.rate
    if manifest.rate > MAX_RATE:
        raise PackError(f"`rate` is {manifest.rate}; at most {MAX_RATE} Hz are expected")
    if not 0 < manifest.window <= limit:
        raise PackError(f"`window` is {manifest.window}; expected 1 to {limit} samples ({MAX_WINDOW_S} s)")
    if not 0 <= manifest.look_ahead <= limit:
        raise PackError(f"`look_ahead` is {manifest.look_ahead}; expected 0 to {limit} samples")
    _check_segmentation(manifest)
    if manifest.shape is Shape.DERIVED:
        raise PackError("`shape` is derived, which no folder can hold; state the shape of its graph")
    if manifest.shape is Shape.FUSED:
        _check_fused(manifest)
        return
    if manifest.members or manifest.when:
        raise PackError('`members` and `when` belong to fused packs; leave them out, or state `shape = "fused"`')
    if manifest.shape is Shape.STATEFUL:
        _check_stateful(manifest, hop)
    else:
        _check_window(manifest, hop)
    _check_features(manifest, hop)
    _check_names(manifest)


def check_members(manifest: Manifest, members: Sequence[Manifest]) -> None:
    """Of a fused pack. Raises `PackError` where it states another geometry than its members have."""
    for member, own in zip(manifest.members, members, strict=True):
        if own.shape is Shape.FUSED:
            raise PackError(f"its member {member.name} is a fused pack; name the members of that one instead")
        if member.hop_ms and own.shape is Shape.STATEFUL:
            raise PackError(f"its member {member.name} has a hop, but no windows; leave `hop_ms` out")
        if member.gate is not None and own.shape is not Shape.WINDOW_ROW:
            raise PackError(f"its member {member.name} has a gate, and is no window-row pack; leave `gate` out")
        if (
            own.shape is Shape.WINDOW_FRAMES
            and member.name == manifest.when
            and any(one.gate for one in manifest.members)
        ):
            raise PackError(f"its member {member.name} revises its rows, so it cannot open a gate; leave `gate` out")
        if member.hop_ms * own.rate > own.window * 1000:
            raise PackError(
                f"its member {member.name} has a hop of {member.hop_ms} ms; at most a window of "
                f"{1000 * own.window / own.rate:g} ms is expected"
            )
    for key, found in zip(("rate", "window", "look_ahead"), fused_geometry(members), strict=True):
        if getattr(manifest, key) != found:
            raise PackError(f"`{key}` is {getattr(manifest, key)}; its members come to {found}, so state that")


def fused_geometry(members: Sequence[Manifest]) -> tuple[int, int, int]:
    """`rate`, `window` and `look_ahead` of a pack that is made of these: the highest and the longest."""
    rate = max(own.rate for own in members)
    longest = (max(-(-getattr(own, key) * rate // own.rate) for own in members) for key in ("window", "look_ahead"))
    window, look_ahead = longest
    return rate, window, look_ahead


def _check_fused(manifest: Manifest) -> None:
    names = [member.name for member in manifest.members]
    if not 1 <= len(names) <= MAX_MEMBERS:
        raise PackError(f"[[members]] names {len(names)} packs; a fused pack has 1 to {MAX_MEMBERS}")
    if len(set(names)) < len(names):
        raise PackError(
            f"[[members]] names {Counter(names).most_common(1)[0][0]!r} twice; each needs a name of its own"
        )
    if manifest.when and manifest.when not in names:
        raise PackError(f"`when` is {manifest.when[:70]!r}; expected one of the members {', '.join(names)}, or nothing")
    if not 0.0 < manifest.clip <= MAX_CLIP:
        raise PackError(f"`clip` is {manifest.clip:g}; expected over 0 up to {MAX_CLIP:g}")
    others = (manifest.step, manifest.state, manifest.constants, manifest.row_at, manifest.rows_per_window - 1)
    if (
        any((*others, manifest.embedding))
        or manifest.input_layout != "flat"
        or not manifest.batch
        or manifest.exclusive
    ):
        raise PackError(
            "a fused pack has no graph; leave out `step`, `state`, `constants`, `row_at`, `rows_per_window`, "
            "`input_layout`, `batch`, `exclusive` and `embedding`"
        )
    for member in manifest.members:
        if member.hop_ms < 0 or member.hop_ms % FRAME_MS:
            raise PackError(
                f"the member {member.name} has a hop of {member.hop_ms} ms; expected a multiple of {FRAME_MS}, or 0"
            )
        if member.level is not None:
            _check_level(member.level)
        if member.gate is not None:
            _check_gate(manifest, member, member.gate)


def _check_gate(manifest: Manifest, member: Member, gate: MemberGate) -> None:
    if not manifest.when or member.name == manifest.when:
        raise PackError(f"the member {member.name} has a gate; it needs another member that says `when`, so name one")
    if not gate.labels or not 0.0 < gate.over < 1.0:
        raise PackError(
            f"the gate of the member {member.name} has {len(gate.labels)} labels and opens at {gate.over:g}; expected "
            "one or more, and over 0 and under 1"
        )


def _check_level(level: LevelControl) -> None:
    most = _MOST_LEVEL_DB
    if not (0 <= level.up_db <= most and -most <= level.down_db <= 0 and abs(level.target_db) <= 2 * most):
        raise PackError(
            f"a level control has target_db {level.target_db:g}, up_db {level.up_db:g} and down_db {level.down_db:g}; "
            f"expected up to {2 * most:g} either way, 0 to {most:g}, and {-most:g} to 0"
        )
    if not 0 < level.rate_db_s <= 1000:
        raise PackError(f"a level control has rate_db_s {level.rate_db_s:g}; expected over 0 up to 1000")


def _check_stateful(manifest: Manifest, hop: int) -> None:
    if not 0 < manifest.step <= manifest.window:
        raise PackError(
            f"`step` is {manifest.step}; a stateful pack needs 1 to `window` = {manifest.window} samples, so state it"
        )
    if manifest.row_at is not None:
        raise PackError("`row_at` belongs to window-row packs; a stateful pack must leave it out")
    rows = manifest.rows_per_window
    if rows != 1 and not (rows > 1 and manifest.step == rows * hop and manifest.look_ahead >= (rows - 1) * hop):
        raise PackError(
            f"`rows_per_window` is {rows}; a stateful pack with several rows a run needs `step` = {rows * hop} samples "
            f"and `look_ahead` of at least {(rows - 1) * hop}, the wait for the last of them"
        )


def _check_window(manifest: Manifest, hop: int) -> None:
    if manifest.step or manifest.state:
        raise PackError("`step` and `state` belong to stateful packs; a window pack must leave them out")
    if manifest.look_ahead >= manifest.window:
        raise PackError(f"`look_ahead` is {manifest.look_ahead}; it must be under `window` = {manifest.window}")
    if manifest.shape is Shape.WINDOW_ROW:
        expected = frame_of_row(manifest, hop)
        if manifest.rows_per_window != 1:
            raise PackError("`rows_per_window` belongs to window-frames packs; leave it out")
        if manifest.row_at != expected:
            raise PackError(
                f"`row_at` is {manifest.row_at}; with `window` {manifest.window} and `look_ahead` "
                f"{manifest.look_ahead} the row belongs to the frame at {expected}, so change one of the two"
            )
        return
    if manifest.row_at is not None:
        raise PackError("`row_at` belongs to window-row packs; a window-frames pack must leave it out")
    rows = manifest.rows_per_window
    if not 0 < rows * hop <= manifest.window:
        raise PackError(
            f"`rows_per_window` is {rows}; expected 1 to {manifest.window // hop}, the 20 ms frames in `window`"
        )


def _check_features(manifest: Manifest, hop: int) -> None:
    features = manifest.features
    if isinstance(features, Waveform):
        if manifest.input_layout != "flat":
            raise PackError(f"`input_layout` is {manifest.input_layout!r}; waveform features lie `flat`")
        if not features.gain:
            raise PackError("waveform features have a gain of 0; expected what samples are multiplied by")
        return
    if manifest.input_layout == "flat":
        raise PackError("`input_layout` is 'flat'; spectral features need `time-bands` or one of its kin, so state it")
    if isinstance(features, Image):
        _check_image(features, manifest)
        return
    shift, length = features.frame_shift, features.frame_length
    if not 0 < shift <= length or not 0 < features.bands <= MAX_BANDS:
        raise PackError(
            f"features have frame_shift {shift}, frame_length {length} and {features.bands} bands; "
            f"expected 0 < shift <= length and 1 to {MAX_BANDS} bands"
        )
    if window_feature_frames(features, manifest.window) < 1:
        raise PackError(f"`window` is {manifest.window}; it must hold at least one feature frame of {length} samples")
    # a window must begin on the grid of feature frames wherever it may begin, or it would hold one frame fewer
    begins = (manifest.step, manifest.window) if manifest.shape is Shape.STATEFUL else (hop,)
    if any(begin % shift for begin in begins):
        what = "`step` and `window`" if manifest.shape is Shape.STATEFUL else f"the hop of {hop} samples"
        raise PackError(f"{what} must be a multiple of the features' frame_shift, which is {shift}; change one of them")
    if isinstance(features, Encoded):
        _check_statistics(features, limit=MAX_WINDOW_S * manifest.rate)
    else:
        _check_spectrum(features, manifest.rate)


def _check_statistics(features: Encoded, *, limit: int) -> None:
    numbers = (features.taps, features.stride, features.span)
    if not features.statistics:
        if any(numbers) or features.decay != 1.0:
            raise PackError("`taps`, `stride`, `span` and `decay` belong to `statistics`; name it or leave them out")
        return
    if not 0.0 < features.decay <= 1.0:
        raise PackError(f"`decay` is {features.decay:g}; expected over 0 up to 1, the weight of a frame over the next")
    taps, stride, span = numbers
    fits = 0 < taps <= features.frame_length and stride > 0 and features.frame_shift % stride == 0
    if not fits or span < 1 or features.reach > limit:
        raise PackError(
            f"statistics are over {taps} taps every {stride} samples and {span} frames; expected taps within a frame, "
            f"a stride that divides {features.frame_shift}, and a span of 1 frame or more up to {MAX_WINDOW_S} s"
        )


def _check_spectrum(features: LogMel | Fbank | Image, rate: int) -> None:
    high = features.high_hz
    if isinstance(features, Fbank) and high <= 0:
        high += rate / 2
    if not 0 <= features.low_hz < high <= rate / 2:
        raise PackError(
            f"features run from {features.low_hz:g} to {high:g} Hz; expected 0 <= low_hz < high_hz <= {rate / 2:g}"
        )
    if not features.scale:
        raise PackError("features have a scale of 0; expected the divisor that the model was trained with")
    if not isinstance(features, Fbank):
        if isinstance(features, LogMel) and features.level is not None:
            _check_level(features.level)
        if features.fft_size < features.frame_length:
            raise PackError(f"fft_size is {features.fft_size}; it must hold a frame of {features.frame_length} samples")
        endless = features.log not in ("none", "log1p") and not features.log_offset + features.log_floor > 0
        if features.log_offset < 0 or features.log_floor < 0 or endless:
            raise PackError("neither log_offset nor log_floor is over 0; state one, or silence has no logarithm")
        return
    for key, vector in (("mean_vector", features.mean_vector), ("scale_vector", features.scale_vector)):
        bands = features.bands + features.use_energy
        if vector and len(vector) != bands:
            raise PackError(f"{key} has {len(vector)} values; expected one for each of {bands} bands")


def _check_image(features: Image, manifest: Manifest) -> None:
    if manifest.shape is Shape.STATEFUL:
        raise PackError("image features are of a whole window, and a stateful pack has none; state `logmel` features")
    if not 0 < features.frame_length <= features.fft_size or features.frame_shift < 1:
        raise PackError(
            f"features have frame_length {features.frame_length}, fft_size {features.fft_size} and frame_shift "
            f"{features.frame_shift}; expected 0 < frame_length <= fft_size and a shift over 0"
        )
    frames = window_feature_frames(features, manifest.window)
    least = 9 if features.deltas else 1
    if not 0 < features.bands <= MAX_BANDS or frames < least or manifest.window <= features.fft_size // 2:
        raise PackError(
            f"`window` is {manifest.window}, with {features.bands} bands and {frames} frames; expected 1 to "
            f"{MAX_BANDS} bands and at least {least} frame{'s' if least > 1 else ''}"
        )
    channels, *sides = picture_shape(features, manifest.window)
    if not 1 <= features.channels <= 3 or min(sides) < 1 or max(sides) > MAX_BANDS:
        raise PackError(
            f"the picture has {features.channels} channels of {sides[0]} by {sides[1]} pixels; expected 1 to 3, and 1 "
            f"to {MAX_BANDS} pixels either way"
        )
    if channels > 1 and not manifest.input_layout.startswith("channel-"):
        raise PackError(f"`input_layout` is {manifest.input_layout!r}; {channels} channels need a `channel-` layout")
    for key, vector in (("channel_mean", features.channel_mean), ("channel_scale", features.channel_scale)):
        if (vector and len(vector) != channels) or (key == "channel_scale" and 0.0 in vector):
            raise PackError(f"{key} has the values {list(vector)}; expected one for each of {channels} channels, no 0")
    if min(features.top_db, features.normalise_eps) < 0 or (features.top_db and features.log != "db"):
        raise PackError('top_db and normalise_eps are not negative, and top_db needs `log = "db"`; correct them')
    if features.bytes and not features.normalise.endswith("min-max"):
        raise PackError("`bytes` are of a picture in [0, 1]; state `normalise` as min-max or standard-min-max")
    _check_spectrum(features, manifest.rate)


def _check_names(manifest: Manifest) -> None:
    inputs = [manifest.input, *(t.input for t in manifest.state), *(c.name for c in manifest.constants)]
    outputs = [manifest.output, *(t.output for t in manifest.state)]
    for names in (inputs, outputs):
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise PackError(f"the graph's {name!r} is named twice; each input and output has one purpose")
    for tensor in manifest.state:
        if tensor.shape.count(0) != 1 or min(tensor.shape) < 0:
            raise PackError(
                f"state {tensor.input!r} has the shape {list(tensor.shape)}; expected one 0, where the batch stands"
            )


def _check_segmentation(manifest: Manifest) -> None:
    own = manifest.segmentation
    if not 0.0 <= own.leave <= own.enter <= 1.0:
        raise PackError(
            f"segmentation leaves at {own.leave:g} and enters at {own.enter:g}; expected 0 <= leave <= enter <= 1"
        )
    if min(own.min_on_ms, own.min_off_ms, own.reach_back_ms, own.lag_ms, own.smoothing_ms) < 0:
        raise PackError("segmentation has a negative time; expected milliseconds from 0 up")
    if own.lag_ms > MAX_REACH_BACK_MS or (own.lag_ms and not manifest.when):
        raise PackError(
            f"segmentation has a lag of {own.lag_ms} ms; expected at most {MAX_REACH_BACK_MS}, and a member that says "
            "`when`"
        )
    if own.reach_back_ms > MAX_REACH_BACK_MS:
        raise PackError(f"segmentation reaches back {own.reach_back_ms} ms; expected at most {MAX_REACH_BACK_MS}")
