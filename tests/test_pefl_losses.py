"""The losses of feedback learning are their formulas; points are spread; settings that contradict are refused."""

import math

import pytest
import torch
from accelerate import PartialState

from byteedit.training.losses import differentiate_in_parts, feature_loss, pixel_loss, reward_loss
from byteedit.training.pefl import FeedbackSettings, Prediction, draw_points
from test_pefl import build, gradients, three_rows

PartialState(cpu=True)


def settings_for(**changes):
    values = {"output": "run", "steps": 1, "batch_size": 3, "lr": 1e-3, "T": 8, "T1": 6, "T2": 4}
    return FeedbackSettings(**values | changes)


@pytest.mark.parametrize("points", [1, 2])
def test_stratified_points_are_spread_and_the_same_on_every_process(points):
    settings = settings_for(T=20, T1=15, T2=10, points=points)
    torch.manual_seed(0)
    draws = [draw_points(10 // points, settings) for _ in range(8)]
    for drawn in draws:
        assert drawn.shape == (10 // points, points)
        assert sorted(drawn.flatten().tolist()) == list(range(1, 11))
    assert len({tuple(drawn.flatten().tolist()) for drawn in draws}) > 1
    few = torch.stack([draw_points(2, settings) for _ in range(60)])
    assert set(few.flatten().tolist()) == set(range(1, 11))


def test_uniform_points_are_of_each_row_alone():
    settings = settings_for(T=20, T1=15, T2=10, points=3, sampling="uniform")
    drawn = draw_points(40, settings)
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert set(drawn.flatten().tolist()) == set(range(1, 11))


@pytest.mark.parametrize("sampling", ["stratified", "uniform"])
@pytest.mark.parametrize("points", [1, 2])
def test_steps_are_drawn_as_often_as_their_weights_say(sampling, points):
    weights = (3.0, 1.0, 0.0, 2.0)
    settings = settings_for(points=points, sampling=sampling, point_weights=weights)
    torch.manual_seed(0)
    drawn = torch.cat([draw_points(6, settings) for _ in range(400)])
    assert all(len(set(row)) == points for row in drawn.tolist())
    share = torch.bincount(drawn.flatten(), minlength=5)[1:] / drawn.numel()
    if points == 1 or sampling == "stratified":
        assert share.tolist() == pytest.approx([0.5, 1 / 6, 0, 1 / 3], abs=0.03)
    assert share[2] == 0


def test_only_a_part_is_differentiated_at_a_time():
    x0 = torch.randn(5, 4, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sizes = []

    def terms(x0, part):
        sizes.append((len(x0), part))
        return {"loss": (x0**3).mean(), "other": x0.sum()}

    loss = differentiate_in_parts(x0, terms, 2)
    loss["loss"].backward()
    assert sizes == [(2, slice(0, 2)), (2, slice(2, 4)), (1, slice(4, 5))]
    torch.testing.assert_close(x0.grad, 3 * x0.detach() ** 2 / x0.numel())
    assert loss["loss"].item() == pytest.approx((x0**3).mean().item(), rel=1e-5)


def test_a_mean_over_some_pixels_is_taken_part_by_part():
    """All at once every pixel of the mask counts alike; in parts every row does, however small its mask."""
    image, edited, mask = torch.zeros(2, 3, 1, 4), torch.zeros(2, 3, 1, 4), torch.zeros(2, 1, 1, 4)
    edited[0], edited[1] = 2.0, 1.0
    mask[0, ..., :1], mask[1, ..., :3] = 1, 1

    def terms(edited, part):
        return {"loss": pixel_loss(edited, image[part], mask[part])}

    whole, parts = (differentiate_in_parts(edited, terms, part)["loss"].item() for part in (0, 1))
    assert whole == pytest.approx((1 * 1.0 + 3 * 0.5) / 4)
    assert parts == pytest.approx((1.0 + 0.5) / 2)


def test_reward_losses_are_their_formulas():
    score = torch.tensor([-1.5, 0.0, 3.0])
    slow = sum(-math.log(1 / (1 + math.exp(-value))) for value in score.tolist()) / 3
    assert reward_loss(score).item() == pytest.approx(slow, rel=1e-5)
    assert reward_loss(score, "hinge", 2.0).item() == pytest.approx((3.5 + 2 + 0) / 3)
    assert reward_loss(score, "linear").item() == pytest.approx(-0.5)
    assert reward_loss(torch.tensor([-300.0])).item() == 300


def test_the_other_losses_are_their_formulas():
    image, edited = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    edited[0, :, 0, 0] = 1.0
    inside = torch.tensor([[[[1.0, 0], [0, 0]]]])
    assert pixel_loss(edited, image, torch.ones(1, 1, 2, 2)).item() == pytest.approx(0.125)
    assert pixel_loss(edited, image, inside).item() == pytest.approx(0.5)
    assert pixel_loss(edited, image, 1 - inside).item() == 0
    assert feature_loss([torch.ones(2, 3), torch.zeros(1)], [torch.zeros(2, 3), torch.zeros(1)]).item() == 0.5
    apart, same = torch.tensor([[1.0, 3.0], [8.0, 8.0]]), torch.zeros(2, 2)
    assert feature_loss([apart], [same], torch.tensor([1.0, 0.0])).item() == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"T1": 9}, "steps are 8/9/4; they must be T >= T1 >= T2 >= 1"),
        ({"T2": 0}, "steps are 8/6/0"),
        ({"points": 5}, "points is 5; a rollout passes 1 to T2 = 4"),
        ({"grad_steps": 9}, "grad_steps is 9; give a number of steps from 0 to T = 8"),
        ({"rollout_guidance": 0}, "rollout_guidance is 0; give a number from 1"),
        ({"rollout_guidance_end": 0, "grad_steps": 8}, "rollout_guidance_end is 0; give a share above 0, at most 1"),
        ({"rollout_guidance_end": 0.5, "rollout_guidance": 3}, "whole rollouts with guidance; set grad_steps and roll"),
        (
            {"rollout_guidance_end": 0.5, "grad_steps": 8},
            "rollout_guidance_end is 0.5, of whole rollouts with guidance",
        ),
        ({"outside": -1}, "outside is -1; give a weight of 0 or more"),
        ({"point_weights": (1, 2)}, r"point_weights is \(1, 2\); give one weight of 0 or more for each step 1..4"),
        ({"point_weights": (0, 0, 0, 0)}, "give one weight of 0 or more for each step"),
        ({"points": 2, "point_weights": (3, 1, 1, 0)}, "no weight may be above a share of 1/2"),
    ],
)
def test_settings_that_contradict_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        settings_for(**changes)


