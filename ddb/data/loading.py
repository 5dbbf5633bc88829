"""From a split to the batches that a classifier sees: arrays as they are, or images at another size, augmented or not.

    transform = ImageTransform(image_size=224, augment=True, workers=4)
    for images in batches(split, rows, transform): ...         # (B, 3, S, S) float32 in [-1, 1]

Files are read by worker processes through torchvision's v2 transforms: stretched to 256/224 of the size, then cropped
to it, at the centre or, augmented, at random with a random mirror (the field's transform for these benchmarks). Without
`from_files` the prepared arrays, at the CDPM's resolution, are enlarged in their place: so the Bias Amplifier sees real
images as it saw synthetic ones. Without an `image_size` the prepared arrays are used as they are; augmented, they are
mirrored and shifted by up to an eighth. The random choices for an image follow from the key that comes with it, so
neither the number of workers nor a restart changes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddb.data.dataset import Split
from ddb.data.images import read_image
from ddb.errors import DDBError
from ddb.lazy import Tensor, lazy, np, torch
from ddb.randomness import drawing_from

if TYPE_CHECKING:
    from torchvision.transforms import v2
else:
    v2 = lazy("torchvision.transforms.v2")

MARGIN = 256 / 224  # resized to this multiple of the size, then cropped
Items = list[tuple[int, int | None]]  # (row, key of the augmentation's random numbers; None: no augmentation)


@dataclass(frozen=True)
class ImageTransform:
    """How a classifier sees images."""

    image_size: int | None = None  # pixels; None: the prepared arrays as they are
    augment: bool = False
    workers: int = 0  # processes that read and transform; 0: this one
    from_files: bool = True  # images at `image_size` come from their files, where there are any; else from the arrays

    @property
    def plain(self) -> bool:
        """Whether batches are slices of the array, with nothing to do for single images."""
        return self.image_size is None and not self.augment


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], laid out channels last as it came; (N, D) as it is."""
    if images.ndim == 2:
        return torch.from_numpy(images)  # (N, D) float32
    tensor = torch.from_numpy(np.array(images))  # (N, H, W, 3) uint8, a copy: a mapped file is not ours to write
    return tensor.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def batches(split: Split, items: Iterable[Items], transform: ImageTransform) -> Iterator[Tensor]:
    """One (B, 3, S, S) float32 batch for each list of items, in order. `items` may be endless.

    Raises DDBError that names the file where one can no longer be read.
    """
    if transform.plain:
        for rows in items:
            yield to_tensor(split.array[[row for row, _ in rows]])
        return
    dataset: Any = _Images(split, transform)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=_Once(items),
        num_workers=transform.workers,
        collate_fn=_stack,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    for batch in loader:
        if isinstance(batch, DDBError):
            raise batch
        yield torch.as_tensor(batch)


def in_order(split: Split, transform: ImageTransform, batch_size: int) -> Iterator[Tensor]:
    """Every image of `split` once, without augmentation."""
    starts = range(0, len(split), batch_size)
    rows: Iterator[Items] = (
        [(row, None) for row in range(start, min(start + batch_size, len(split)))] for start in starts
    )
    return batches(split, rows, replace(transform, augment=False))


def at_once(split: Split, rows: Tensor, transform: ImageTransform) -> Tensor:
    """The prepared arrays of `rows` (B,) without augmentation, (B, 3, S, S) float32, made where `rows` lies.

    Equal to what `in_order` gives for them with a transform that is not `from_files`.
    """
    images = split.array[rows.cpu().numpy()]  # (B, H, W, 3) uint8
    if transform.image_size is None:
        return to_tensor(images).to(rows.device)
    return _Images(split, transform).plain(torch.from_numpy(images).to(rows.device).permute(0, 3, 1, 2))


class _Once:
    """Batches of items as DataLoader wants them: an iterable without a length."""

    def __init__(self, items: Iterable[Items]):
        self.items = items

    def __iter__(self) -> Iterator[Items]:
        return iter(self.items)


class _Images:
    """Single images: (3, S, S) float32 in [-1, 1], or the error that names a broken file."""

    def __init__(self, split: Split, transform: ImageTransform):
        self.split, self.from_files = (
            split,
            transform.from_files and transform.image_size is not None and split.root is not None,
        )
        size = transform.image_size or split.array.shape[1]
        if transform.image_size is None:
            before = []
            crop = v2.RandomCrop(size, padding=size // 8, padding_mode="reflect")
        else:
            before = [v2.Resize([round(size * MARGIN)] * 2, antialias=True)]
            crop = v2.RandomCrop(size)
        after = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
        self.augmented = v2.Compose([*before, crop, v2.RandomHorizontalFlip(), *after])
        self.plain = v2.Compose([*before, v2.CenterCrop(size), *after])

    def __getitem__(self, item: tuple[int, int | None]) -> Tensor | DDBError:
        row, key = item
        try:
            image = self._picture(row)  # (3, H, W) uint8
        except DDBError as error:
            return error
        if key is None:
            return self.plain(image)
        with drawing_from(key):
            return self.augmented(image)

    def _picture(self, row: int) -> Tensor:
        picture = read_image(self.split.file(row)) if self.from_files else self.split.array[row]
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _stack(items: list) -> Tensor | np.ndarray | DDBError:
    """A batch; or the first error, handed to the main process as it is: one line, without a worker's traceback.

    A worker hands tensors over in shared memory, and arrays through a pipe, which takes longer and needs no room. Where
    there is no room, PyTorch would drop the batch, and the main process would wait for it for ever.
    """
    error = next((item for item in items if isinstance(item, DDBError)), None)
    if error is not None:
        return error
    batch = torch.stack(items)
    if torch.utils.data.get_worker_info() is None:
        return batch
    try:
        return batch.share_memory_()
    except RuntimeError:  # /dev/shm is full
        return batch.numpy()
