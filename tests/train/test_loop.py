"""What every training shares: how the rate goes, what is averaged, and a state that goes on to the same weights."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")

from streamclf.errors import StreamclfError  # noqa: E402
from streamclf.train.fit import runstate  # noqa: E402
from streamclf.train.fit.loop import Loop, averaged_weights  # noqa: E402


def looping(*, average: float = 0.9, share: float = 1.0) -> tuple[Any, Loop]:
    """A net of one product and one norm, whose rate falls to nothing in ten steps."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    loop = Loop(
        net,
        learning_rate=0.1,
        rate=lambda step: 1 - step / 10,
        decay=0.01,
        average=average,
        clip=1.0,
        share=lambda name: share if name == "0.bias" else 1.0,
    )
    return net, loop


def go(net: Any, loop: Loop, until: int) -> None:
    while loop.step < until:
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(loop.step))
        loop.learn(net(x).square().mean() + net[0].weight.sum())


def test_the_rate_of_a_step_follows_from_the_steps_before_it() -> None:
    net, loop = looping()
    rates = []
    for step in range(5):
        rates.append(loop.learning_rate)
        go(net, loop, step + 1)

    assert rates == pytest.approx([0.1, 0.09, 0.08, 0.07, 0.06])


def test_the_average_follows_the_weights_and_takes_counts_over() -> None:
    net, loop = looping(average=0.25)
    kept = net[0].weight.detach().clone()
    for step, keep in enumerate([1 / 10, 2 / 11, 3 / 12, 0.25]):
        go(net, loop, step + 1)
        kept = kept.lerp(net[0].weight.detach(), 1 - keep)

    torch.testing.assert_close(loop.averaged["0.weight"], kept)
    assert not torch.equal(kept, net[0].weight)
    assert int(loop.averaged["1.num_batches_tracked"]) == 4


def test_a_share_of_nothing_keeps_a_weight_as_it_was() -> None:
    net, loop = looping(share=0.0)
    before = net[0].bias.detach().clone()
    go(net, loop, 3)

    assert torch.equal(net[0].bias, before)


def test_what_was_saved_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    net, loop = looping()
    go(net, loop, 4)
    loop.save(tmp_path, more=[7])
    go(net, loop, 8)

    other, again = looping()
    assert again.restore(tmp_path)["more"] == [7]
    assert all(
        torch.equal(value, again.averaged[name]) for name, value in averaged_weights(runstate.load(tmp_path)).items()
    )
    go(other, again, 8)

    for mine, theirs in ((net.state_dict(), other.state_dict()), (loop.averaged, again.averaged)):
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert again.learning_rate == loop.learning_rate


def test_a_state_of_an_older_version_is_said(tmp_path: Path) -> None:
    net, loop = looping()
    runstate.save(tmp_path, {"net": net.state_dict(), "step": 3})

    with pytest.raises(StreamclfError, match="was begun by an older version; start another one"):
        loop.restore(tmp_path)


def test_a_loss_that_is_no_number_changes_nothing() -> None:
    net, loop = looping()
    before = net[0].weight.detach().clone()

    with pytest.raises(StreamclfError, match="the loss is nan at step 0"):
        loop.learn(net(torch.randn(5, 3)).sum() * float("nan"))
    assert torch.equal(net[0].weight, before)
