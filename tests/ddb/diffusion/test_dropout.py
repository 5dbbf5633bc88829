import pytest
import torch
from torch import nn

from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.dropout import PositionalDropout
from ddb.diffusion.settings import CDPMSettings

CPU = torch.device("cpu")


class _Net(nn.Module):
    """Two active dropout layers, of 12 and of 5 elements per image, and one that drops nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.none = nn.Dropout(0.15), nn.Dropout(0.5), nn.Dropout(0.0)

    def forward(self, images, timestep, class_labels):
        return self.first(images), self.second(torch.ones(len(images), 5)), self.none(images)


def _pass(net, rows):
    return net(torch.ones(rows, 3, 2, 2), 0, None)


def test_a_rank_has_the_slice_of_the_global_batchs_masks():
    net = _Net().train()
    masks = PositionalDropout(net, (3, 2, 2))
    masks.draw(0, 7, range(8), CPU)
    whole = _pass(net, 8)
    masks.draw(0, 7, range(4, 8), CPU)
    assert all(torch.equal(one[4:], part) for one, part in zip(whole, _pass(net, 4), strict=True))
    masks.draw(0, 8, range(4, 8), CPU)
    assert not torch.equal(whole[0][4:], _pass(net, 4)[0])
    assert torch.equal(whole[2], torch.ones(8, 3, 2, 2))


def test_shares_and_scale_are_dropouts():
    """Kept elements are divided by the share that is kept, so the mean stays 1: within 4 standard errors."""
    net = _Net().train()
    masks = PositionalDropout(net, (3, 2, 2))
    masks.draw(1, 0, range(20_000), CPU)
    for seen, p in zip(_pass(net, 20_000), (0.15, 0.5), strict=False):
        error = (p * (1 - p) / seen.numel()) ** 0.5
        assert abs((seen == 0).float().mean().item() - p) < 4 * error
        assert seen.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)
        flat = (seen.flatten(1) == 0).float()
        assert torch.corrcoef(flat.T).fill_diagonal_(0).abs().max() < 5 / 20_000**0.5  # elements are independent


def test_nothing_is_dropped_in_evaluation_and_before_the_first_step():
    net = _Net().train()
    masks = PositionalDropout(net, (3, 2, 2))
    assert torch.equal(_pass(net, 2)[0], torch.ones(2, 3, 2, 2))
    masks.draw(0, 0, range(2), CPU)
    assert torch.equal(_pass(net.eval(), 2)[0], torch.ones(2, 3, 2, 2))


def test_every_dropout_of_the_unet_is_replaced():
    unet = build_denoiser(CDPMSettings(channels=(16, 16), attention_resolutions=(4,), dropout=0.15), 8, 3).train()
    before = sum(isinstance(module, nn.Dropout) and module.p > 0 for module in unet.modules())
    masks = PositionalDropout(unet, (3, 8, 8))
    assert before > 0 and not any(isinstance(module, nn.Dropout) and module.p > 0 for module in unet.modules())
    x, labels = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    masks.draw(0, 0, range(2), CPU)
    one, again = (unet(x, 5, class_labels=labels).sample for _ in range(2))
    masks.draw(0, 1, range(2), CPU)
    assert torch.equal(one, again) and not torch.equal(one, unet(x, 5, class_labels=labels).sample)
    fresh = build_denoiser(CDPMSettings(channels=(16, 16), attention_resolutions=(4,)), 8, 3)
    fresh.load_state_dict(unet.state_dict())  # what is saved is an ordinary UNet
