"""A stream of randomness depends on the seed and its name, and on nothing drawn elsewhere."""

import numpy as np
import torch
from common import seeding as seed


def test_initialisation_depends_on_nothing_drawn_before_and_leaves_the_global_stream_as_it_was():
    def head() -> torch.Tensor:
        with seed.initialising(42, "head"):
            return torch.nn.Linear(4, 4).weight.detach()

    torch.manual_seed(1)
    expected = torch.rand(3)
    first = head()
    torch.manual_seed(1)
    assert torch.equal(head(), first)
    assert torch.equal(torch.rand(3), expected)


def test_streams_differ_by_name_epoch_and_seed():
    draws = [
        seed.derive(42, "order", 1),
        seed.derive(42, "order", 2),
        seed.derive(42, "init", 1),
        seed.derive(43, "order", 1),
    ]
    assert len(set(draws)) == 4


def test_augmentation_of_a_sample_does_not_depend_on_its_batch():
    samples = np.arange(100)
    alone = np.concatenate(
        [seed.uniforms(42, "augmentation", 3, samples[i : i + 1], 3) for i in samples]
    )
    np.testing.assert_array_equal(seed.uniforms(42, "augmentation", 3, samples, 3), alone)


def test_uniforms_fill_the_unit_interval_evenly_and_independently():
    draws = seed.uniforms(42, "augmentation", 1, np.arange(20_000), 3)
    assert draws.min() >= 0 and draws.max() < 1
    histogram = np.histogramdd(draws, bins=5, range=[(0, 1)] * 3)[0]
    chi2 = ((histogram - 160) ** 2 / 160).sum()  # of 124 degrees of freedom: 124, give or take 15.7
    assert 124 - 5 * 15.7 < chi2 < 124 + 5 * 15.7
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03
