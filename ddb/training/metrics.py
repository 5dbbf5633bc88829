"""The benchmark's numbers from predictions: average, aligned, conflicting, per group, per class and bias value.

Two averages are in use and differ (FACTS: Waterbirds): the plain mean over test images, and the mean of the test
groups' accuracies weighted by the groups' shares of the *training* set. Both are reported, by name. What needs bias
labels is absent from the result where the data set has none, and what has no test images is absent too.
"""

from __future__ import annotations

from typing import Any

from ddb.data import Split, group_names, groups
from ddb.data.dataset import disagreement
from ddb.lazy import Tensor, np


def evaluate(
    outputs: np.ndarray | Tensor,
    split: Split,
    classes: tuple[str, ...],
    bias_attributes: dict[str, tuple[str, ...]],
    train_split: Split,
) -> dict[str, Any]:
    """Accuracies in [0, 1] of `outputs`, logits (N, C) or predicted classes (N,), on `split`. Plain JSON values.

    average_accuracy            over images (BAR, ImageNet-A)
    aligned_accuracy, conflicting_accuracy
    worst_group_accuracy        lowest of group_accuracy, over the groups that have images
    weighted_average_accuracy   sum_g p_g * accuracy_g, p_g the group's share of the training images (renormalised
                                over the groups that have images in `split`)
    group_accuracy              {name as in ddb.data.group_names: accuracy}
    class_bias_accuracy         {attribute: C rows of V accuracies}, None where there are no images

    With two bias attributes or more (UrbanCars; Li et al., CVPR 2023), over the patterns in which they agree:
    id_accuracy                 sum_p share_p * accuracy_p, share_p the pattern's share of the training images: accuracy
                                "in distribution" (UrbanCars: weights 0.9025, 0.0475, 0.0475, 0.0025)
    <attributes>_gap            id_accuracy - accuracy of the pattern that disagrees in just these: a drop is positive,
                                as DDB prints it (the original paper prints the negative)
    """
    outputs = np.asarray(outputs)
    predicted = outputs.argmax(1) if outputs.ndim == 2 else outputs  # (N,)
    correct = predicted == split.labels  # (N,) bool
    result: dict[str, Any] = {"average_accuracy": float(correct.mean())}
    if split.aligned is None:
        return result

    for name, members in (("aligned", split.aligned), ("conflicting", ~split.aligned)):
        if members.any():
            result[f"{name}_accuracy"] = float(correct[members].mean())

    names = group_names(classes, tuple(bias_attributes))
    accuracy = _mean_by(groups(split), correct, len(names))  # (2 C,), NaN where there are no images
    present = ~np.isnan(accuracy)
    result["worst_group_accuracy"] = float(accuracy[present].min())
    if train_split.aligned is not None:
        share = np.bincount(groups(train_split), minlength=len(names)) * present  # (2 C,)
        if share.any():
            result["weighted_average_accuracy"] = float(np.average(accuracy[present], weights=share[present]))
    result["group_accuracy"] = {names[g]: float(accuracy[g]) for g in np.flatnonzero(present)}

    if len(bias_attributes) > 1 and train_split.aligned is not None:
        result |= _gaps(correct, split, tuple(bias_attributes), train_split)
    if split.bias is not None:
        tables = {}
        for column, (attribute, values) in enumerate(bias_attributes.items()):
            cell = split.labels * len(values) + split.bias[:, column]  # (N,)
            table = _mean_by(cell, correct, len(classes) * len(values)).reshape(len(classes), len(values))  # (C, V)
            tables[attribute] = [[None if np.isnan(value) else float(value) for value in row] for row in table]
        result["class_bias_accuracy"] = tables
    return result


def worst(correct: np.ndarray, group_of: np.ndarray) -> float:
    """Lowest accuracy among the groups that have images; `correct` (N,) bool, `group_of` (N,)."""
    return float(min(correct[group_of == group].mean() for group in np.unique(group_of)))


def _gaps(correct: np.ndarray, split: Split, attributes: tuple[str, ...], train_split: Split) -> dict[str, float]:
    """In-distribution accuracy and the drop from it for each set of attributes that disagree with the class."""
    bits = 1 << np.arange(len(attributes))  # (A,)
    number = 2 ** len(attributes)
    accuracy = _mean_by(disagreement(split) @ bits, correct, number)  # (2^A,), pattern 0: all agree
    share = np.bincount(disagreement(train_split) @ bits, minlength=number) / len(train_split)  # (2^A,)
    if np.isnan(accuracy[share > 0]).any():
        return {}  # a pattern of the training images is not tested: there is no such accuracy
    in_distribution = float(np.nansum(accuracy * share))
    found = {"id_accuracy": in_distribution}
    for pattern in range(1, number):
        if not np.isnan(accuracy[pattern]):
            name = "_".join(attribute for i, attribute in enumerate(attributes) if pattern >> i & 1)
            found[f"{name}_gap"] = in_distribution - float(accuracy[pattern])
    return found


def _mean_by(group: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """Mean of `values` (N,) in each of `number` groups: (number,), NaN for an empty one."""
    count = np.bincount(group, minlength=number)
    total = np.bincount(group, weights=values, minlength=number)
    return np.divide(total, count, out=np.full(number, np.nan), where=count > 0)
