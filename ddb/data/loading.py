"""From a split to the batches that a classifier sees: arrays as they are, or images at another size, augmented or not.

    images = Images(split, ImageTransform(image_size=224, augment=True, workers=4), "cuda")
    for batch in images.batches(items): ...         # (B, 3, S, S) float32 in [-1, 1]

Files are read and stretched to 256/224 of the size by worker processes. The rest happens for a whole batch on the
device, which is given uint8: a crop to the size, at the centre or, augmented, at random with a random mirror (the
field's transform for these benchmarks). A GPU reads a data set that fits into its memory once and keeps it. Without
`from_files` the prepared arrays, at the CDPM's resolution, are enlarged in their place: so the Bias Amplifier sees real
images as it saw synthetic ones. Without an `image_size` the prepared arrays are used as they are; augmented, they are
mirrored and shifted by up to an eighth. The random choices for an image follow from the key that comes with it, so
neither the number of workers, the device nor a restart changes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddb.data.dataset import Split
from ddb.data.images import read_image
from ddb.errors import DDBError
from ddb.lazy import Tensor, lazy, np, torch
from ddb.randomness import generator_of

if TYPE_CHECKING:
    from torchvision.transforms.v2 import functional
else:
    functional = lazy("torchvision.transforms.v2.functional")

MARGIN = 256 / 224  # resized to this multiple of the size, then cropped
KEPT = 4 * 2**30  # bytes of a data set that a GPU keeps; a larger one is read again in every epoch
Items = list[tuple[int, int | None]]  # (row, key of the augmentation's random numbers; None: no augmentation)


@dataclass(frozen=True)
class ImageTransform:
    """How a classifier sees images."""

    image_size: int | None = None  # pixels; None: the prepared arrays as they are
    augment: bool = False
    workers: int = 0  # processes that read and resize; 0: this one
    from_files: bool = True  # images at `image_size` come from their files, where there are any; else from the arrays


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], laid out channels last as it came; (N, D) as it is."""
    return _to_range(_tensor(images))


def move(tensor: Tensor, device: Any) -> Tensor:
    """A tensor on the device; a GPU goes on computing meanwhile, which needs pinned memory."""
    return tensor if torch.device(device).type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


class Images:
    """The images of a split as a classifier sees them, in batches on its device.

    `keep`: hold all of them there as uint8; None: on a GPU, where they take at most KEPT bytes.
    """

    def __init__(self, split: Split, transform: ImageTransform, device: str = "cpu", keep: bool | None = None):
        self.split, self.device, self.size = split, device, transform.image_size
        self._workers, self._reader, self._kept = transform.workers, _Reader(split, transform), None
        if keep is None:
            keep = torch.device(device).type != "cpu" and len(split) * self._bytes() <= KEPT
        if keep:
            rows = (list(range(start, min(start + 256, len(split)))) for start in range(0, len(split), 256))
            self._kept = torch.cat([move(each, device) for each in self._read(rows)])  # (N, 3, R, R) uint8

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, items: Iterable[Items]) -> Iterator[Tensor]:
        """One (B, 3, S, S) float32 batch for each list of items, in order. `items` may be endless.

        Raises DDBError that names the file where one can no longer be read.
        """
        keys: deque[list[int | None]] = deque()  # of the batches that are being read

        def rows() -> Iterator[list[int]]:
            for each in items:
                keys.append([key for _, key in each])
                yield [row for row, _ in each]

        if self._kept is None:
            read = (move(images, self.device) for images in self._read(rows()))
        else:
            kept = self._kept
            read = (kept[move(torch.tensor(each), self.device)] for each in rows())
        for images in read:
            yield self._finish(images, keys.popleft())

    def in_order(self, batch_size: int) -> Iterator[Tensor]:
        """Every image once, without augmentation."""
        rows = (range(start, min(start + batch_size, len(self))) for start in range(0, len(self), batch_size))
        return self.batches([(row, None) for row in each] for each in rows)

    def rows(self, rows: Tensor) -> Tensor:
        """The images `rows` (B,) without augmentation: what `in_order` gives for them."""
        if self._kept is not None:
            return self._finish(self._kept[rows], [None])
        return next(self.batches([[(row, None) for row in rows.tolist()]]))

    def _bytes(self) -> int:
        """Of one image as it is kept."""
        return 3 * side_of(self.size) ** 2 if self.size else self.split.array[0].nbytes

    def _read(self, rows: Iterable[list[int]]) -> Iterator[Tensor]:
        """Batches (B, 3, R, R) uint8, or features (B, D), in main memory."""
        if self.size is None:
            yield from (_tensor(self.split.array[each]) for each in rows)
            return
        dataset: Any = self._reader
        loader = torch.utils.data.DataLoader(
            dataset,
            batch_sampler=_Once(rows),
            num_workers=self._workers,
            collate_fn=_stack,
            generator=torch.Generator(),  # else it would draw from the global one
        )
        for batch in loader:
            if isinstance(batch, DDBError):
                raise batch
            yield torch.as_tensor(batch)

    def _finish(self, images: Tensor, keys: list[int | None]) -> Tensor:
        """(B, 3, R, R) uint8 and a key for each image, or None for all, to (B, 3, S, S) float32."""
        if images.ndim == 2:
            return images
        drawn = [key for key in keys if key is not None]
        if not drawn:
            return unaugmented(images, self.size)
        size = self.size or images.shape[2]
        border = size // 8 if self.size is None else 0
        room = images.shape[2] + 2 * border - size
        places = move(torch.tensor([_place(key, room) for key in drawn]), self.device)  # (B, 3)
        return _normalised(_crop(images, places, size, border))


