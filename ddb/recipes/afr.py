"""Automatic Feature Reweighting (AFR, Qiu et al., ICML 2023): retrain the last layer on images that ERM fits badly.

ERM learns from most of the training images. On the rest, only its last layer is retrained, with weights
mu_i proportional to exp(-gamma * p_i) / n_c, p_i the probability of image i's label under ERM and n_c the number of
images of its class among the rest, and with a penalty lambda * ||w - w_ERM||^2. It needs no bias labels for training;
the published numbers select gamma and lambda with bias labels of the validation images, here they are settings.
"""

from __future__ import annotations

from pydantic import Field

from ddb.data import Split
from ddb.data.dataset import hold_out
from ddb.errors import DDBError
from ddb.lazy import Tensor, nn, np, torch
from ddb.recipes.last_layer import embeddings, replace_last_layer
from ddb.recipes.registry import method
from ddb.training.loop import Context, TrainingSettings, fit, mean_loss
from ddb.training.networks import last_layer


class AfrSettings(TrainingSettings):
    """Settings of `afr`; the others are of its ERM."""

    gamma: float = Field(default=10.0, ge=0, description="of exp(-gamma * p); 0 weights all images of a class equally")
    penalty: float = Field(default=0.01, ge=0, description="lambda, of the squared distance from ERM's last layer")
    share: float = Field(
        default=0.2, gt=0, lt=1, description="of the training images, on which the last layer is retrained"
    )
    last_layer_steps: int = Field(default=500, gt=0, description="gradient descent steps on all of them")
    last_layer_rate: float = Field(default=0.01, gt=0, description="their learning rate")


@method("afr", AfrSettings)
def afr(train: Split, signals: None, settings: AfrSettings, context: Context) -> nn.Module:
    """ERM on 1 - `share` of the images, the last layer on the rest."""
    most, rest = hold_out(train, settings.share, context.seed)
    model = fit(most, mean_loss, settings, context)
    layer = last_layer(model)
    x = embeddings(model, rest, settings.transform(context.workers))  # (M, D)
    start = [each.detach().cpu() for each in (layer.weight, layer.bias)]  # (C, D), (C,)
    labels = torch.from_numpy(rest.labels)  # (M,)
    weights = afr_weights(torch.softmax(x @ start[0].T + start[1], 1), labels, settings.gamma)  # (M,)
    weight, bias = (each.clone().requires_grad_() for each in start)
    optimizer = torch.optim.SGD([weight, bias], lr=settings.last_layer_rate, momentum=0.9)
    loss = torch.zeros(())
    for _ in range(settings.last_layer_steps):
        cross_entropy = torch.nn.functional.cross_entropy(x @ weight.T + bias, labels, reduction="none")  # (M,)
        distance = (weight - start[0]).square().sum() + (bias - start[1]).square().sum()
        loss = (weights * cross_entropy).sum() + settings.penalty * distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not torch.isfinite(loss):
        raise DDBError("afr: the loss of the last layer is not finite; lower last_layer_rate "
                       f"(it is {settings.last_layer_rate:g})")  # fmt: skip
    replace_last_layer(model, weight.detach(), bias.detach())
    return model


def afr_weights(probabilities: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """mu (M,), which sums to 1, from ERM's probabilities (M, C) and the labels (M,)."""
    of_label = probabilities.gather(1, labels[:, None])[:, 0]  # (M,)
    size = torch.from_numpy(np.bincount(labels.numpy()))[labels]  # (M,) images of the class
    weights = torch.exp(-gamma * of_label) / size
    return weights / weights.sum()
