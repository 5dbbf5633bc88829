"""ImageNet-9 in the meaning of ReBias (Bahng et al., ICML 2020), tested on ImageNet-A.

    train/<wnid>/*.JPEG and val/<wnid>/*.JPEG of ILSVRC 2012, imagenet-a/<wnid>/*.jpg

Nine super-classes over 42 ILSVRC classes; no bias labels; the metric is the average accuracy on those classes of
ImageNet-A. Not to be mixed up with the "backgrounds challenge" (Xiao et al.), another nine classes of the same name.
"""

from pathlib import Path
from typing import Literal

from ddb.data.dataset import BiasedDataset, Split
from ddb.data.files import FilesConfig, folders, images, listed
from ddb.errors import DDBError

WNIDS = {  # super-class -> ILSVRC classes
    "dog": ("n02085620", "n02099601", "n02106550", "n02106662", "n02110958"),
    "cat": ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075"),
    "frog": ("n01641577", "n01644373", "n01644900"),
    "turtle": ("n01664065", "n01665541", "n01667114", "n01667778", "n01669191"),
    "bird": ("n01819313", "n01820546", "n01833805", "n01843383", "n01847000"),
    "monkey": ("n02486410", "n02487347", "n02488291", "n02488702", "n02492035"),
    "fish": ("n02607072", "n02640242", "n02641379", "n02643566", "n02655020"),
    "crab": ("n01978287", "n01978455", "n01980166", "n01981276"),
    "insect": ("n02174001", "n02177972", "n02190166", "n02206856", "n02219486"),
}
PLACES = ("imagenet9",)
PUBLISHED = {"train": None, "val": 2_100}  # train has about 54,600; val 50 of each of the 42 classes


class ImageNet9Config(FilesConfig):
    """Settings of ImageNet-9."""

    name: Literal["imagenet9"] = "imagenet9"
    test: str = "imagenet-a"


def index(config: ImageNet9Config, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the folder that is missing."""
    splits = {name: _read(root / name, root, every=True) for name in ("train", "val")}
    # ImageNet-A has 200 of the 1,000 classes, so some of the 42 are not in it.
    splits["test"] = _read(root / config.test, root, every=False)
    return BiasedDataset("imagenet9", tuple(WNIDS), {}, splits)


def _read(directory: Path, root: Path, every: bool) -> Split:
    folders(directory)  # raises where there is no such folder
    labels = {}
    for label, wnids in enumerate(WNIDS.values()):
        for wnid in wnids:
            if (directory / wnid).is_dir():
                labels |= dict.fromkeys(images(directory / wnid, root), label)
            elif every:
                raise DDBError(f"{directory / wnid}: no such folder")
    return listed(root, [*labels], [*labels.values()])