def unaugmented(images: Tensor, size: int | None) -> Tensor:
    """(B, 3, R, R) uint8 to float32 in [-1, 1]: as they are, or cropped at the centre to `size` pixels."""
    return _to_range(images) if size is None else _normalised(functional.center_crop(images, [size, size]))


def stretched(image: Tensor, size: int) -> Tensor:
    """(3, H, W) uint8 to (3, R, R), from which `size` pixels are cropped."""
    return functional.resize(image, [side_of(size)] * 2, antialias=True)


def side_of(size: int) -> int:
    """R, the pixels of an image of which `size` are kept."""
    return round(size * MARGIN)


def _normalised(images: Tensor) -> Tensor:
    return images.float().mul_(1 / 255).sub_(0.5).div_(0.5)


def _tensor(images: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(images))  # a copy: a mapped file is not ours to write
    return tensor if images.ndim == 2 else tensor.permute(0, 3, 1, 2)  # (N, D) float32, or (N, 3, H, W) uint8


def _to_range(images: Tensor) -> Tensor:
    return images if images.ndim == 2 else images.float().div_(127.5).sub_(1)


def _place(key: int, room: int) -> tuple[int, int, bool]:
    """Top, left (0 to `room`), mirrored or not: the numbers that torchvision's RandomCrop and mirror draw."""
    generator = generator_of(key)
    top, left = (int(torch.randint(0, room + 1, (), generator=generator)) if room else 0 for _ in range(2))
    return top, left, bool(torch.rand(1, generator=generator) < 0.5)


def _crop(images: Tensor, places: Tensor, size: int, border: int) -> Tensor:
    """Crops (B, 3, size, size) at `places` (B, 3) of images (B, 3, R, R) with a reflected border."""
    number, last, mirrored = torch.arange(size, device=images.device), images.shape[2] - 1, places[:, 2:]  # (S,)
    across = torch.where(mirrored.bool(), size - 1 - number, number)  # (B, S)
    y, x = places[:, :1] + number - border, places[:, 1:2] + across - border  # (B, S) each, may lie outside
    y, x = (last - (last - each.abs()).abs() for each in (y, x))
    batch = torch.arange(len(images), device=images.device)
    found = images.permute(0, 2, 3, 1)[batch[:, None, None], y[:, :, None], x[:, None, :]]  # (B, S, S, 3)
    return found.permute(0, 3, 1, 2)


class _Once:
    """Batches of rows as DataLoader wants them: an iterable without a length."""

    def __init__(self, rows: Iterable[list[int]]):
        self.rows = rows

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)


class _Reader:
    """Single images before they are cropped, (3, R, R) uint8, or the error that names a broken file."""

    def __init__(self, split: Split, transform: ImageTransform):
        self.split, self.size = split, transform.image_size or 0
        self.from_files = transform.from_files and split.root is not None

    def __getitem__(self, row: int) -> Tensor | DDBError:
        try:
            picture = read_image(self.split.file(row)) if self.from_files else self.split.array[row]
        except DDBError as error:
            return error
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, H, W)
        return stretched(image, self.size)


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
