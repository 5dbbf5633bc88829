"""Torchvision's backbones: shapes, ImageNet's input, pretrained weights from a file, and what is said without them."""

import os
import pickle
import re
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from ddb import backbones
from ddb.backbones import BACKBONES, build_network, ensure_weights
from ddb.errors import DDBError
from ddb.imagenet_input import MEAN


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [32, 64])
def test_images_in_logits_out(name, size):
    network = build_network(name, 5).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_images_are_turned_into_imagenets_normalisation():
    """A picture of ImageNet's mean colour is zero to the backbone; white is (1 - mean) / std."""
    seen = []
    network = build_network("resnet18", 2).eval()
    network.backbone.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 2 - 1
    with torch.no_grad():
        network(mean.expand(1, 3, 32, 32))
        network(torch.ones(1, 3, 32, 32))
    assert seen[0].abs().max() < 1e-6
    assert seen[1][0, :, 0, 0].tolist() == pytest.approx([2.248908, 2.428571, 2.64], abs=1e-5)


def test_the_seed_decides_the_fresh_weights():
    first, again, other = (build_network("resnet18", 3, seed).backbone.fc.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_come_from_a_file_and_the_head_is_fresh(name, tmp_path):
    torch.manual_seed(0)
    source = models.get_model(name, weights=None)
    state = source.state_dict()
    if name == "densenet121":  # torchvision's file has older names
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
        assert any("denselayer1.norm.1.weight" in key for key in state)
    torch.save(state, tmp_path / "weights.pth")
    network = build_network(name, 7, weights=str(tmp_path / "weights.pth"))
    head = BACKBONES[name][1]
    loaded, expected = network.backbone.state_dict(), source.state_dict()
    assert all(torch.equal(loaded[key], expected[key]) for key in expected if not key.startswith(head))
    assert loaded[f"{head}.weight"].shape[0] == 7


class _Attack:
    def __reduce__(self):
        return (os.mkdir, ("/nonexistent/attack",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: torch.save(models.get_model("resnet50", weights=None).state_dict(), path), "does not hold"),
        (lambda path: path.write_bytes(b"x" * 100), "is not a file of weights"),
        (lambda path: path.touch(), "is not a file of weights"),
        (lambda path: path.write_bytes(pickle.dumps(_Attack(), 2)), "is not a file of weights"),
    ],
    ids=["another network", "noise", "empty", "code"],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    content(path)
    with pytest.raises(DDBError, match=f"weights: {path} .*{message}|weights: {path} {message}"):
        build_network("resnet18", 2, weights=str(path))


def test_offline_and_missing_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DDBError) as error:
        ensure_weights("resnet18", "imagenet")
    assert len(str(error.value).splitlines()) == 1
    assert f"put resnet18-f37072fd.pth into {tmp_path}/checkpoints" in str(error.value)


def test_what_is_there_or_not_asked_for_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)  # would fail
    ensure_weights("small_cnn", "none")
    cached = backbones.weights_file("resnet18", "imagenet")
    cached.parent.mkdir()
    cached.touch()
    ensure_weights("resnet18", "imagenet")
    with pytest.raises(DDBError, match=r"weights: no file nowhere\.pth"):
        ensure_weights("resnet18", "nowhere.pth")


def test_an_unknown_network_is_refused():
    with pytest.raises(DDBError, match="network: 'resnet17' is unknown; did you mean 'resnet18'"):
        build_network("resnet17", 2)


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
        build_network("resnet18", 2, weights=str(path))
    assert not trace.exists()
    assert str(error.value) == f"weights: {path} is not a file of weights"
    if kind == "plain pickle":
        pickle.loads(path.read_bytes())
        assert trace.is_dir()  # the attack is one


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_named(tmp_path, legacy):
    path = tmp_path / "weights.pth"
    torch.save(models.get_model("resnet18", weights=None).state_dict(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for length in (1, 2, 60, 1000, 10_000, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(DDBError) as error:
            build_network("resnet18", 2, weights=str(path))
        assert str(error.value) == f"weights: {path} is not a file of weights"


@pytest.mark.parametrize(
    "value",
    [[1, 2], torch.zeros(3), "text", None, {1: torch.zeros(1)}, {"state_dict": {}}, {"conv1.weight": "text"}],
    ids=["list", "tensor", "text", "none", "numbers as names", "wrapped", "no tensor"],
)
@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_torch_files_of_something_else_are_named(tmp_path, name, value):
    path = tmp_path / "weights.pth"
    torch.save(value, path)
    with pytest.raises(DDBError) as error:
        build_network(name, 2, weights=str(path))
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"hello world\n", b"<!DOCTYPE html>\n", b"\xff\xd8\xff\xe0", b"a", b"]", b"J\1"])
def test_files_that_are_not_torchs_are_named(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(DDBError) as error:
        build_network("resnet18", 2, weights=str(path))
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DDBError) as error:
        build_network("resnet18", 2, weights=str(tmp_path / "none.pth"))
    assert str(error.value) == f"weights: {tmp_path}/none.pth: No such file or directory"


@pytest.mark.parametrize("name", BACKBONES)
def test_offline_every_backbone_says_its_own_file_and_folder(name, tmp_path, monkeypatch):
    """Nothing but the network is faked: torch's own download fails at urlopen."""
    before = torch.hub.get_dir()

    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    torch.hub.set_dir(tmp_path)
    try:
        with pytest.raises(DDBError) as error:
            ensure_weights(name, "imagenet")
    finally:
        torch.hub.set_dir(before)
    file = {"resnet18": "resnet18-f37072fd.pth", "resnet50": "resnet50-0676ba61.pth"}.get(
        name, "densenet121-a639ec97.pth"
    )
    assert f"put {file} into {tmp_path}/checkpoints" in str(error.value) and "no route to host" in str(error.value)
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "checkpoints" / file).exists()


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_takes_imagenets_normalisation_and_its_head_follows_the_seed(name):
    networks = [build_network(name, 3, seed).eval() for seed in (1, 1, 2)]
    seen = []
    networks[0].backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        networks[0]((torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 2 - 1).expand(2, 3, 32, 32))
        networks[0](-torch.ones(1, 3, 32, 32))  # black: -mean / std
    assert seen[0].abs().max() < 1e-6
    assert seen[1][0, :, 5, 5].tolist() == pytest.approx([-2.117904, -2.035714, -1.804444], abs=1e-5)
    first, again, other = (getattr(network.backbone, BACKBONES[name][1]).weight for network in networks)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_head_follows_the_seed_with_pretrained_weights_too_and_no_generator_moves(tmp_path):
    torch.save(models.get_model("resnet18", weights=None).state_dict(), tmp_path / "weights.pth")
    state = torch.get_rng_state()
    heads = [build_network("resnet18", 3, seed, str(tmp_path / "weights.pth")).backbone.fc.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert torch.equal(torch.get_rng_state(), state)
