"""What a training step draws: images, timesteps, label drops, flips and noise, by (seed, step, position).

    for step, drawn in ahead(lambda step: draw_batch(step, positions, seed, ...), range(start, steps)): ...

A rank draws its positions of the global batch and no others. Drawing costs milliseconds on the CPU, for which a fast
GPU would wait: `ahead` draws the next step on a thread beside the one that is computed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from ddb.diffusion.noise_schedules import NUM_TIMESTEPS
from ddb.diffusion.settings import CDPMSettings
from ddb.randomness import torch_generator

Drawn = TypeVar("Drawn")


def draw_batch(
    step: int, positions: range, seed: int, num_images: int, shape: tuple[int, int, int], settings: CDPMSettings
) -> dict[str, torch.Tensor]:
    """What the given positions of step `step`'s global batch see; b = len(positions).

    Returns image indices (b,), timesteps (b,), `drop` (b,) bool, `flip` (b,) bool and noise (b, 3, H, W).
    """
    number = len(positions)
    index, timestep = (torch.empty(number, dtype=torch.long) for _ in range(2))
    chance, noise = torch.empty(number, 2), torch.empty(number, *shape)
    for row, position in enumerate(positions):
        generator = torch_generator("cdpm", seed, step, position)
        index[row].random_(num_images, generator=generator)
        timestep[row].random_(NUM_TIMESTEPS, generator=generator)
        chance[row].uniform_(generator=generator)
        noise[row].normal_(generator=generator)
    drop, flip = chance[:, 0] < settings.label_drop, chance[:, 1] < 0.5 * settings.horizontal_flip
    return {"index": index, "timestep": timestep, "drop": drop, "flip": flip, "noise": noise}


def ahead(draw: Callable[[int], Drawn], steps: range) -> Iterator[tuple[int, Drawn]]:
    """Each step with what `draw` gives for it; the next one is drawn while the caller works. Errors come in turn."""
    with ThreadPoolExecutor(1, "draw") as pool:
        coming = pool.submit(draw, steps[0]) if steps else None
        for step in steps:
            assert coming is not None
            drawn = coming.result()
            if step != steps[-1]:
                coming = pool.submit(draw, step + steps.step)
            yield step, drawn
