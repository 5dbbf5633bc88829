"""How often the audit is wrong, and how often it finds what is there: on simulated data, and on Colored Digits.

    python -m ray_jobs.audit_check simulate
    python -m ray_jobs.audit_check digits configs/colored_digits.yaml

`simulate` draws who is right on flagged images where the truth is known, and counts verdicts and the errors of several
ways to make an interval; minutes on one core, without Ray. `digits` computes what the audit needs at five conflict
ratios (on ten colours, 0.9 is no bias), then draws validation sets of several sizes from the 200 validation scans, with
replacement, and counts the verdicts; the trained models are the same for all sets of a ratio. Each writes a table
(Markdown) and its numbers (JSON); that of `digits` after every ratio.
"""

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddb import config_file
from ddb.artifacts import Store
from ddb.audit import LEAST_GAIN, Evidence, Observations, audit, audit_plan, weigh
from ddb.errors import DDBError
from ddb.evidence import CONFIDENCE, interval
from ddb.randomness import numpy_generator
from ray_jobs.ending import ending
from ray_jobs.job import execute
from ray_jobs.output import out

RATIOS = [0.005, 0.02, 0.05, 0.2, 0.9]
SIZES = (20, 50, 100, 200)  # scans of a drawn validation set
DRAWS = {"simulate": 2000, "digits": 200}
SHAPES = [  # flagged clusters, images of each, `changed`, seeds, `training`
    *((clusters, 1, 0.1, 1, 0.0) for clusters in (10, 20, 50, 100, 200, 1000)),
    *((clusters, 1, 0.0, 1, 0.0) for clusters in (50, 100)),
    *((clusters, 10, 0.1, 1, 0.0) for clusters in (20, 200)),
    *((200, 10, 0.1, seeds, 0.03) for seeds in (1, 3, 5)),
]
RESAMPLES = 400  # of the bootstrap
VERDICTS = ("shortcut", "none", "unclear")


@dataclass(frozen=True)
class World:
    """How flagged images behave: the debiased model is right on 60 % of them, the other two by what they lose to it."""

    clusters: int
    per_cluster: int = 1  # images that share their cluster's fate
    gain: float = 0.0  # true one over ERM
    lead: float = 0.0  # true one over the control
    seeds: int = 1
    training: float = 0.0  # standard deviation of gain and lead from one training to the next
    changed: float = 0.1  # share of images that two trainings that are equally good get right and wrong, and vice versa

    def draw(self, random: np.random.Generator) -> Observations:
        """All images are flagged; a cluster's fate is the same for all seeds but for how good each training is."""
        fate = random.random((3, self.clusters))
        debiased = fate[0] < 0.6  # (K,)
        others = []
        for luck, truth in ((fate[1], self.gain), (fate[2], self.lead)):
            gain = truth + self.training * random.standard_normal((self.seeds, 1))
            gained = (self.changed + gain.clip(min=0)) / 0.6  # (S, 1), of those on which the debiased model is right
            lost = (self.changed - gain.clip(max=0)) / 0.4
            others.append(np.where(debiased, luck >= gained, luck < lost))  # (S, K)
        rows = np.repeat(np.arange(self.clusters), self.per_cluster)
        shape = (self.seeds, self.clusters)
        return Observations(np.ones(shape, bool), others[0], np.broadcast_to(debiased, shape), others[1], rows).take(
            rows, rows
        )


# Their names in the table, and the bounds of a gain from differences (S, V) and clusters (V,).
WAYS = {
    "clusters, four added (ours)": lambda d, cluster: _bounds(d, cluster),
    "clusters, none added": lambda d, cluster: _bounds(d, cluster, added=0),
    "bootstrap of clusters": lambda d, cluster: _bootstrap(d, cluster),
    "images as if independent": lambda d, cluster: _bounds(d, np.arange(d.shape[1]), added=0),
}


def _bounds(difference: np.ndarray, cluster: np.ndarray, **options: int) -> tuple[float, float]:
    found = interval(difference, np.ones(difference.shape, bool), cluster, **options)
    return found.low, found.high


