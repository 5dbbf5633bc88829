"""The audit's page: wording follows the verdict, names inject nothing, pictures are whole, and a browser shows them."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from ddb.report.audit_page import Audit, ClassAudit, Example, render_audit
from tests.ddb.report.browser import PICTURES, Reader, look, needs_browser, policy_of

EVIL = "\"><script>alert('1')</script>&caf\udce9.png"  # not UTF-8 either


def picture(value):
    image = np.full((8, 8, 3), value, np.uint8)
    image[0, 0] = (1, 2, 3)
    return image


def audit(**changes):
    shown = [Example(f"dog/{i}.png", float(i), "cat", picture(10 * i)) for i in (1, 3, 2)]
    classes = [
        ClassAudit("cat", 90, 0, [picture(200)], []),
        ClassAudit("dog", 60, 3, [picture(100), picture(110)], shown),
    ]
    values = {
        "dataset": "pets",
        "verdict": "shortcut",
        "reason": "The source of signals flags 7 of 50 validation images.",
        "classes": classes,
        "precision": None,
        "recall": None,
        "provenance": {"commit": "abc123"},
        "notes": ["val: held out by us"],
    }
    return Audit(**(values | changes))


def text_of(**changes):
    return Reader(render_audit(audit(**changes))).text


def test_the_page_has_the_verdict_the_counts_and_every_listed_image():
    text = text_of()
    assert "7 of 50 validation images" in text and "commit abc123" in text and "Notes val: held out by us" in text
    assert "class training images conflicting (estimate) share cat 90 0 0.0% dog 60 3 5.0% all 150 3 2.0%" in text
    assert "3 shown, the highest loss first" in text
    places = [text.index(f"predicted cat loss {i}.00 dog/{i}.png") for i in (3, 2, 1)]
    assert places == sorted(places)
    assert "recall" not in text.lower()
    assert "87.5%" in text_of(precision=0.875, recall=0.5) and "recall of the flags" in text_of(recall=0.5)


def test_suggestions_and_what_they_rest_on_are_shown_with_each_image():
    views = "a second source agrees; 10% of its neighbours have its label; a debiased model predicts cat"
    examples = [Example("dog/1.png", 1.0, "cat", picture(1), "check the label", views)]
    part = ClassAudit("dog", 9, 1, [picture(2)], examples)
    text = text_of(classes=[part], synthetic=False, opinions=True)
    assert f"check the label predicted cat loss 1.00 {views} dog/1.png" in text
    assert "The most typical training images" in text and "diffusion" not in text and "Suggestions" in text
    assert "Suggestions" not in text_of() and "diffusion" in text_of()


def test_a_class_without_images_and_a_tiny_share():
    more = dataclasses.replace(audit().classes[1], conflicting=40)
    text = text_of(classes=[ClassAudit("one in many", 1_234_567, 1, [], []), ClassAudit("nothing", 0, 0, [], []), more])
    assert "one in many 1,234,567 1 <0.1% nothing 0 0 – dog 60 40 66.7% all 1,234,627 41 <0.1%" in text
    assert "There are no images of this class." in text and "No image of this class is on the list." in text
    assert "3 of 40 shown" in text
    assert "Notes" not in text_of(notes=[])


@pytest.mark.parametrize(
    ("verdict", "title", "list_title"),
    [
        ("shortcut", "Shortcut found", "Images that break it"),
        ("none", "No shortcut found", "Hardest images Without a shortcut, these are merely the hardest images"),
        ("unclear", "Not enough evidence", "Candidates If there is a shortcut, these might break it"),
    ],
)
def test_only_a_shortcut_has_images_that_conflict(verdict, title, list_title):
    page = render_audit(audit(verdict=verdict))
    assert re.findall(r"<h1>(.*?)</h1>", page) == [title] and f"<title>pets: {title}</title>" in page
    classes = Reader(page).text.partition("Class by class")[2]
    assert list_title in classes
    for words in ("conflicting", "What the shortcut looks like", "that break it"):
        assert (words in classes) == (verdict == "shortcut"), words


def test_names_inject_nothing_and_can_be_written(tmp_path):
    evil = ClassAudit(EVIL, 1, 1, [picture(0)], [Example(EVIL, 1.0, EVIL, picture(0))])
    page = render_audit(audit(classes=[evil], dataset=EVIL, reason=EVIL, notes=[EVIL], provenance={EVIL: EVIL}))
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert "<script" not in page.lower() and "&lt;script&gt;" in page
    read, name = Reader(page), EVIL.replace("\udce9", "\\udce9")
    assert not [key for _, values in read.elements for key in values if key.startswith("on")]
    alts = [values["alt"] for tag, values in read.elements if tag == "img"]
    assert alts == [f"Typical image 1 of class {name}", f"Training image {name} of class {name}"]
    assert read.text.count(name) >= 10


def test_the_page_runs_nothing_and_has_its_pictures_without_loss():
    page = render_audit(audit())
    policy = policy_of(page)
    assert "default-src 'none'" in policy and "script-src" not in policy
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]
    expected = [picture(v) for v in (200, 100, 110, 30, 20, 10)]
    assert len(images) == 6 and all(np.array_equal(a, b) for a, b in zip(images, expected, strict=True))


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_every_picture_without_scrolling_sideways(tmp_path, width):
    long, evil = "averylongname" * 12, "<img src=x onerror=\"document.title='injected'\">"
    shown = Example(long, 1.0, long, np.zeros((160, 90, 3), np.uint8))
    classes = [*audit().classes, ClassAudit(long, 1, 1, [], [shown]), ClassAudit(evil, 1, 1, [], [])]
    page = render_audit(audit(classes=classes, provenance={"k" * 80: "v" * 200}))
    loaded, overflow, title = look(page, PICTURES, tmp_path, width)
    assert loaded == [True] * 7 and overflow == 0 and title == "pets: Shortcut found"
