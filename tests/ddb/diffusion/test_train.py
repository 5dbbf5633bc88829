import contextlib
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist

from ddb.diffusion.settings import CDPMSettings
from ddb.diffusion.train import Hooks, ema_model, learning_rate, train
from ddb.errors import DDBError, Interrupted

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(20) % 2
SMALL = {"channels": (16, 16), "steps": 6, "batch_size": 4, "warmup_steps": 2}
DROPOUT = CDPMSettings(**SMALL, dropout=0.15, engine="ddp")  # as the paper's


def _weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("engine", [{"engine": "ddp"}, {"zero_stage": 2}], ids=str)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, monkeypatch, engine):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")  # of a cluster's profile: one process talks to no other
    settings = CDPMSettings(**SMALL, dropout=0.1, **engine)
    hooks = Hooks(checkpoint=lambda step, save: save(tmp_path), checkpoint_every=4)
    whole = train(IMAGES, LABELS, 2, settings, 0, hooks)
    resumed = train(IMAGES, LABELS, 2, settings, 0, resume=tmp_path)
    assert torch.equal(_weights(whole), _weights(resumed))
    assert not torch.equal(_weights(whole), _weights(train(IMAGES, LABELS, 2, settings, 1)))


def _rank(rank, folder, queue):
    """Train with dropout to the end; then without, where rank 1 alone is asked to end, after its second step."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = "0"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    network = train(
        IMAGES, LABELS, 2, DROPOUT, 0, Hooks(checkpoint=lambda step, save: save(folder), checkpoint_every=3)
    )
    asked, steps = iter([False, rank == 1]), []
    hooks = Hooks(checkpoint=lambda step, save: steps.append(step), interrupted=lambda: next(asked))
    with contextlib.suppress(Interrupted):
        train(IMAGES, LABELS, 2, CDPMSettings(**SMALL, engine="ddp"), 0, hooks)
    queue.put((rank, _weights(network).tolist(), steps))
    dist.barrier()
    dist.destroy_process_group()


def test_two_workers_follow_the_trajectory_of_one_with_dropout_on_and_end_together(tmp_path):
    """Apart by 3e-6 of the weights' norm, which is summation; masks that depend on the rank put them 1.2 apart.

    The one worker that goes on from the checkpoint of two is what is left of them where a node is lost. When one rank
    is asked to end, all checkpoint after the same step.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=_rank, args=(rank, tmp_path, queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    found = sorted(queue.get() for _ in ranks)
    for process in ranks:
        process.join()
    assert [(rank, steps) for rank, _, steps in found] == [(0, [2]), (1, [2])]
    two = torch.tensor(found[0][1])  # of rank 0, which has the average
    one = _weights(train(IMAGES, LABELS, 2, DROPOUT, 0))
    shrunk = _weights(train(IMAGES, LABELS, 2, DROPOUT, 0, resume=tmp_path))
    assert not torch.equal(one, _weights(train(IMAGES, LABELS, 2, DROPOUT.model_copy(update={"dropout": 0.0}), 0)))
    assert all((other - one).norm() < 1e-4 * one.norm() for other in (two, shrunk))


def test_a_run_that_is_asked_to_end_checkpoints_after_that_step_and_goes_on_bit_for_bit(tmp_path):
    settings, steps = CDPMSettings(**SMALL), []
    asked = iter([False, False, True])
    hooks = Hooks(checkpoint=lambda step, save: (steps.append(step), save(tmp_path)), interrupted=lambda: next(asked))
    with pytest.raises(Interrupted, match="after step 3 of 6"):
        train(IMAGES, LABELS, 2, settings, 0, hooks)
    assert steps == [3]
    resumed = train(IMAGES, LABELS, 2, settings, 0, resume=tmp_path)
    assert torch.equal(_weights(resumed), _weights(train(IMAGES, LABELS, 2, settings, 0)))


def test_learning_rate_warms_up_then_follows_a_cosine():
    settings = CDPMSettings(steps=14, warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(settings, step) for step in (0, 3, 4, 9)] == pytest.approx([0.25, 1.0, 1.0, 0.5])


def test_moving_average_warms_up_as_worked_by_hand():
    weight = torch.nn.Linear(1, 1, bias=False)
    weight.weight.data.fill_(0.0)
    average = ema_model(weight, 0.995)
    values = [1.0, 3.0]  # decays: 0 at the first update, then 1 - 2 ** -0.75 = 0.405396
    for value in values:
        weight.weight.data.fill_(value)
        average.step(weight.parameters())
    average.copy_to(weight.parameters())
    assert weight.weight.item() == pytest.approx(0.405396 * 1.0 + (1 - 0.405396) * 3.0, abs=1e-5)


def test_a_diverging_run_stops_with_the_setting_to_change():
    with pytest.raises(DDBError, match=r"cdpm\.learning_rate"):
        train(IMAGES, LABELS, 2, CDPMSettings(**SMALL | {"learning_rate": 1e30, "warmup_steps": 0}, engine="ddp"), 0)


class _Attack:
    def __reduce__(self):
        return (os.mkdir, ("/nonexistent/attack",))


def test_a_checkpoint_that_carries_code_is_refused(tmp_path):
    settings = CDPMSettings(**SMALL)
    train(IMAGES, LABELS, 2, settings, 0, Hooks(checkpoint=lambda step, save: save(tmp_path), checkpoint_every=4))
    torch.save(_Attack(), tmp_path / "engine" / "mp_rank_00_model_states.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        train(IMAGES, LABELS, 2, settings, 0, resume=tmp_path)
