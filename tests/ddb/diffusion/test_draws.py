import threading

import pytest
import torch

from ddb.diffusion.draws import ahead, draw_batch
from ddb.diffusion.settings import CDPMSettings


def test_ranks_draw_slices_of_one_global_batch():
    settings = CDPMSettings()
    whole = draw_batch(5, range(8), 0, 100, (3, 4, 4), settings)
    part = draw_batch(5, range(4, 8), 0, 100, (3, 4, 4), settings)
    assert all(torch.equal(whole[name][4:], part[name]) for name in whole)
    assert not torch.equal(whole["noise"], draw_batch(6, range(8), 0, 100, (3, 4, 4), settings)["noise"])


def test_noise_is_normal_timesteps_are_uniform_and_a_tenth_of_the_labels_is_dropped():
    drawn = draw_batch(0, range(3000), 0, 10, (3, 4, 4), CDPMSettings())
    assert abs(drawn["noise"].mean()) < 0.02 and abs(drawn["noise"].std() - 1) < 0.02
    counts = torch.bincount(drawn["timestep"] // 250, minlength=4)
    assert len(counts) == 4 and (counts > 650).all() and len(torch.unique(drawn["index"])) == 10
    assert 0.08 < drawn["drop"].float().mean() < 0.12 and not drawn["flip"].any()


def test_the_next_step_is_drawn_while_the_caller_works():
    began = {step: threading.Event() for step in range(5)}

    def draw(step):
        began[step].set()
        return step, threading.current_thread()

    for step, (drawn, thread) in ahead(draw, range(2, 5)):
        assert drawn == step and thread is not threading.current_thread()
        assert step == 4 or began[step + 1].wait()  # without our asking for it
    assert not began[0].is_set()
    assert list(ahead(draw, range(3, 3))) == []


def test_an_error_of_drawing_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda step: 1 / (2 - step), range(4)))
