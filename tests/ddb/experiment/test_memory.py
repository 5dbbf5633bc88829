"""What is said of memory is what networks take when they train."""

import pytest
import torch

from ddb.diffusion.denoisers import build_denoiser
from ddb.diffusion.settings import CDPMSettings
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.experiment.memory import needs
from ddb.process_memory import CELL
from ddb.stages import KINDS
from ddb.stages.needs import Demand
from ddb.stages.network_memory import cdpm_bytes, classifier_bytes
from ddb.training.networks import build_network


def _trained(network, loss):
    """Bytes of the weights, gradients and AdamW's moments after a step; bytes that were kept for the backward pass."""
    optimizer, kept = torch.optim.AdamW(network.parameters()), {}
    weights = {each.untyped_storage().data_ptr() for each in network.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(network)
    value.backward()
    optimizer.step()
    state = [value for each in optimizer.state.values() for value in each.values() if value.dim()]
    parameters = list(network.parameters())
    held = [*parameters, *(each.grad for each in parameters), *state]
    return sum(each.numel() * each.element_size() for each in held), sum(kept.values())


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_cdpm(ema):
    settings = CDPMSettings(channels=(16, 32), batch_size=8, ema_decay=ema)
    network = build_denoiser(settings, 16, 10)
    images, labels = torch.randn(8, 3, 16, 16), torch.zeros(8, dtype=torch.long)
    held, kept = _trained(network, lambda n: n(images, torch.zeros(8), class_labels=labels).sample.square().mean())
    average = sum(each.numel() * 4 for each in network.parameters()) if ema else 0
    whole, half = cdpm_bytes(settings, 16, 10, 1), cdpm_bytes(settings, 16, 10, 2)
    assert 2 * half - whole == held + average  # what does not shrink with the share of the batch
    assert 0.5 < (whole - held - average) / kept < 2


@pytest.mark.parametrize("name", ["small_cnn", "resnet18"])
def test_a_classifier(name):
    images = torch.randn(4, 3, 32, 32)
    held, kept = _trained(build_network(name, 10), lambda n: n(images).square().mean())
    whole, half = classifier_bytes(name, 10, 4, 32), classifier_bytes(name, 10, 2, 32)
    assert 2 * half - whole == held
    assert 0.5 < (whole - held) / kept < 2


def test_optimizer_states_are_divided_where_zero_divides_them():
    plain, divided = (cdpm_bytes(CDPMSettings(zero_stage=stage), 16, 10, 4) for stage in (0, 1))
    weights = sum(each.numel() * 4 for each in build_denoiser(CDPMSettings(), 16, 10).parameters())
    assert plain - divided == 2 * weights - 2 * weights // 4


def test_only_what_is_missing_is_told():
    values = {"methods": {"erm": {}, "ddb_two_step": {}}, "seeds": [0, 1], "resources": {"cdpm_workers": 2}}
    graph = build_graph(resolve(values))
    cdpm, synthetic, amplifier, classifier, head = needs(graph, graph.stages())
    assert cdpm == "about 2.5 GB for each of 2 workers of a cdpm" and synthetic == "about 2.1 GB for each synthetic"
    assert (
        amplifier.endswith("for each amplifier") and classifier == "about 1.1 GB for each classifier" and "head" in head
    )
    assert needs(graph, [stage for stage in graph.stages() if stage.name == "classifier"]) == [classifier, head]
    assert needs(graph, []) == []


def test_a_stage_asks_for_the_memory_of_its_network_but_not_for_that_of_a_gpu():
    methods = {"small": {"method": "erm"}, "large": {"method": "erm", "network": "resnet50"}}
    values = {"dataset": {"image_size": 32}, "methods": methods, "memorisation": False}
    small, large = (cell.classifier for cell in build_graph(resolve(values)).cells)
    kind = KINDS["classifier"]
    difference = kind.memory(large, Demand()) - kind.memory(small, Demand())
    assert difference == classifier_bytes("resnet50", 10, 64, 32) - classifier_bytes("small_cnn", 10, 64, 32) > 400e6
    assert kind.memory(large, Demand(gpus=1)) == kind.memory(small, Demand(gpus=1)) == CELL
