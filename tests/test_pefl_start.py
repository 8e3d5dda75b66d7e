"""Where the rollouts of feedback learning begin, and what noise as the beginning leaves to the rewards."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from byteedit.training.pefl import Prediction
from test_pefl import brightness, build, redness, rows, three_rows


@pytest.fixture
def batch():
    return three_rows()


@pytest.mark.parametrize("init", ["masked", "image", "noise"])
def test_where_a_rollout_starts(batch, init):
    feedback = build("epsilon", init=init)
    condition, latents, timesteps = feedback.begin(batch)
    picture = {"masked": batch["image"] * (1 - batch["mask"]), "image": batch["image"]}.get(init)
    if picture is None:
        assert len(timesteps) == 8
        assert torch.equal(latents, batch["noise"])
        return
    with torch.no_grad():
        known = feedback.vae.encode(picture).latent_dist.mode() * feedback.vae.config.scaling_factor
    assert len(timesteps) == 6
    torch.testing.assert_close(latents, feedback.scheduler.add_noise(known, batch["noise"], timesteps[:1]))
    if init == "masked":
        assert torch.equal(condition.masked_latents, known)


def test_noise_is_a_rows_own(batch):

    row = {"image": batch["image"][0]}
    feedback = build()
    first, again = (feedback.draw_noise(row, np.random.default_rng(3))["noise"] for _ in range(2))
    assert first.shape == (4, 32, 32) and torch.equal(first, again)
    assert abs(first.std().item() - 1) < 0.05


def test_a_share_of_steps_begins_with_noise(batch):
    feedback = build("epsilon", init="image", noise_share=0.5)
    free, begin = [], feedback.begin
    feedback.begin = lambda batch, drawn: free.append(drawn) or begin(batch, drawn)
    for seed in range(12):
        torch.manual_seed(seed)
        feedback.loss(feedback.unet, batch)
    assert 2 <= sum(free) <= 10
    assert [len(begin(batch, drawn)[2]) for drawn in (False, True)] == [6, 8]
    with pytest.raises(ValueError, match="noise_share is 2"):
        build(noise_share=2)


def test_what_processes_agree_on_is_sent_on_their_device(batch, monkeypatch):
    """Of several GPUs, nccl sends nothing that is on the CPU."""
    feedback, sent = build("epsilon", noise_share=0.5), []
    monkeypatch.setattr("byteedit.training.pefl.PartialState", lambda: SimpleNamespace(device=torch.device("meta")))
    monkeypatch.setattr(
        "byteedit.training.pefl.broadcast", lambda tensor: sent.append(tensor.device.type) or torch.tensor([0.25])
    )
    free, begin = [], feedback.begin
    feedback.begin = lambda batch, drawn: free.append(drawn) or begin(batch, drawn)
    feedback.loss(feedback.unet, batch)
    assert sent == ["meta", "meta"] and free == [True]  # one number for the beginning, one for the points


def test_what_is_asked_for_follows_the_rewards_alone_where_noise_is_the_beginning(batch):
    feedback = build("epsilon", init="image", noise_share=1.0, eta=3.0, part=0)
    mask, asked = batch["mask"], torch.tensor([0.0, 1.0, 1.0])
    edited = torch.rand_like(batch["image"])
    features = feedback.features(batch["image"])

    def weigh(edited, free=True):
        prompts = ["", "a boat", "a tree"]
        return feedback.weigh(Prediction(edited, edited, batch["image"], mask, prompts, features, free))

    found = weigh(edited)
    rewards = sum(share * found[f"reward/{name}"] for name, (_, share) in feedback.rewards.items())
    kept = 3.0 * (found["reg"] + found["vgg"])
    torch.testing.assert_close(found["loss"], feedback.settings.weight * (rewards + kept))
    inside = mask * asked[:, None, None, None] > 0
    other = weigh(torch.where(inside, torch.rand_like(edited), edited))
    torch.testing.assert_close(other["reg"], found["reg"])
    torch.testing.assert_close(other["vgg"], found["vgg"])
    outside = weigh(torch.where(inside, edited, torch.rand_like(edited)))
    assert not torch.isclose(outside["reg"], found["reg"])
    assert not torch.isclose(weigh(edited, free=False)["reg"], found["reg"])


def test_guidance_of_a_rollout_from_noise_ends_after_its_share(batch):
    feedback = build(init="noise", grad_steps=8, rollout_guidance=2.5, rollout_guidance_end=0.5)
    seen = []
    feedback.unet.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    feedback.loss(feedback.unet, batch)
    assert seen == [6] * 4 + [3] * 4  # with guidance three rows are asked twice


def test_a_prompted_reward_learns_nothing_from_rows_without_prompt(batch):
    feedback, words = build(prompted=("redness",)), ["", "bb", "ccc"]
    edited = batch["image"] + rows(*batch["image"].shape, seed=3)
    found = feedback.weigh(Prediction(edited, edited, batch["image"], batch["mask"], words))
    loss = torch.nn.functional.softplus
    torch.testing.assert_close(found["reward/redness"], loss(-redness(edited, words))[1:].sum() / 3)
    torch.testing.assert_close(found["reward/brightness"], loss(-brightness(edited, words)).mean())


def test_less_than_nothing_is_no_weight():
    for wrong in ({"weight": -1}, {"eta": -1}, {"part": -1}):
        with pytest.raises(ValueError, match="give a weight above 0 and of the others 0 or more"):
            build(**wrong)
