"""Torchvision's backbones: shapes, ImageNet's input, pretrained weights from a file, and errors without them."""

import os
import pickle
import re
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from ddb.errors import DDBError
from ddb.features.encoders import build_encoder
from ddb.training import networks, pretrained
from ddb.training.input_layers import MEAN
from ddb.training.networks import BACKBONES, build_network, ensure_weights
from ddb.training.pretrained import LITE0


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_takes_imagenets_normalisation_and_its_head_follows_the_seed(name):
    """A picture of ImageNet's mean colour is zero to the backbone; black is -mean / std."""
    networks = [build_network(name, 5, seed).eval() for seed in (1, 1, 2)]
    seen = []
    networks[0].backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        assert networks[0]((torch.tensor(MEAN).view(1, 3, 1, 1) * 2 - 1).expand(2, 3, 32, 32)).shape == (2, 5)
        assert networks[0](-torch.ones(1, 3, 64, 64)).shape == (1, 5)
    assert seen[0].abs().max() < 1e-6
    assert seen[1][0, :, 5, 5].tolist() == pytest.approx([-2.117904, -2.035714, -1.804444], abs=1e-5)
    first, again, other = (getattr(network.backbone, BACKBONES[name][1]).weight for network in networks)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_weights_come_from_a_file_and_the_head_is_fresh_and_follows_the_seed(name, tmp_path):
    torch.manual_seed(0)
    source = models.get_model(name, weights=None)
    state = source.state_dict()
    if name == "densenet121":  # torchvision's file has older names
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
        assert any("denselayer1.norm.1.weight" in key for key in state)
    torch.save(state, tmp_path / "weights.pth")
    before = torch.get_rng_state()
    networks = [build_network(name, 7, seed, pretrained=str(tmp_path / "weights.pth")) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    head = BACKBONES[name][1]
    first, again, other = (network.backbone.state_dict() for network in networks)
    assert all(torch.equal(first[key], value) for key, value in source.state_dict().items() if not key.startswith(head))
    assert first[f"{head}.weight"].shape[0] == 7
    assert torch.equal(first[f"{head}.weight"], again[f"{head}.weight"])
    assert not torch.equal(first[f"{head}.weight"], other[f"{head}.weight"])


@pytest.mark.parametrize(
    "value",
    [build_network("small_cnn", 2).state_dict(), [1, 2], {1: torch.zeros(1)}, {"state_dict": {}}, {"conv1.weight": ""}],
    ids=["another network", "list", "numbers as names", "wrapped", "no tensor"],
)
def test_a_torch_file_of_something_else_is_named(tmp_path, value):
    path = tmp_path / "weights.pth"
    torch.save(value, path)
    with pytest.raises(DDBError) as error:
        build_network("resnet18", 2, pretrained=str(path))
    assert str(error.value) == f"pretrained: {path} does not hold torchvision's resnet18"


@pytest.mark.parametrize("content", ["zip", "legacy", b"", b"x" * 100, b"<!DOCTYPE html>\n", b"]"])
def test_a_truncated_file_or_one_that_is_not_torchs_is_named(tmp_path, content):
    path, contents = tmp_path / "weights.pth", [content]
    if isinstance(content, str):
        state = models.get_model("resnet18", weights=None).state_dict()
        torch.save(state, path, _use_new_zipfile_serialization=content == "zip")
        whole = path.read_bytes()
        contents = [whole[:length] for length in (2, 1000, len(whole) // 2, len(whole) - 10)]
    for each in contents:
        path.write_bytes(each)
        with pytest.raises(DDBError) as error:
            build_network("resnet18", 2, pretrained=str(path))
        assert str(error.value) == f"pretrained: {path} is not a file of weights"


class _Marker:
    """Pickled, it makes a folder when it is loaded by an unpickler that runs code."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("kind", ["torch's format", "plain pickle", "inside a state dict"])
def test_code_in_a_file_of_weights_is_never_run(tmp_path, kind):
    path, trace = tmp_path / "weights.pth", tmp_path / "was run"
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(_Marker(trace), 2))
    else:
        torch.save(_Marker(trace) if kind == "torch's format" else {"fc.bias": _Marker(trace)}, path)
    with pytest.raises(DDBError) as error:
        build_network("resnet18", 2, pretrained=str(path))
    assert not trace.exists()
    assert str(error.value) == f"pretrained: {path} is not a file of weights"
    if kind == "plain pickle":
        pickle.loads(path.read_bytes())
        assert trace.is_dir()  # the attack is one


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("resnet50", "resnet50-0676ba61.pth"),
        ("densenet121", "densenet121-a639ec97.pth"),
    ],
)
def test_offline_every_backbone_says_its_own_file_and_folder(name, file, tmp_path, monkeypatch):
    """Nothing but the network is faked: torch's own download fails at urlopen."""

    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DDBError) as error:
        ensure_weights(name, "imagenet")
    assert f"put {file} into {tmp_path}/checkpoints" in str(error.value) and "no route to host" in str(error.value)
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "checkpoints" / file).exists()


def test_what_is_there_or_not_asked_for_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)  # would fail
    ensure_weights("small_cnn", "none")
    cached = networks.weights_file("resnet18", "imagenet")
    cached.parent.mkdir()
    cached.touch()
    ensure_weights("resnet18", "imagenet")
    with pytest.raises(DDBError, match=r"pretrained: no file nowhere\.pth"):
        ensure_weights("resnet18", "nowhere.pth")
    with pytest.raises(DDBError, match=r"pretrained: nowhere\.pth: No such file or directory"):
        build_network("resnet18", 2, pretrained="nowhere.pth")


def test_efficientnet_lite0_starts_from_the_features_of_its_package_and_trains_all_layers():
    encoder = build_encoder(LITE0, pretrained.weights_file(LITE0, "pretrained"), ("final",))
    network = build_network(LITE0, 3, key=1, pretrained="imagenet").eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1  # its normalisation is that of all our images
    expected = encoder(images)["final"]
    with torch.no_grad():
        found = network.forward_head(network.forward_features(images), pre_logits=True)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert network(images).shape == (2, 3) and all(each.requires_grad for each in network.parameters())
    again = build_network(LITE0, 3, key=1, pretrained="imagenet").eval()
    assert torch.equal(network.classifier.weight, again.classifier.weight)
