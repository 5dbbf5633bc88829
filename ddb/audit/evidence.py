"""How sure is a gain? Its confidence interval over images that may depend on each other, and what would narrow it.

    found = interval(debiased.astype(int) - erm, flagged, cluster)      # (S, V), (S, V), (V,)
    found.estimate, found.low, found.high

The gain is a ratio: the sum of the differences over the pairs (seed, image) that count, divided by their number. Every
image first becomes one number, its mean over the seeds, since all seeds judge the same images; images that depend on
each other, such as ten colourings of one scan, are then added up to one cluster; and clusters are what the variance is
computed from. Which images count may differ from seed to seed: an image weighs as much as the share of seeds in which
it counts.

Few clusters that all say the same would give an interval of no width. As Agresti and Coull do for a proportion, two
clusters that are all gain and two that are all loss are added before mean and variance are taken. Student's t has as
many degrees of freedom as there are clusters that would weigh as much if all were alike (Kish), less one.

With several seeds the variance between their gains is added: the verdict is on the data and not on one training. With
one seed it is unknown, and the interval is about these trained models alone.
`results/audit/simulated.md` has the rates of errors that this leads to, beside those of simpler ways.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95  # of the interval, so that one side is passed by accident at most once in 40
ADDED = 2  # clusters that are all gain, and as many that are all loss: z^2 / 2, as of Agresti and Coull
LIKELY = 1.43  # (1.96 + 0.84) / 1.96: how much narrower an interval must be to settle a question in 4 of 5 cases


@dataclass(frozen=True)
class Interval:
    """A gain in accuracy between -1 and 1, with its confidence interval."""

    estimate: float
    low: float
    high: float
    images: float = 0.0  # variance that more images would make smaller
    seeds: float = 0.0  # variance that only more seeds would make smaller; 0 with one seed, where it is unknown
    quantile: float = 1.96  # of Student's t

    def images_to_see(self, distance: float) -> float | None:
        """Times as many images as there are now after which the interval likely reaches less far than `distance`.

        None where no number would do, since the trainings differ by more than that, or `distance` is not positive.
        """
        if distance <= 0:
            return None
        left = (distance / LIKELY / self.quantile) ** 2 - self.seeds
        return self.images / left if left > 0 else None


def interval(difference: np.ndarray, counted: np.ndarray, cluster: np.ndarray, added: int = ADDED) -> Interval | None:
    """The mean of `difference` (S, V) in -1..1 where `counted` (S, V) bool; `cluster` (V,) int. None if nothing counts.

    S seeds, V images. `added` clusters of either kind; with 0, an interval may have no width.
    """
    if not counted.any():
        return None
    seeds, _, position = len(counted), *np.unique(cluster, return_inverse=True)
    size = np.bincount(position, counted.mean(0))  # (K,) images that count
    total = np.bincount(position, (difference * counted).mean(0))[size > 0]  # (K,) what they gain
    size = size[size > 0]
    estimate = total.sum() / size.sum()

    typical = (size**2).sum() / size.sum()  # size of the cluster of an image drawn at random
    size = np.append(size, np.full(2 * added, typical))
    total = np.append(total, typical * np.repeat([1, -1], added))
    center = total.sum() / size.sum()
    number = len(size)
    images = number / (number - 1) * ((total - center * size) ** 2).sum() / size.sum() ** 2
    freedom = size.sum() ** 2 / (size**2).sum() - 1

    each = [difference[s][counted[s]].mean() for s in range(seeds) if counted[s].any()]
    between = np.var(each, ddof=1) / len(each) if len(each) > 1 else 0.0
    if between > 0:  # Satterthwaite's degrees of freedom of a sum of two variances
        freedom = (images + between) ** 2 / (images**2 / freedom + between**2 / (len(each) - 1))
    quantile = t.ppf((1 + CONFIDENCE) / 2, freedom)
    half = quantile * np.sqrt(images + between)
    low, high = np.clip([center - half, center + half], -1, 1)
    values = (estimate, low, high, images, between, quantile)
    return Interval(*(float(value) for value in values))
