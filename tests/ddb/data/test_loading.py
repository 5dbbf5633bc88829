import dataclasses
import itertools
import multiprocessing
import random
import resource
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from ddb.data import Split
from ddb.data.files import listed
from ddb.data.images import read_array, read_image
from ddb.data.loading import Images, ImageTransform, to_tensor
from ddb.errors import DDBError
from ddb.randomness import drawing_from


@pytest.fixture
def photos(tmp_path):
    generator = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(generator.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    return listed(tmp_path, [f"{i}.png" for i in range(4)], [0, 1, 0, 1])


@pytest.fixture
def arrays():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.zeros(5, np.int64), [str(i) for i in range(5)])


def test_arrays_come_as_they_are(arrays):
    found = list(Images(arrays, ImageTransform()).in_order(2))
    assert [len(batch) for batch in found] == [2, 2, 1] and torch.equal(torch.cat(found), to_tensor(arrays.images))


@pytest.mark.parametrize("source", ["photos", "arrays"])
def test_augmentation_follows_from_the_items_seed_alone(request, source):
    split = request.getfixturevalue(source)
    view = ImageTransform(28 if source == "photos" else None, augment=True)
    torch.manual_seed(3)
    together = next(Images(split, view).batches([[(0, 7), (1, 8), (0, 9)]]))
    torch.manual_seed(4)
    workers = ImageTransform(view.image_size, True, workers=2)
    apart = torch.cat(list(Images(split, workers).batches([[(0, 7)], [(1, 8)], [(0, 9)]])))
    assert torch.equal(together, apart)
    assert not torch.equal(together[0], together[2])


def test_a_mirrored_array_is_mirrored(arrays):
    """Among a hundred seeds some only mirror: the crop falls back on the middle."""
    plain = to_tensor(arrays.images)[0]
    seen = next(Images(arrays, ImageTransform(augment=True)).batches([[(0, seed) for seed in range(100)]]))
    assert any(torch.allclose(image, plain.flip(2), atol=1e-6) for image in seen)
    assert any(torch.allclose(image, plain, atol=1e-6) for image in seen)


def _prepared(photos, size):
    """The photos with their prepared arrays, as the amplifier finds them."""
    arrays = np.stack([read_array(photos.root / path, size) for path in photos.paths])
    return dataclasses.replace(photos, images=arrays)


def test_without_files_photos_are_enlarged_from_their_arrays(photos):
    prepared, view = _prepared(photos, 16), ImageTransform(image_size=28, from_files=False)
    seen = torch.cat(list(Images(prepared, view).in_order(2)))
    in_memory = dataclasses.replace(prepared, root=None)  # as synthetic images come
    assert torch.equal(seen, torch.cat(list(Images(in_memory, view).in_order(2))))
    sharp = torch.cat(list(Images(prepared, ImageTransform(image_size=28)).in_order(2)))
    assert (sharp - seen).abs().mean() > 0.1


def test_a_batch_at_once_is_what_single_images_are(photos, arrays):
    for split, view in (
        (_prepared(photos, 16), ImageTransform(28, from_files=False)),
        (arrays, ImageTransform(from_files=False)),
    ):
        rows = torch.tensor([2, 0, 2])
        assert torch.equal(Images(split, view).rows(rows), torch.cat(list(Images(split, view).in_order(2)))[rows])


@pytest.mark.parametrize("size", [28, 50, 63])
def test_the_evaluation_view_is_torchvisions_resize_and_centre_crop(photos, size):
    """Sides are 32, 57.14 -> 57 and 72: 256/224 of the size."""
    side = {28: 32, 50: 57, 63: 72}[size]
    reference = v2.Compose([v2.Resize((side, side), antialias=True), v2.CenterCrop(size)])
    found = torch.cat(
        list(Images(photos, ImageTransform(size, augment=True)).in_order(3))
    )  # augmentation is for training alone
    for i in range(4):
        picture = v2.functional.pil_to_tensor(Image.open(photos.root / f"{i}.png"))
        assert torch.allclose(found[i], reference(picture).float() / 127.5 - 1, atol=1e-5)


