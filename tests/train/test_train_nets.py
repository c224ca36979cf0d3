"""What nets are fed with is what the engine computes; causal nets give a row at a time what they give of the whole."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")

from streamclf.features.frontend import make_frontend  # noqa: E402
from streamclf.features.spec import Fbank, Features, LogMel, Waveform  # noqa: E402
from streamclf.train.data.features import BatchFeatures, statistics  # noqa: E402
from streamclf.train.data.tasks import BACKGROUND, Task  # noqa: E402
from streamclf.train.fit.nets import CausalCRNN, CausalTCN, ConvNet  # noqa: E402
from streamclf.train.fit.ours import OwnNet, Shaping, log_mel  # noqa: E402
from streamclf.types import F32  # noqa: E402

RATE = 16_000
STEP = 320
MEL = log_mel(Shaping())


def audio(rows: int = 3, samples: int = RATE) -> F32:
    rng = np.random.default_rng(0)
    sounds = 0.1 * rng.standard_normal((rows, samples))
    sounds[:, : samples // 4] = 0.0
    return sounds.astype(np.float32)


def changed(spec: LogMel, **changes: Any) -> LogMel:
    return msgspec.structs.replace(spec, **changes)


@pytest.mark.parametrize(
    "features",
    [
        changed(MEL, mean=-3.0, scale=4.0),
        changed(MEL, spectrum="magnitude", window="hamming", log_offset=0.0, log_floor=1e-3),
        changed(MEL, log="db", mel_scale="slaney", mel_norm="slaney"),
        changed(MEL, log="db", spectrum="magnitude"),
        changed(MEL, log="log10", mel_slopes="mel", mean=1.0),
        Fbank(frame_length=400, frame_shift=160, bands=40, mean=-4.0, scale=8.0),
        Waveform(),
        Waveform(normalise="window"),
    ],
)
def test_a_batch_has_the_features_that_the_engine_computes(features: Features) -> None:
    sounds = audio()

    rows = BatchFeatures(features, RATE).rows(sounds)

    for heard, row in zip(sounds, rows, strict=True):
        frontend = make_frontend(features, RATE, history=len(heard))
        frontend.push(heard)
        expected = np.empty_like(row)
        frontend.window(0, len(heard), expected)
        assert np.abs(row - expected).max() < 1e-4


def test_a_stateful_packs_steps_lie_behind_one_another() -> None:
    own = OwnNet("crnn", Task(("a", "b"), True), window_s=1.0, shaping=Shaping())
    manifest, (sounds,) = own.manifest, audio(1)

    rows = BatchFeatures.of(manifest).rows(sounds[None])[0]

    frontend = make_frontend(manifest.features, RATE, history=RATE + manifest.window)
    frontend.push(sounds)
    step = np.empty((2, 64), dtype=np.float32)
    assert rows.shape == (2 * RATE // STEP, 64)
    for number in range(RATE // STEP):
        frontend.window(number * STEP - (manifest.window - manifest.step), manifest.window, step)
        assert np.abs(rows[2 * number : 2 * number + 2] - step).max() < 1e-4


def test_layouts_are_those_of_the_manifest() -> None:
    sounds = audio(2)
    rows = BatchFeatures(MEL, RATE, layout="time-bands")(sounds)

    assert np.array_equal(BatchFeatures(MEL, RATE, layout="bands-time")(sounds), rows.swapaxes(1, 2))
    assert np.array_equal(BatchFeatures(MEL, RATE, layout="channel-time-bands")(sounds), rows[:, None])
    assert np.array_equal(BatchFeatures(MEL, RATE, layout="channel-bands-time")(sounds), rows.swapaxes(1, 2)[:, None])


def test_measured_statistics_make_spectra_of_sound_even() -> None:
    mean, scale = statistics(changed(MEL, mean=9.0, scale=9.0), RATE, [audio(2), audio(2)])

    rows = BatchFeatures(changed(MEL, mean=mean, scale=scale), RATE).rows(audio(2))
    heard = rows[:, 30:]
    assert abs(float(heard.mean())) < 0.05
    assert float(heard.std()) == pytest.approx(1.0, abs=0.05)


def test_statistics_of_silence_change_nothing() -> None:
    assert statistics(MEL, RATE, [np.zeros((2, RATE), np.float32)]) == (0.0, 1.0)


def causal(kind: str) -> Any:
    torch.manual_seed(0)
    net = (
        CausalCRNN(3, bands=16, channels=4, units=12) if kind == "crnn" else CausalTCN(3, bands=16, channels=12)
    ).eval()
    with torch.no_grad():
        for name, value in net.named_buffers():
            if value.dtype.is_floating_point:
                value.copy_(torch.rand_like(value) + 0.5 if "var" in name else 0.1 * torch.randn_like(value))
    return net


@pytest.mark.parametrize("kind", ["crnn", "tcn"])
@pytest.mark.parametrize("rows_each", [1, 3])
def test_a_causal_net_gives_piecewise_what_it_gives_of_the_whole(kind: str, rows_each: int) -> None:
    net = causal(kind)
    x = torch.randn(2, 2 * 60, 16)
    with torch.no_grad():
        whole = net.logits(x)
        states = net.zero_states(2, x)
        parts = []
        for at in range(0, 120, 2 * rows_each):
            rows, *states = net(x[:, at : at + 2 * rows_each], *states)
            parts.append(rows)

    assert float((torch.cat(parts, dim=1) - whole).abs().max()) < 1e-5
    assert float(whole.std(dim=1).min()) > 1e-3, "rows differ in time, or nothing was shown"


@pytest.mark.parametrize("kind", ["crnn", "tcn"])
def test_a_causal_net_hears_nothing_of_the_future(kind: str) -> None:
    net = causal(kind)
    x = torch.randn(1, 80, 16)
    other = x.clone()
    other[:, 40:] = torch.randn(1, 40, 16)

    with torch.no_grad():
        before, after = net.logits(x), net.logits(other)

    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])


def test_a_tcn_reaches_back_as_far_as_it_says() -> None:
    # in double precision, for little is left of a row so far back
    net = causal("tcn").double()
    x = torch.randn(1, 2 * net.reach, 16, dtype=torch.float64)
    beyond = torch.cat([torch.randn(1, 2, 16, dtype=torch.float64), x], dim=1)

    with torch.no_grad():
        row = net.logits(x)[0, -1]
        assert float((net.logits(beyond)[0, -1] - row).abs().max()) < 1e-14
        nearer = x.clone()
        nearer[:, :2] += 100 * torch.randn(1, 2, 16, dtype=torch.float64)
        assert float((net.logits(nearer)[0, -1] - row).abs().max()) > 1e-12


@pytest.mark.parametrize(("kind", "chunk_ms"), [("crnn", 20), ("tcn", 20), ("transformer", 20), ("tcn", 100)])
def test_what_a_pack_runs_is_the_trained_net_with_its_norms_folded(kind: str, chunk_ms: int) -> None:
    shaping = Shaping(bands=16, width=12, chunk_ms=chunk_ms)
    own = OwnNet(kind, Task(("a", "b", "c"), True), window_s=1.0, shaping=shaping)
    own.net.train()
    with torch.no_grad():
        for _ in range(3):
            own.logits(3 * torch.randn(4, 40, 16) + 1)
    own.net.eval()
    before = {name: value.clone() for name, value in own.net.state_dict().items()}
    step = own.for_export()
    # as long as the furthest tap of the TCN reaches back, and on
    x = torch.randn(2, 2 * 150, 16)

    with torch.no_grad():
        whole = own.logits(x)
        states = [torch.zeros([size or 2 for size in tensor.shape]) for tensor in own.manifest.state]
        each = chunk_ms // 20
        for number in range(0, 150, each):
            rows, *states = step(x[:, 2 * number : 2 * (number + each)], *states)
            expected = whole[:, number] if each == 1 else whole[:, number : number + each]
            assert rows.shape == expected.shape
            assert float((rows - expected).abs().max()) < 1e-5

    assert not any(isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for part in step.modules())
    assert all(torch.equal(value, before[name]) for name, value in own.net.state_dict().items())


def test_the_conv_net_gives_a_row_a_window() -> None:
    assert ConvNet(5, width=4).eval()(torch.randn(3, 1, 50, 64)).shape == (3, 5)


def test_geometry_is_what_the_user_asked_for() -> None:
    task = Task(("a", BACKGROUND), True)
    net = OwnNet("convnet", task, window_s=1.5, shaping=Shaping(rate=32_000, look_ahead_ms=100)).manifest
    causal_net = OwnNet("tcn", task, window_s=2.0, shaping=replace(Shaping(), look_ahead_ms=60)).manifest

    assert (net.rate, net.window, net.look_ahead, net.exclusive) == (32_000, 48_000, 3200, True)
    chunks = OwnNet("tcn", task, window_s=2.0, shaping=replace(Shaping(), look_ahead_ms=60, chunk_ms=100))

    assert (causal_net.step, causal_net.look_ahead) == (STEP, 3 * STEP)
    assert (chunks.manifest.step, chunks.manifest.rows_per_window, chunks.manifest.look_ahead) == (1600, 5, 7 * STEP)
    assert (chunks.delay, chunks.stretch % 1600) == (3 * STEP, 0)
