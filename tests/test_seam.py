"""Colours matched where the picture is known, the step at the mask's border closed, and nothing else touched."""

import pytest
import torch

from byteedit.seam import LARGEST_STEP, close_seam, match_colours


@pytest.fixture
def torn():
    """A smooth picture, a mask, and the range [-1, 1]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    image = torch.stack([x, y, x * y])[None] * 0.8
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 16:50] = 1
    return image, mask


def test_a_perfect_decode_stays_as_it_is(torn):
    image, mask = torn
    assert torch.equal(match_colours(image, image, mask, 8), image)


def test_a_constant_shift_disappears(torn):
    image, mask = torn
    shifted = image + torch.tensor([0.1, -0.05, 0.02]).view(1, 3, 1, 1)
    assert (match_colours(shifted, image, mask, 8) - image).abs().max() < 1e-6


def test_a_slow_shift_nearly_disappears(torn):
    image, mask = torn
    shift = 0.1 * torch.linspace(-1, 1, 64).view(1, 1, 1, 64)
    left = (match_colours(image + shift, image, mask, 2) - image)[mask.expand_as(image) > 0]
    assert left.abs().mean() < 0.3 * (0.1 * torch.linspace(-1, 1, 64)[16:50]).abs().mean()


def test_what_was_generated_is_not_corrected_away(torn):
    """New content under the mask, no shift around it."""
    image, mask = torn
    decoded = image + mask * 0.7
    assert torch.equal(match_colours(decoded, image, mask, 8), decoded)


def test_a_decode_that_is_far_off_is_left_alone(torn):
    """It does not show the picture at all, so that the difference says nothing about colours. Row by row."""
    image, mask = torn
    pair = torch.cat([image + 0.2, image.flip(-1)])
    matched = match_colours(pair, image.repeat(2, 1, 1, 1), mask.repeat(2, 1, 1, 1), 8)
    assert (matched[:1] - image).abs().max() < 1e-6
    assert torch.equal(matched[1:], pair[1:])


def test_nothing_known_nothing_corrected(torn):
    image, _ = torn
    assert torch.equal(match_colours(image, -image, torch.ones(1, 1, 64, 64), 8), image)


def outside(mask, image):
    """Where a correction has no business, for each channel."""
    return (mask == 0).expand_as(image)


def step(edited, image, mask):
    """The mean step across the left and right borders of `torn`'s mask, and the picture's own."""
    shown = torch.where(mask > 0, edited, image)
    pairs = [(15, 16), (50, 49)]
    return sum((shown[..., 20:40, a] - shown[..., 20:40, b]).abs().mean() for a, b in pairs) / 2


def test_a_step_at_the_border_is_closed(torn):
    image, mask = torn
    made = image + 0.1 * mask
    closed = close_seam(made, image * (1 - mask), mask, 8)
    assert step(made, image, mask) > 0.08
    assert step(closed, image, mask) < 1.6 * step(image, image, mask)
    assert (closed - image)[..., 24:36, 20:46].abs().max() < 0.05  # the whole region was too light


def test_the_border_is_closed_where_it_is_off_and_the_rest_stays(torn):
    """The left half of the region is too light, the right half is right."""
    image, mask = torn
    made = image.clone()
    made[..., 20:40, 16:30] += 0.1
    closed = close_seam(made, image * (1 - mask), mask, 8)
    assert (closed - image)[..., 20:40, 16:18].abs().mean() < 0.03
    assert (closed - made)[..., 24:36, 44:].abs().max() < 0.025


def test_what_is_kept_is_no_business_of_the_seam(torn):
    image, mask = torn
    noisy = image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    closed = close_seam(noisy, image, mask, 8)
    assert torch.equal(closed[outside(mask, image)], noisy[outside(mask, image)])
    assert not torch.equal(closed, noisy)


def test_what_goes_on_as_it_should_changes_by_less_than_neighbours_differ(torn):
    image, mask = torn
    change = (close_seam(image, image * (1 - mask), mask, 8) - image).abs().max()
    assert change < image.diff(dim=-1).abs().max()


def test_an_outline_at_the_border_is_no_seam(torn):
    image, mask = torn
    made = image + (LARGEST_STEP + 0.1 + 0.1) * mask
    assert torch.equal(close_seam(made, image * (1 - mask), mask, 8), made)


def test_texture_stays_texture(torn):
    """What is right all over, and rough, keeps most of its contrast at the border."""
    image, mask = torn
    rough = image * 0.2 + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    closed = close_seam(rough, rough * (1 - mask), mask, 8)
    assert step(closed, rough, mask) > 0.75 * step(rough, rough, mask)


def test_nothing_kept_nothing_closed(torn):
    image, mask = torn
    assert torch.equal(close_seam(image, -image, torch.ones_like(mask), 8), image)


def test_rows_do_not_meet(torn):
    image, mask = torn
    pair, masks = torch.cat([image + 0.1 * mask, image]), torch.cat([mask, mask.flip(-1)])
    kept = image * (1 - masks)
    alone = close_seam(pair[:1], kept[:1], mask, 8)
    assert torch.equal(close_seam(pair, kept, masks, 8)[:1], alone)
