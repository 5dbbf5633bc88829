import numpy as np
import pytest
import torch

from ddb.errors import DDBError
from ddb.randomness import PLACE, WORDS, _fresh_state, derive_key, drawing_from, numpy_generator, torch_generator


def _first(generator):
    return torch.randint(2**31, (4,), generator=generator).tolist()


def test_a_generator_is_the_mersenne_twister_with_the_keys_words():
    """numpy's, given the same 624 words, is the reference; torch takes two of its numbers and the low bits of them."""
    generator = torch_generator("purpose", 1, 2)
    words = generator.get_state().numpy()[PLACE].view(np.uint64).astype(np.uint32)
    reference = np.random.MT19937(0)
    reference.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": WORDS}}
    expected = (reference.random_raw(2000)[1::2] & (2**31 - 1)).astype(np.int64)
    assert np.array_equal(torch.randint(2**31, (1000,), generator=generator).numpy(), expected)


def test_keys_that_agree_in_32_bits_draw_other_numbers():
    """Among 300,000 keys about ten pairs agree in their last 32 bits, all that a seeded torch generator looks at."""
    seen, pairs = {}, []
    for step in range(300_000):
        known = seen.setdefault(derive_key("cdpm", 0, step) & 0xFFFFFFFF, step)
        if known != step:
            pairs.append((known, step))
    assert pairs
    for one, other in pairs:
        assert _first(torch_generator("cdpm", 0, one)) != _first(torch_generator("cdpm", 0, other))
        assert numpy_generator("cdpm", 0, one).integers(2**62) != numpy_generator("cdpm", 0, other).integers(2**62)


def test_a_key_says_all():
    assert _first(torch_generator("a", 1, 2)) == _first(torch_generator("a", 1, 2))
    others = [("a", 1, 3), ("a", 12), ("b", 1, 2), ("a", 1, 2, 0)]
    assert all(_first(torch_generator(*other)) != _first(torch_generator("a", 1, 2)) for other in others)


def test_the_global_generator_is_lent_and_given_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with drawing_from(derive_key("weights", 0)):
        inside = torch.randint(2**31, (4,)).tolist()
    assert inside == _first(torch_generator("weights", 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_torch_with_another_state_is_refused(monkeypatch):
    _fresh_state.cache_clear()
    monkeypatch.setattr("ddb.randomness.PLACE", slice(16, 16 + 8 * WORDS))
    with pytest.raises(DDBError, match="a form that is unknown here"):
        torch_generator("a")
