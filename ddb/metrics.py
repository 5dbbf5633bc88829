"""Accuracies as the field reports them, from predictions and what is known of the bias.

    evaluate(predicted, dataset["test"], dataset["train"], dataset.classes)

Accuracies are in [0, 1]. What a split cannot say (no bias labels) is absent from the result, never guessed.
"""

import numpy as np

from ddb.data import Split, group_names, groups


def evaluate(predicted: np.ndarray, split: Split, train: Split, classes: tuple[str, ...]) -> dict:
    """Metrics of `predicted` (N,) on `split`; `train` gives the group proportions of the weighted average.

    - average_accuracy: share of correct predictions
    - conflicting_accuracy, aligned_accuracy: the same over one kind of image (BFFHQ's "conflicting")
    - group_accuracy: per group class x {aligned, conflicting}, groups without images left out
    - worst_group_accuracy: the least of them (Sagawa et al., 2020)
    - weighted_average_accuracy: group accuracies weighted by the group's share of the *training* images, the
      "average" that Waterbirds papers print (Sagawa et al., 2020)
    """
    correct = np.asarray(predicted) == split.labels  # (N,)
    metrics = {"average_accuracy": float(correct.mean())}
    if split.aligned is None:
        return metrics
    for name, chosen in (("aligned", split.aligned), ("conflicting", ~split.aligned)):
        if chosen.any():
            metrics[f"{name}_accuracy"] = float(correct[chosen].mean())
    names, member = group_names(classes), groups(split)
    accuracy = {group: float(correct[member == group].mean()) for group in np.unique(member)}
    metrics["group_accuracy"] = {names[group]: value for group, value in accuracy.items()}
    metrics["worst_group_accuracy"] = min(accuracy.values())
    if train.aligned is not None:
        share = np.bincount(groups(train), minlength=len(names))[list(accuracy)]  # (G,)
        if share.sum():
            metrics["weighted_average_accuracy"] = float(share @ np.array(list(accuracy.values())) / share.sum())
    return metrics
