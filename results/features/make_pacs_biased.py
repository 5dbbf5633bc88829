"""Select pacs_biased from PACS: four animals, each tied to a style.

    python results/features/make_pacs_biased.py PACS pacs_biased

PACS has a folder per style and in it one per class. Of each class and style, 25 images are for testing and 10 for
validation. Of the rest, 150 go to the training images if the style is the class's own, and 3 otherwise. Images are
resized to 160 pixels. File names end in the numbers of class and style, as in the field's other align/conflict trees.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("dog", "elephant", "horse", "giraffe")
STYLES = ("photo", "art_painting", "cartoon", "sketch")  # the style at a class's position is its own
TEST, VALIDATION, ALIGNED, CONFLICTING = 25, 10, 150, 3
PIXELS = 160


def main() -> None:
    """Write the tree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pacs", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    random, number = np.random.default_rng(0), 0
    for label, name in enumerate(CLASSES):
        for bias, style in enumerate(STYLES):
            files = random.permutation(sorted(str(each) for each in (arguments.pacs / style / name).iterdir()))
            own = label == bias
            train = f"train/{'align' if own else 'conflict'}/{label}"
            ends = np.cumsum([TEST, VALIDATION, ALIGNED if own else CONFLICTING])
            for folder, some in zip(("test", "valid", train), np.split(files, ends)[:3], strict=True):
                (arguments.output / folder).mkdir(parents=True, exist_ok=True)
                for file in some:
                    picture = Image.open(file).convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
                    picture.save(arguments.output / folder / f"{number:04d}_{label}_{bias}.jpg", quality=92)
                    number += 1
    print(f"{number} images")


if __name__ == "__main__":
    main()
