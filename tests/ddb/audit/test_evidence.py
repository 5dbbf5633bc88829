"""The interval by hand, and how often it is wrong where the truth is known."""

import numpy as np
import pytest
from scipy.stats import t

from ddb.audit.evidence import Interval, interval


def row(*values):
    return np.array([values])


def all_of(difference):
    return np.ones(np.shape(difference), bool)


def test_four_independent_images_by_hand():
    """Two of four gain. With the four added: mean 2 / 8, squares 2 + 4, variance (6 - 8 / 16) / 7 / 8."""
    found = interval(row(1, 1, 0, 0), all_of(row(1, 1, 0, 0)), np.arange(4))
    half = t.ppf(0.975, 7) * np.sqrt(5.5 / 7 / 8)
    assert found.estimate == 0.5 and found.seeds == 0
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half))


def test_clusters_of_unequal_size_by_hand():
    """Sizes 3 and 1: an image's cluster has 10 / 4 = 2.5 images; totals 3 and 0, and two times 2.5 and -2.5."""
    found = interval(row(1, 1, 1, 0), all_of(row(1, 1, 1, 0)), np.array([0, 0, 0, 1]))
    size, total = np.array([3, 1, 2.5, 2.5, 2.5, 2.5]), np.array([3, 0, 2.5, 2.5, -2.5, -2.5])
    center = 3 / 14
    variance = 6 / 5 * ((total - center * size) ** 2).sum() / 14**2
    assert found.estimate == 0.75 and found.images == pytest.approx(variance)
    assert found.quantile == pytest.approx(t.ppf(0.975, 14**2 / (size**2).sum() - 1))


def test_only_what_counts_counts():
    difference, cluster = row(1, 0, -1, -1), np.arange(4)
    found = interval(difference, row(True, True, False, False), cluster)
    assert found == interval(difference[:, :2], all_of(difference[:, :2]), cluster[:2])
    assert interval(difference, np.zeros((1, 4), bool), cluster) is None


def test_seeds_are_averaged_per_image_and_their_variance_is_added():
    """Gains of 1/2 and 0 on the same four images: variance between seeds (1/4)^2 * 2 / 2 = 1/16."""
    difference = np.array([[1, 1, 0, 0], [1, -1, 0, 0]])
    found = interval(difference, all_of(difference), np.arange(4))
    alone = interval(row(1, 0, 0, 0), all_of(row(1, 0, 0, 0)), np.arange(4))  # the means over the seeds
    assert found.estimate == alone.estimate == 0.25 and found.images == pytest.approx(alone.images)
    assert found.seeds == pytest.approx(1 / 16)
    freedom = (found.images + 1 / 16) ** 2 / (found.images**2 / 7 + (1 / 16) ** 2 / 1)
    assert found.quantile == pytest.approx(t.ppf(0.975, freedom))


def test_an_image_weighs_as_the_share_of_seeds_that_flag_it():
    """Flagged by two seeds and by one: (1 + 1 + 0) / 3."""
    found = interval(np.array([[1, 0], [1, 0]]), np.array([[True, True], [True, False]]), np.arange(2))
    assert found.estimate == pytest.approx(2 / 3)


def test_how_many_times_the_images():
    """Half-width 1.96 * 0.1 must come down to 0.098 / 1.43: (2 * 1.43)^2 times the images."""
    found = Interval(0.1, -0.1, 0.3, images=0.01, quantile=1.96)
    assert found.images_to_see(0.098) == pytest.approx((2 * 1.43) ** 2)
    assert found.images_to_see(0.0) is None
    assert Interval(0.1, -0.1, 0.3, images=0.01, seeds=0.01).images_to_see(0.098) is None  # seeds alone are too wide


@pytest.mark.parametrize(("clusters", "per_cluster"), [(20, 1), (20, 10), (100, 1)])
def test_no_gain_is_taken_for_one_at_most_once_in_forty(clusters, per_cluster):
    """Ten colourings of a scan that agree with each other: an interval over images would be wrong in a third."""
    random, wrong = np.random.default_rng(1), 0
    cluster = np.repeat(np.arange(clusters), per_cluster)
    for _ in range(1000):
        values = np.repeat(random.choice([1, 0, -1], clusters, p=[0.2, 0.6, 0.2]), per_cluster)[None]
        wrong += interval(values, all_of(values), cluster).low > 0
    assert wrong <= 25 + 2 * np.sqrt(25)