def _bootstrap(difference: np.ndarray, cluster: np.ndarray) -> tuple[float, float]:
    """Percentiles of the gain over clusters that are drawn with replacement."""
    number = len(np.unique(cluster))
    total, size = np.bincount(cluster, difference.mean(0)), np.bincount(cluster)
    drawn = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), RESAMPLES)  # (R, K)
    low, high = np.quantile(drawn @ total / (drawn @ size), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def simulate(draws: int) -> dict[str, list[dict[str, Any]]]:
    """`verdicts`: shares of the audit's; `intervals`: how often each way's lies above or below the true gain."""
    found = {"intervals": [], "verdicts": []}
    for shape in SHAPES:
        of = dict(zip(("clusters", "per_cluster", "changed", "seeds", "training"), shape, strict=True))
        for gain, lead in ((0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.1, 0.0)):
            world = World(gain=gain, lead=lead, **of)
            random = numpy_generator("audit check", *(round(100 * number) for number in (*shape, gain)))
            above, below, verdicts = Counter(), Counter(), Counter()
            for _ in range(draws):
                seen = world.draw(random)
                verdicts[weigh(seen).verdict] += 1
                if gain == lead and gain in (0, LEAST_GAIN):
                    difference = seen.debiased.astype(int) - seen.erm
                    for name, way in WAYS.items():
                        low, high = way(difference, seen.cluster)
                        above[name] += low > gain
                        below[name] += high < gain
            row = of | {"gain": gain, "lead": lead}
            found["verdicts"].append(row | {name: verdicts[name] / draws for name in VERDICTS})
            if gain == lead and gain in (0, LEAST_GAIN):
                errors = {name: [above[name] / draws, below[name] / draws] for name in WAYS}
                found["intervals"].append(row | {"errors": errors})
    return found


def resampled(seen: Observations, scans: int, random: np.random.Generator) -> Evidence:
    """The evidence from a validation set of so many clusters, drawn with replacement; each draw is its own cluster."""
    members = [np.flatnonzero(seen.cluster == cluster) for cluster in np.unique(seen.cluster)]
    drawn = [members[i] for i in random.integers(0, len(members), scans)]
    return weigh(seen.take(np.concatenate(drawn), np.repeat(np.arange(scans), [len(rows) for rows in drawn])))


def digits(seen: Observations, ratio: float, draws: int) -> list[dict[str, Any]]:
    """For each size of validation set: shares of the verdicts, means of gain and lead."""
    rows = []
    for scans in SIZES:
        random = numpy_generator("drawn validation sets", round(1000 * ratio), scans)
        drawn = [resampled(seen, scans, random) for _ in range(draws)]
        shares = {name: sum(each.verdict == name for each in drawn) / draws for name in VERDICTS}
        known = [each for each in drawn if each.gain is not None]
        means = {
            "flagged": float(np.mean([each.flagged for each in drawn])),
            "gain": float(np.mean([each.gain.estimate for each in known])) if known else None,
            "lead": float(np.mean([each.lead.estimate for each in known])) if known else None,
        }
        rows.append({"conflict_ratio": ratio, "scans": scans, "draws": draws} | means | shares)
    return rows


def run_digits(arguments: argparse.Namespace, command: str) -> None:
    """Compute, draw and write, one conflict ratio after the other. Raises DDBError where a stage fails."""
    store, rows, whole = Store(arguments.store), [], []
    for ratio in arguments.ratios:
        config = config_file.load(arguments.config, [*arguments.overrides, f"dataset.conflict_ratio={ratio}"]).config
        graph = audit_plan(config)
        if execute(graph, store):
            raise DDBError(f"audit check: a stage failed at conflict ratio {ratio}; see above")
        result = audit(graph, store)
        rows += digits(result.observations, ratio, arguments.draws)
        whole.append({"conflict_ratio": ratio, "verdict": result.evidence.verdict, "reason": result.evidence.reason})
        write(arguments.output, "digits", command, {"drawn": rows, "whole": whole}, digits_page(rows, whole))


def simulated_page(found: dict[str, list[dict[str, Any]]], draws: int) -> str:
    """Both tables of `simulate` in Markdown."""
    names, world = list(WAYS), ["flagged clusters x images", "by accident", "seeds", "training sd", "gain"]
    lines = [
        f"Shares in % of {draws:,} drawn validation sets. Ten images of a cluster share its fate (ten colourings of a",
        "scan); gain and lead of single trainings differ from the true ones by so many points of standard deviation.",
        "Two trainings that are equally good get so many % of the flagged images right and wrong, as many vice versa",
        "(by accident); where that is 0, the debiased model only gains.",
        "",
        "Verdicts of the audit. Without a gain, and where the control gains as much (a lead of 0), each shortcut is a",
        "false alarm (nominal: at most 2.5); with a gain of 5 points or more, each none is false.",
        "",
        _row([*world, "lead", "shortcut", "none", "not enough"]),
        _row(["---"] * 9),
        *(_row([*_world(row), _points(row["lead"]), *_verdicts(row)]) for row in found["verdicts"]),
        "",
        "Ways to make the interval of the gain: how often it lies above / below the true gain (nominal: 2.5 / 2.5).",
        "",
        _row([*world, *names]),
        _row(["---"] * (5 + len(names))),
    ]
    for row in found["intervals"]:
        lines.append(_row([*_world(row), *(" / ".join(map(_percent, row["errors"][name])) for name in names)]))
    return "\n".join(lines)


def digits_page(rows: list[dict[str, Any]], whole: list[dict[str, Any]]) -> str:
    """The drawn sets and the whole validation set of each conflict ratio in Markdown."""
    lines = [
        "Shares in % of validation sets drawn with replacement from the 200 validation scans, each in ten colours;",
        "means of gain and lead in points. 90 % conflicting on ten colours is no bias: each shortcut there is a false",
        "alarm. The sets of a ratio share their trained models.",
        "",
        _row(["conflicting, %", "scans", "sets", "flagged images", "gain", "lead", "shortcut", "none", "not enough"]),
        _row(["---"] * 9),
    ]
    for row in rows:
        start = [f"{100 * row['conflict_ratio']:g}", str(row["scans"]), str(row["draws"]), f"{row['flagged']:.0f}"]
        lines.append(_row([*start, _points(row["gain"]), _points(row["lead"]), *_verdicts(row)]))
    lines += ["", "The whole validation set:", ""]
    for each in whole:
        lines.append(f"- {100 * each['conflict_ratio']:g} % conflicting: {each['verdict']}. {each['reason']}")
    return "\n".join(lines)


def write(directory: Path, name: str, command: str, values: dict[str, Any], page: str) -> None:
    """`<name>.json` and `<name>.md`, which begins with the command that made them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps({"command": command} | values, indent=1) + "\n")
    (directory / f"{name}.md").write_text(f"    {command}\n\n{page}\n")
    out.print(str(directory / f"{name}.md"))


def _world(row: dict[str, Any]) -> list[str]:
    size = f"{row['clusters']} x {row['per_cluster']}"
    return [size, _percent(row["changed"]), str(row["seeds"]), _points(row["training"]), _points(row["gain"])]


def _verdicts(row: dict[str, Any]) -> list[str]:
    return [_percent(row[name]) for name in VERDICTS]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}".replace("-0.0", "0.0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, draws in DRAWS.items():
        each = commands.add_parser(name)
        each.add_argument("--output", type=Path, default=Path("results/audit"), help="folder of the tables")
        each.add_argument("--draws", type=int, default=draws, help="validation sets of each kind")
    each.add_argument("config", type=Path, help="YAML file of Colored Digits, as in configs/")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings to change")
    each.add_argument("--ratios", type=float, nargs="+", default=RATIOS, help="conflict ratios")
    each.add_argument("--store", default=os.environ.get("DDB_STORE", "runs"), help="where results are kept")
    arguments = parser.parse_args()
    command = f"python -m ray_jobs.audit_check {' '.join(sys.argv[1:])}"
    with ending():
        if arguments.command == "digits":
            run_digits(arguments, command)
        else:
            found = simulate(arguments.draws)
            write(arguments.output, "simulated", command, found, simulated_page(found, arguments.draws))


if __name__ == "__main__":
    main()
