"""The practitioner's answer as one HTML page: is there a shortcut, and which training images break it?

    Path("audit.html").write_text(render_audit(audit), encoding="utf-8")

The page is one file that needs no network and runs no script; its policy forbids both, so that nothing in a file name
can bring them in. Images are embedded losslessly as they are given: large ones should be scaled down before.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ddb.report.page import fill

SMALL = 96  # pixels; images below are shown enlarged, with their pixels as squares


@dataclass(frozen=True)
class Example:
    """One training image of the list."""

    path: str
    score: float  # the loss of the source in nats
    predicted: str  # the class that the source of signals finds most likely
    image: np.ndarray  # (H, W, 3) uint8
    suggestion: str = ""  # what to do about it; empty in pixels
    views: str = ""  # what the suggestion rests on


@dataclass(frozen=True)
class ClassAudit:
    """What was found in one class."""

    name: str
    images: int
    conflicting: int  # flagged by the source
    typical: list[np.ndarray]  # synthetic or training images, (H, W, 3) uint8 each
    breaking: list[Example]  # in any order; the page shows the highest scores first

    @property
    def share(self) -> float | None:
        """Share of the images that are marked; None where there are no images."""
        return self.conflicting / self.images if self.images else None


@dataclass(frozen=True)
class Audit:
    """All that the page says."""

    dataset: str
    verdict: Literal["shortcut", "none", "unclear"]
    reason: str  # the numbers behind the verdict, in sentences
    classes: list[ClassAudit]
    precision: float | None  # of the marked images against bias labels; None where there are none
    recall: float | None
    provenance: dict[str, str]
    notes: list[str]
    synthetic: bool = True  # whether the typical images are synthetic
    opinions: bool = False  # whether there are suggestions

    @property
    def images(self) -> int:
        """Training images of all classes."""
        return sum(part.images for part in self.classes)

    @property
    def conflicting(self) -> int:
        """Marked images of all classes."""
        return sum(part.conflicting for part in self.classes)

    @property
    def share(self) -> float | None:
        """Share of the images that are marked; None where there are no images."""
        return self.conflicting / self.images if self.images else None


@dataclass(frozen=True)
class Wording:
    """How the page speaks under one verdict: only a shortcut allows it to call the marked images conflicting."""

    title: str
    meaning: str
    marked: str  # after the number of marked images
    share: str
    typical: str  # heading of the synthetic images
    breaking: str  # heading of the list
    caution: str  # below that heading; may be empty


WORDINGS = {
    "shortcut": Wording(
        title="Shortcut found",
        meaning=(
            "Most images of a class seem to share something that a classifier can learn instead of the class. "
            "The images listed below seem to lack it."
        ),
        marked="conflicting (estimate)",
        share="estimated share of conflicting images",
        typical="What the shortcut looks like",
        breaking="Images that break it",
        caution="",
    ),
    "none": Wording(
        title="No shortcut found",
        meaning=(
            "A gain that would matter is ruled out on the flagged images. That is no proof that there "
            "is no shortcut: one that every image of a class takes part in leaves no image that would give it away."
        ),
        marked="flagged",
        share="share of flagged images",
        typical="What the model associates with the class",
        breaking="Hardest images",
        caution="Without a shortcut, these are merely the hardest images.",
    ),
    "unclear": Wording(
        title="Not enough evidence",
        meaning=(
            "These images do not let the method tell whether a classifier learns a shortcut. What follows is there to "
            "be looked at; it does not support a conclusion."
        ),
        marked="candidates",
        share="share of candidates",
        typical="What the model associates with the class",
        breaking="Candidates",
        caution="If there is a shortcut, these might break it; they might as well just be hard.",
    ),
}


def render_audit(audit: Audit) -> str:
    """The page as text that can be written as UTF-8. Raises KeyError for a verdict that is not in WORDINGS."""
    filters = {"percent": _percent, "count": "{:,}".format, "small": _small}
    return fill("audit.html.j2", filters, audit=audit, words=WORDINGS[audit.verdict])


def _percent(share: float | None) -> str:
    """One decimal; a dash for None; a share that would round to zero does not claim to be zero."""
    if share is None:
        return "–"
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def _small(image: np.ndarray) -> bool:
    return max(image.shape[:2]) < SMALL