def test_a_straight_through_clamp_cuts_off_what_is_scored_and_passes_the_gradient(monkeypatch):
    seen = []
    monkeypatch.setattr("byteedit.training.pefl.decode", lambda vae, x0: 3 * x0)
    for clamp in ("none", "straight-through"):
        feedback, x0 = build(features=None, clamp=clamp), torch.linspace(-1, 1, 12).view(1, 3, 2, 2).requires_grad_()
        feedback.rewards = {"seen": (lambda image, prompt: seen.append(image) or image.mean((1, 2, 3)), 1.0)}
        image, mask = torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2)
        terms = feedback.weigh(Prediction(*feedback.show(x0, image, mask), image, mask, ["a"]))
        assert (torch.autograd.grad(terms["reward/seen"], x0)[0] < 0).all()
    assert seen[0].abs().max() == 3 and torch.equal(seen[1], seen[0].clamp(-1, 1))


def test_checkpointed_decoding_gives_the_same_gradient(monkeypatch):
    monkeypatch.setattr("byteedit.training.pefl.draw_points", lambda *_: torch.tensor([[2], [1], [3]]))
    plain, checkpointed = build(), build(decode_checkpointing=True)
    assert checkpointed.vae.decoder.gradient_checkpointing and not plain.vae.decoder.gradient_checkpointing
    ours, theirs = (gradients(one, one.loss(one.unet, three_rows())["loss"]) for one in (plain, checkpointed))
    torch.testing.assert_close(ours, theirs)
