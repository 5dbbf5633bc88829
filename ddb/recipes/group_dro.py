"""GroupDRO (Sagawa et al., ICLR 2020, algorithm 1): minimise the loss of the worst group.

Each step moves weight towards the groups with the higher loss, q_g <- q_g * exp(step_size * loss_g), renormalises, and
descends on sum_g q_g * loss_g. With the true groups it is an oracle (`group_dro`); with the Bias Amplifier's
pseudo-groups it is the paper's Recipe I (`two_step`).
"""

from __future__ import annotations

import math

from pydantic import Field

from ddb.data import Split, groups
from ddb.lazy import Tensor, nn, np, torch
from ddb.recipes.registry import method
from ddb.training.loop import Batch, Context, TrainingSettings, fit


class GroupDROSettings(TrainingSettings):
    """Settings of `group_dro`."""

    step_size: float = Field(
        default=0.1, ge=0, description="of the group weights q; 0 leaves them uniform, 0.01 is the original's"
    )
    smallest_group: int = Field(
        default=5, ge=1, description="images that a group counts as having at least: fewer are not drawn so often"
    )


class GroupDROLoss:
    """The loss with its state: `group_weights` (G,), q, one per group that has training images, summing to one.

    `group_of` (N,) gives each training image's group; numbers without images take no part.
    """

    def __init__(self, group_of: np.ndarray, step_size: float, device: str = "cpu"):
        present, position = np.unique(group_of, return_inverse=True)
        self.step_size = step_size
        self.position = torch.from_numpy(position.astype(np.int64)).to(device)  # (N,) in 0..G-1
        # Logarithms: exp(step_size * loss) itself is infinite from about 89 on.
        self.log_weights = torch.full((len(present),), -math.log(len(present)), device=device)  # (G,)

    @property
    def group_weights(self) -> Tensor:
        return self.log_weights.exp()

    def __call__(self, batch: Batch) -> Tensor:
        """sum_g q_g * loss_g with loss_g the mean over the batch's images of group g; moves q first."""
        members = self.position[batch.index]  # (B,)
        number = len(self.log_weights)
        total = batch.cross_entropy.new_zeros(number).index_add(0, members, batch.cross_entropy)  # (G,)
        count = torch.zeros_like(total).index_add(0, members, torch.ones_like(batch.cross_entropy))  # (G,)
        losses = total / count.clamp(min=1)  # (G,), 0 for a group that this batch lacks
        # A loss of 0 leaves the weight of an absent group unmoved, up to the normalisation that all share.
        moved = self.log_weights + self.step_size * losses.detach()
        self.log_weights = moved - moved.logsumexp(0)
        return (self.group_weights * losses).sum()


def balanced_weights(group_of: np.ndarray, smallest: int = 1) -> np.ndarray:
    """Sampling weights (N,) under which every group of at least `smallest` images is drawn equally often.

    One of k < `smallest` images is drawn k / smallest as often: a single image would fill a whole share of every batch.
    """
    return 1 / np.maximum(np.bincount(group_of), smallest)[group_of]


def fit_group_dro(train: Split, group_of: np.ndarray, settings: GroupDROSettings, context: Context) -> nn.Module:
    """GroupDRO on `train` with the groups `group_of` (N,), drawn equally often where they are large enough."""
    small = int((np.unique(group_of, return_counts=True)[1] < settings.smallest_group).sum())
    if small:
        note = f"{small} groups of fewer than {settings.smallest_group} images are drawn less often than the others"
        context.history.append({"step": 0, "note": note})
    loss = GroupDROLoss(group_of, settings.step_size, context.device)
    weights = balanced_weights(group_of, settings.smallest_group)  # (N,)
    return fit(train, loss, settings, context, sampling_weights=weights)


@method("group_dro", GroupDROSettings, groups=True)
def group_dro(train: Split, signals: None, settings: GroupDROSettings, context: Context) -> nn.Module:
    """GroupDRO with the true groups, class x {aligned, conflicting}. Raises DDBError without bias labels."""
    return fit_group_dro(train, groups(train), settings, context)