def test_augmented_files_are_crops_of_the_stretched_picture_half_of_them_mirrored(photos):
    """28 of 32 pixels: 5 x 5 places, each mirrored or not; 200 seeds show nearly all of the 50, and nothing else."""
    picture = v2.functional.pil_to_tensor(Image.open(photos.root / "0.png"))
    resized = v2.functional.resize(picture, [32, 32], antialias=True).float() / 127.5 - 1
    crops = [resized[:, y : y + 28, x : x + 28] for y in range(5) for x in range(5)]
    known = torch.stack([*crops, *(crop.flip(2) for crop in crops)]).flatten(1)  # (50, 3 * 28 * 28)
    seen = next(Images(photos, ImageTransform(28, augment=True)).batches([[(0, seed) for seed in range(200)]])).flatten(
        1
    )
    distance, place = torch.cdist(seen, known).min(1)
    assert distance.max() < 0.02
    assert len(place.unique()) > 40 and 70 < (place >= 25).sum() < 130


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("source", ["photos", "arrays", "enlarged"])
def test_augmented_batches_are_torchvisions_images_bit_for_bit(request, source, keep):
    """Sides are 28 of 32 pixels (files, enlarged arrays), and 16 of 16 with a border of 2."""
    split = (
        _prepared(request.getfixturevalue("photos"), 16) if source != "arrays" else request.getfixturevalue("arrays")
    )
    transform = ImageTransform(None if source == "arrays" else 28, augment=True, from_files=source == "photos")
    crop = [v2.RandomCrop(16, padding=2, padding_mode="reflect")]
    if source != "arrays":
        crop = [v2.Resize([32, 32], antialias=True), v2.RandomCrop(28)]
    after = [v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    reference, items = v2.Compose([*crop, *after]), [(i % 4, 10**30 + i) for i in range(60)]
    found = torch.cat(list(Images(split, transform, keep=keep).batches([items[:25], items[25:]])))
    for image, (row, key) in zip(found, items, strict=True):
        picture = read_image(split.file(row)) if source == "photos" else split.array[row]
        with drawing_from(key):
            expected = reference(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        assert torch.equal(image, expected)


@pytest.mark.parametrize("size", [None, 28])
def test_kept_images_are_those_that_are_read_again(photos, arrays, size):
    split = photos if size else arrays
    again, kept = (torch.cat(list(Images(split, ImageTransform(size), keep=k).in_order(3))) for k in (False, True))
    assert torch.equal(again, kept)


@pytest.mark.parametrize("source", ["photos", "arrays"])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_global_generator_is_touched_whatever_the_workers(request, source, workers):
    view = ImageTransform(28 if source == "photos" else None, augment=True, workers=workers)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list(Images(request.getfixturevalue(source), view).batches([[(0, 1), (1, 2)], [(2, 3)]]))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_endless_items_leave_no_process_behind(photos, workers):
    endless = Images(photos, ImageTransform(28, True, workers)).batches([(i % 4, i)] for i in itertools.count())
    for _ in range(3):
        next(endless)
    assert len(multiprocessing.active_children()) == workers
    endless.close()
    while multiprocessing.active_children():
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_goes_away_between_two_batches_is_named_when_its_turn_comes(photos, workers):
    def items():
        yield [(0, None), (1, None)]
        (photos.root / "2.png").unlink()
        yield [(2, 5), (3, 6)]

    found = Images(photos, ImageTransform(28, True, workers)).batches(items())
    assert next(found).shape == (2, 3, 28, 28)
    with pytest.raises(DDBError) as error:
        next(found)
    assert str(error.value) == f"{photos.root}/2.png: no such file"


def test_batches_arrive_where_shared_memory_has_no_room(arrays):
    """A limit on the size of files holds for shared memory as well, and processes inherit it."""
    expected = list(Images(arrays, ImageTransform(image_size=64)).in_order(4))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(RuntimeError, match="File too large"):
            torch.zeros(10_000).share_memory_()
        found = list(Images(arrays, ImageTransform(image_size=64, workers=2)).in_order(4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [len(batch) for batch in found] == [4, 1] and torch.equal(torch.cat(found), torch.cat(expected))
