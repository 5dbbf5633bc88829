"""Random numbers as functions of what they are for: (purpose, seed, step, position), never of what ran before.

Both identity contracts rest on this file. A training step draws from (seed, step, position in the global batch), so
ranks can take slices of it and a resumed run continues the trajectory. A synthetic image draws from (seed, class,
index), so batch size, number of actors and restarts do not change it.

Keys have 256 bits, of which every generator takes at least 63. `torch.Generator.manual_seed` would keep 32 on a CPU:
among the millions of draws of a long training many would then share their numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from ddb.errors import DDBError
from ddb.lazy import np, torch

# The state of torch's CPU generator, a Mersenne Twister: seed, counters, then its 624 words, one per 64-bit number.
WORDS = 624
PLACE = slice(24, 24 + 8 * WORDS)


def derive_key(purpose: str, *numbers: int) -> int:
    """A 256-bit key from a purpose and integers: two of them never share a stream."""
    text = ":".join([purpose, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def torch_generator(purpose: str, *numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of that key. On a CPU its numbers are the same everywhere; CUDA's streams are others.

    CUDA's generator takes 64 bits of the key, which is enough for its counters to be told apart.
    """
    key = derive_key(purpose, *numbers)
    if torch.device(device).type != "cpu":
        return torch.Generator(device).manual_seed(key >> 192)
    return generator_of(key)


def generator_of(key: int) -> torch.Generator:
    """A generator on the CPU that draws from `key`."""
    generator = torch.Generator()
    generator.set_state(_state(key))
    return generator


def numpy_generator(purpose: str, *numbers: int) -> np.random.Generator:
    """A generator of 63 bits of that key."""
    return np.random.default_rng(derive_key(purpose, *numbers) >> 193)


@contextmanager
def drawing_from(key: int) -> Iterator[None]:
    """Let torch's global CPU generator draw from `key` inside the block; after it, it is as it was.

    For code that takes no generator of its own, such as that which draws a network's first weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(_state(key))
        yield


def _state(key: int) -> torch.Tensor:
    """A state of torch's CPU generator, uint8, all of whose words are drawn from the key."""
    words = hashlib.shake_128(key.to_bytes(32, "big")).digest(4 * WORDS)
    state = _fresh_state().copy()
    state[PLACE].view(np.uint64)[:] = np.frombuffer(words, np.uint32)
    return torch.from_numpy(state)


@lru_cache(1)
def _fresh_state() -> np.ndarray:
    """The state of a generator that has drawn nothing; the first word of a seeded Mersenne Twister is its seed."""
    state = torch.Generator().manual_seed(WORDS).get_state().numpy()
    if state[PLACE].size != 8 * WORDS or state[PLACE].view(np.uint64)[0] != WORDS:
        raise DDBError(f"torch {torch.__version__} keeps the state of its random numbers in a form that is unknown "
                       "here")  # fmt: skip
    return state
