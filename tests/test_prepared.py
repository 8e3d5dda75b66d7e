"""What DDP joins goes through the prepared module: each call with gradient does, generator's and discriminator's."""

import pytest

import test_fast
import test_pefl
from toy_training import Prepared


@pytest.mark.parametrize("changes", [{}, {"points": 2}, {"grad_steps": 2, "init": "noise"}], ids=str)
def test_the_gradient_of_feedback_learning_goes_through_the_prepared_unet_alone(changes):
    feedback = test_pefl.build(**changes)
    prepared = Prepared(feedback.unet)
    feedback.loss(prepared, test_pefl.three_rows())["loss"].backward()
    assert prepared.graded == changes.get("grad_steps", 1)  # all points in one call
    assert all(value.grad is not None for value in prepared.parameters())


def test_generator_and_discriminator_learn_through_their_prepared_modules():
    adversarial, batch = test_fast.build(), test_fast.batch.__wrapped__()
    generator, discriminator = Prepared(adversarial.unet), Prepared(adversarial.discriminator)
    adversarial.loss(generator, batch)["loss"].backward()
    assert (generator.graded, discriminator.graded) == (1, 0)
    adversarial.discern(discriminator, batch)["loss"].backward()
    assert (generator.graded, discriminator.graded) == (1, 1)
