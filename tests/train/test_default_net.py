"""The net of the default model: one row at a time as in bulk, at any loudness, and a run that goes on where it was."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")

from torch import nn  # noqa: E402

from models.default.recipe import pack, start  # noqa: E402
from models.default.recipe.classes import BACKGROUND, LABELS  # noqa: E402
from models.default.recipe.features import BANDS, spectra  # noqa: E402
from models.default.recipe.fit import FRESH, RecipeSettings, _fresh, finished, fit, trainee  # noqa: E402
from models.default.recipe.net import DELAYS, LevelNet, Trainee, rescale  # noqa: E402
from models.default.recipe.pool import Pool  # noqa: E402
from models.default.recipe.recurrence import _Recurrence, held_level  # noqa: E402
from models.default.recipe.thresholds import PER_HOUR_AMONG_SOUNDS, choose, onsets  # noqa: E402
from streamclf.errors import StreamclfError  # noqa: E402
from streamclf.model.loader import load_pack  # noqa: E402

RATE = 16_000
DEFAULT = Path(__file__).resolve().parents[2] / "models/default"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other over a handful of numbers take seconds on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    beat = np.repeat(rng.random(round(seconds * 10)) > 0.4, RATE // 10)
    return (0.2 * rng.standard_normal(len(beat)) * beat + 0.002 * rng.standard_normal(len(beat))).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> LevelNet:
    torch.manual_seed(1)
    return LevelNet(5).eval()


def test_row_by_row_is_what_it_is_in_bulk(net: LevelNet) -> None:
    with torch.inference_mode():
        x = torch.from_numpy(spectra(np.stack([sound(2.0), sound(2.0, seed=1)])))
        states = net.zero_states(2, x)
        rows = []
        for at in range(0, x.shape[1], 2):
            row, *states = net(x[:, at : at + 2], *states)
            rows.append(row)

        torch.testing.assert_close(torch.cat(rows, dim=1), net.logits(x), atol=1e-5, rtol=1e-5)


def test_the_same_sound_reads_the_same_at_any_loudness(net: LevelNet) -> None:
    with torch.inference_mode():
        loud = net.logits(torch.from_numpy(spectra(sound(3.0)[None])))
        for gain in (0.1, 0.02):
            quiet = net.logits(torch.from_numpy(spectra(sound(3.0)[None] * np.float32(gain))))
            # what differs is how much of the faintest noise is under the logarithm's floor
            assert (quiet - loud).abs().mean() < 0.02 * loud.abs().mean()


def test_a_level_rises_at_once_and_fades_by_4_db_a_second() -> None:
    loudness = torch.full((1, 150), -5.0)
    loudness[0, 50] = 10.0
    level, _ = held_level(loudness, torch.zeros(1, 1))

    assert level[0, 49] == 0
    assert level[0, 50] == 10
    assert level[0, 100] == pytest.approx(10 - 0.92, abs=1e-4)
    pieces, before = [], torch.zeros(1, 1)
    for at in range(150):
        piece, before = held_level(loudness[:, at : at + 1], before)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=1), level, atol=1e-4, rtol=0)


def test_the_gradient_of_the_recurrence_is_its_own() -> None:
    torch.manual_seed(0)
    pace = torch.rand(2, 6, 3, dtype=torch.double, requires_grad=True)
    new = torch.randn(2, 6, 3, dtype=torch.double, requires_grad=True)
    before = torch.randn(2, 3, dtype=torch.double, requires_grad=True)

    assert torch.autograd.gradcheck(_Recurrence.apply, (pace, new, before))


def test_the_shipped_net_is_the_trained_one_with_the_head_of_its_delay() -> None:
    with torch.inference_mode():
        torch.manual_seed(2)
        trained = Trainee(4, taught=3, window_rows=48, step_rows=48)
        with torch.no_grad():
            for norm in trained.net.norms:
                assert isinstance(norm, nn.BatchNorm2d)
                assert norm.running_mean is not None
                assert norm.running_var is not None
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2.0)
        trained.eval()
        x = torch.from_numpy(spectra(sound(1.0)[None]))
        logits, _ = trained(x)

        for head, delay in enumerate(DELAYS):
            torch.testing.assert_close(trained.shipped(delay).logits(x), logits[:, :, head], atol=1e-4, rtol=1e-4)


def test_the_shipped_net_has_the_second_opinion_in_its_weights() -> None:
    with torch.inference_mode():
        torch.manual_seed(3)
        names = [[1, 5], [3], [0, 2, 6]]
        trained = Trainee(3, taught=7, window_rows=48, step_rows=48, names=names)
        trained.centre.normal_()
        trained.spread.uniform_(0.5, 2.0)
        x = torch.from_numpy(spectra(sound(1.0)[None]))
        alone = trained(x)[0]
        logits = trained.eval()(x)[0]

        for head, delay in enumerate(DELAYS):
            torch.testing.assert_close(trained.shipped(delay).logits(x), logits[:, :, head], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(alone, logits, atol=0.1)

        plain, moved = trained.shipped(5), trained.shipped(5)
        levels = torch.tensor([-3.0, 0.5, 2.0])
        rescale(moved, levels, 0.5)
        torch.testing.assert_close(moved.logits(x), (plain.logits(x) - levels) * 0.5, atol=1e-4, rtol=1e-4)


def few_scenes() -> Pool:
    rng = np.random.default_rng(3)
    strong = np.zeros((8, 500, len(LABELS)), dtype=np.bool_)
    strong[::2, 100:400, 0] = True
    strong[:, :, BACKGROUND] = ~strong[:, :, 0]
    spectra_ = rng.normal(-14, 1, (8, 1000, BANDS))
    spectra_[::2, 200:800] += 6
    taught = rng.normal(size=(8, 10, 7))
    known = np.ones((8, len(LABELS)), np.bool_)
    heard = rng.random((8, 10, len(LABELS)))
    return Pool(spectra_.astype(np.float16), strong, known, taught.astype(np.float16), heard.astype(np.float16))


def test_the_first_rows_of_a_sound_that_begins_in_a_cut_are_fresh() -> None:
    strong = torch.zeros(1, 60, 2)
    strong[0, :20, 0] = 1
    strong[0, 30:50, 0] = 1
    strong[0, 10:12, 1] = 1

    fresh = _fresh(strong)

    # nobody knows how long the first one has lasted
    assert fresh[0, :, 0].nonzero().flatten().tolist() == list(range(30, 30 + FRESH))
    assert fresh[0, :, 1].nonzero().flatten().tolist() == [10, 11]


class Killed(BaseException):
    """What ends a run in the middle of a test."""


def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    settings = RecipeSettings(steps=4, batch=2, warm_up=2, threads=1, half=False)
    whole = fit(few_scenes(), settings, tmp_path / "whole", say=lambda _: None, every=1)

    def die(text: str) -> None:
        if text.startswith("step 2"):
            raise Killed

    with pytest.raises(Killed):
        fit(few_scenes(), settings, tmp_path / "killed", say=die, every=1)
    assert finished(tmp_path / "killed", settings) is None
    resumed = fit(few_scenes(), settings, tmp_path / "killed", say=lambda _: None, every=1)
    done = finished(tmp_path / "killed", settings)

    assert done is not None
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
        assert torch.equal(value, done.state_dict()[name]), name
    assert finished(tmp_path / "killed", replace(settings, steps=5)) is None


def test_the_trained_net_becomes_the_pack_beside_its_recipe(tmp_path: Path) -> None:
    pool = few_scenes()
    net = fit(pool, RecipeSettings(steps=1, batch=2, threads=1, half=False), tmp_path / "run", say=lambda _: None)
    shipped = tmp_path / "default"
    (shipped / "recipe").mkdir(parents=True)
    (shipped / "pack.toml").write_text("the one before")

    pack.write(net.shipped(pack.DELAY), pack.plain_labels(), tmp_path / "made", card="# Sounds", say=lambda _: None)
    pack.ship(tmp_path / "made", shipped)

    held = load_pack(shipped)
    assert held.digest == load_pack(tmp_path / "made").digest
    assert (held.manifest.name, [label.id for label in held.labels]) == ("default", list(LABELS))
    assert sorted(path.name for path in shipped.iterdir() if path.name not in held.manifest.files) == [
        "pack.toml",
        "recipe",
    ]


def test_a_net_goes_on_from_the_pack_that_ships() -> None:
    pool = few_scenes()
    x = torch.from_numpy(pool.spectra[:2].astype(np.float32))
    # the teacher tells scenes with the sound from those without
    taught = np.where(np.arange(8)[:, None, None] % 2, -2.0, 2.0).astype(np.float32) * np.ones((1, 10, 7), np.float32)
    before = start.shipped(DEFAULT, len(LABELS))
    # of a teacher with seven names none answers for a class
    before.second = None
    net = trainee(taught.shape[2])

    start.begin(net, DEFAULT, pool, taught)

    with torch.inference_mode():
        logits, said = net.eval()(x)
        for head in range(len(DELAYS)):
            torch.testing.assert_close(logits[:, :, head], before.logits(x), atol=1e-3, rtol=1e-3)
    # what the teacher says is fitted at once, not learnt from nothing
    assert (np.sign(said.numpy()) == np.sign(taught[:2]))[:, 3:8].all()
    with pytest.raises(StreamclfError, match="is no pack of this net"):
        start.shipped(DEFAULT, 5)


def test_a_threshold_is_the_lowest_that_keeps_to_its_rate() -> None:
    pool = few_scenes()
    scores = np.full((8, 500, len(LABELS)), 0.01, dtype=np.float32)
    scores[::2, 110:400, 0] = 0.9
    # longer than an event must be, far from the class: a false one, and one too short to be one
    scores[1, 200:230, 0] = 0.6
    scores[3, 200:203, 0] = 0.95
    quiet = np.full_like(scores, 0.01)
    speech = choose(pool, quiet, pool, scores)[0]
    assert speech.enter == pytest.approx(0.601, abs=1e-3)
    assert (speech.per_hour, speech.among_sounds, speech.found, speech.scenes) == (0.0, 0.0, 0.0, 4)

    # among other sounds a few mistakes are allowed, here in 56 seconds none
    assert PER_HOUR_AMONG_SOUNDS * 56 / 3600 < 1
    assert choose(pool, scores, pool, quiet)[0] == replace(speech, found=1.0)


def test_onsets_are_those_of_the_events_that_would_be_told() -> None:
    pool = few_scenes()
    scores = np.full((8, 500, len(LABELS)), 0.01, dtype=np.float32)
    scores[[0, 2, 4], 120:400, 0] = 0.9
    # over `leave` ten rows before it enters: the onset reaches back to there
    scores[[0, 2, 4], 110:120, 0] = 0.5
    # too short to be one
    scores[6, 100:103, 0] = 0.9
    chosen = [replace(one, enter=0.6) for one in choose(pool, scores, pool, scores)]

    found = onsets(pool, scores, chosen)

    assert (found.sounds, found.found) == (4, 0.75)
    assert found.median_ms == pytest.approx(200)
