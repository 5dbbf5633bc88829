import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from ddb.data import Split
from ddb.data.files import listed
from ddb.data.loading import View, batches, in_order, to_tensor
from ddb.errors import DDBError


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(random.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    return listed(tmp_path, [f"{i}.png" for i in range(4)], [0, 1, 0, 1])


@pytest.fixture
def arrays():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.zeros(5, np.int64), [str(i) for i in range(5)])


def test_arrays_come_as_they_are(arrays):
    found = list(in_order(arrays, View(), 2))
    assert [len(batch) for batch in found] == [2, 2, 1] and torch.equal(torch.cat(found), to_tensor(arrays.images))


def test_files_are_stretched_then_cropped_at_the_centre(photos):
    """224 / 8 = 28 pixels: resized to 32, of which the middle 28."""
    batch = next(in_order(photos, View(image_size=28), 4))
    picture = v2.functional.pil_to_tensor(Image.open(photos.root / "2.png"))
    resized = v2.functional.resize(picture, [32, 32], antialias=True)
    expected = resized[:, 2:30, 2:30].float() / 127.5 - 1
    assert batch.shape == (4, 3, 28, 28) and torch.allclose(batch[2], expected, atol=1e-5)


@pytest.mark.parametrize("source", ["photos", "arrays"])
def test_augmentation_follows_from_the_items_seed_alone(request, source):
    split = request.getfixturevalue(source)
    view = View(28 if source == "photos" else None, augment=True)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    together = next(batches(split, [[(0, 7), (1, 8), (0, 9)]], view))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    workers = View(view.image_size, True, workers=2)
    apart = torch.cat(list(batches(split, [[(0, 7)], [(1, 8)], [(0, 9)]], workers)))
    assert torch.equal(together, apart)
    assert not torch.equal(together[0], together[2])


def test_a_mirrored_array_is_mirrored(arrays):
    """Among a hundred seeds some only mirror: the crop falls back on the middle."""
    plain = to_tensor(arrays.images)[0]
    seen = next(batches(arrays, [[(0, seed) for seed in range(100)]], View(augment=True)))
    assert any(torch.allclose(image, plain.flip(2), atol=1e-6) for image in seen)
    assert any(torch.allclose(image, plain, atol=1e-6) for image in seen)


def test_items_may_be_endless(arrays, photos):
    for split, view in ((arrays, View()), (photos, View(28, workers=1))):
        endless = batches(split, ([(i % 4, None)] for i in itertools.count()), view)
        assert len(list(itertools.islice(endless, 6))) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_went_away_is_named_in_one_line(photos, workers):
    (photos.root / "3.png").unlink()
    with pytest.raises(DDBError) as error:
        list(in_order(photos, View(28, workers=workers), 2))
    assert str(error.value) == f"{photos.root}/3.png: no such file"
