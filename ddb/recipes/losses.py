"""The two debiasing losses: GroupDRO (Recipe I) and the relative-difficulty weight (Recipe II)."""

import torch


class GroupDROLoss:
    """Online group distributionally robust optimisation (Sagawa et al., 2020, algorithm 1).

    q_g <- q_g * exp(step_size * loss_g), renormalised; loss = sum_g q_g loss_g. A group that is absent from a batch
    has no loss there: its weight takes no step of its own.
    """

    def __init__(self, present: torch.Tensor, step_size: float):
        """`present` is (G,) bool: groups with training images. The others never get weight."""
        self.step_size = step_size
        self.weights = present.float() / present.sum()  # (G,), q

    def __call__(self, losses: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Scalar loss of per-image `losses` (B,) in `groups` (B,); updates q."""
        counts = torch.bincount(groups, minlength=len(self.weights))  # (G,)
        totals = losses.new_zeros(len(self.weights)).index_add(0, groups, losses)
        group_losses = totals / counts.clamp(min=1)  # (G,), 0 where absent
        updated = self.weights * torch.exp(self.step_size * group_losses.detach())
        self.weights = updated / updated.sum()
        return self.weights @ group_losses


def relative_difficulty(amplifier_losses: torch.Tensor, target_losses: torch.Tensor) -> torch.Tensor:
    """Recipe II's weight r = L_BA / (L_BA + L_target), (B,) and detached (Nam et al., 2020, with the frozen amplifier).

    Near 1 where the amplifier fails and the target does not: a bias-conflicting image.
    """
    weight = amplifier_losses / (amplifier_losses + target_losses + 1e-8)
    return weight.detach()
