"""Error rates of the verdicts of `ddb audit`, simulated where the truth is known.

    python results/audit/study.py

Simulates which flagged validation images each model classifies correctly, counts the audit's verdicts, and compares
four ways to compute the confidence interval of the gain. Writes `simulated.md` beside this file (8 minutes, one core).
"""

import argparse
import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddb.audit.audit import LEAST_GAIN, Observations, weigh
from ddb.audit.evidence import CONFIDENCE, interval
from ddb.randomness import numpy_generator

SHAPES = [  # flagged clusters, images per cluster, `changed`, seeds, `training`
    *((clusters, 1, 0.1, 1, 0.0) for clusters in (10, 20, 50, 100, 200, 1000)),
    *((clusters, 1, 0.0, 1, 0.0) for clusters in (50, 100)),
    *((clusters, 10, 0.1, 1, 0.0) for clusters in (20, 200)),
    *((200, 10, 0.1, seeds, 0.03) for seeds in (1, 3, 5)),
]
GAINS = ((0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.1, 0.0))  # gain, lead
RESAMPLES = 400  # of the bootstrap
INTRODUCTION = """\
Shares in % of {draws:,} simulated validation sets. Ten images of a cluster are classified alike (ten colourings of one
scan). Gain and lead of a single training differ from the true ones with the standard deviation "training sd", in
points. "Changed" is the share of flagged images, in %, that one of two equally good trainings classifies correctly and
the other does not; at 0, the debiased model only gains.

Verdicts of the audit. Without a gain, and where the control gains as much (a lead of 0), each "shortcut" is a false
alarm (nominal: at most 2.5); with a gain of 5 points or more, each "none" is false.
"""
INTERVALS = "Intervals of the gain that lie above / below the true gain, in % (nominal: 2.5 / 2.5), by their method."


@dataclass(frozen=True)
class World:
    """True behaviour on the flagged images; the debiased model classifies 60 % of them correctly."""

    clusters: int
    per_cluster: int  # images that are classified alike
    changed: float  # share that one of two equally good trainings gets right and the other wrong, in each direction
    seeds: int
    training: float  # standard deviation of gain and lead from one training to the next
    gain: float = 0.0  # debiased - ERM
    lead: float = 0.0  # debiased - control

    def simulate(self, random: np.random.Generator) -> Observations:
        """One validation set; all of its images are flagged."""
        luck = random.random((3, self.clusters))
        debiased = luck[0] < 0.6  # (K,)
        others = []
        for chance, truth in ((luck[1], self.gain), (luck[2], self.lead)):
            gain = truth + self.training * random.standard_normal((self.seeds, 1))
            gained = (self.changed + gain.clip(min=0)) / 0.6  # (S, 1), among images that the debiased model gets right
            lost = (self.changed - gain.clip(max=0)) / 0.4
            others.append(np.where(debiased, chance >= gained, chance < lost))  # (S, K)
        shape = (self.seeds, self.clusters)
        correct = [np.ones(shape, bool), others[0], np.broadcast_to(debiased, shape), others[1]]
        images = (np.repeat(each, self.per_cluster, axis=1) for each in correct)  # (S, V)
        return Observations(*images, np.repeat(np.arange(self.clusters), self.per_cluster))


def _bounds(difference: np.ndarray, cluster: np.ndarray, **options: int) -> tuple[float, float]:
    found = interval(difference, np.ones(difference.shape, bool), cluster, **options)
    return found.low, found.high


def _bootstrap(difference: np.ndarray, cluster: np.ndarray) -> tuple[float, float]:
    """Percentiles of the gain over clusters resampled with replacement."""
    number = len(np.unique(cluster))
    total, size = np.bincount(cluster, difference.mean(0)), np.bincount(cluster)
    resampled = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), RESAMPLES)  # (R, K)
    low, high = np.quantile(resampled @ total / (resampled @ size), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


# Bounds of the gain from differences (S, V) and clusters (V,).
WAYS = {
    "clusters, four added (ours)": _bounds,
    "clusters, none added": lambda difference, cluster: _bounds(difference, cluster, added=0),
    "bootstrap of clusters": _bootstrap,
    "images as if independent": lambda difference, cluster: _bounds(difference, np.arange(len(cluster)), added=0),
}


def study(draws: int) -> str:
    """Both tables, Markdown."""
    head = ["flagged clusters x images", "changed", "seeds", "training sd", "gain"]
    verdicts = [_row([*head, "lead", "shortcut", "none", "not enough"]), _row(["---"] * 9)]
    intervals = [_row([*head, *WAYS]), _row(["---"] * (5 + len(WAYS)))]
    for shape in SHAPES:
        for gain, lead in GAINS:
            world = World(*shape, gain=gain, lead=lead)
            random = numpy_generator("audit check", *(round(100 * number) for number in (*shape, gain)))
            compared = gain == lead and gain in (0, LEAST_GAIN)
            above, below, counted = Counter(), Counter(), Counter()
            for _ in range(draws):
                seen = world.simulate(random)
                counted[weigh(seen).verdict] += 1
                for name, way in WAYS.items() if compared else ():
                    low, high = way(seen.debiased.astype(int) - seen.erm, seen.cluster)
                    above[name] += low > gain
                    below[name] += high < gain
            size = f"{world.clusters} x {world.per_cluster}"
            start = [size, _percent(world.changed), str(world.seeds), _percent(world.training), _percent(gain)]
            shares = [_percent(counted[name] / draws) for name in ("shortcut", "none", "unclear")]
            verdicts.append(_row([*start, _percent(lead), *shares]))
            if compared:
                errors = [f"{_percent(above[name] / draws)} / {_percent(below[name] / draws)}" for name in WAYS]
                intervals.append(_row([*start, *errors]))
    return "\n".join([INTRODUCTION.format(draws=draws), *verdicts, "", INTERVALS, "", *intervals])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="validation sets of each kind")
    arguments = parser.parse_args()
    page = Path(__file__).with_name("simulated.md")
    page.write_text(f"    python {shlex.join(sys.argv)}\n\n{study(arguments.draws)}\n")
    print(page)
