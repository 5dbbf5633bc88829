"""The audit's page: wording follows the verdict, names inject nothing, pictures are whole, a browser shows it all."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ddb.report.audit_page import Audit, ClassAudit, Example, render_audit

VERDICTS = {"shortcut": "Sign of a shortcut", "none": "No sign of a shortcut", "unclear": "Not enough evidence"}
EVIL = "\"><script>alert('1')</script>&.png"


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
        "reason": "The amplifier misclassifies 7 of 50 validation images.",
        "classes": classes,
        "precision": None,
        "recall": None,
        "provenance": {"commit": "abc123"},
        "notes": ["val: held out by us"],
    }
    return Audit(**(values | changes))


class Reader(HTMLParser):
    """The elements with their attributes, and the text, as a browser takes them from a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_it_says_what_was_found():
    page = render_audit(audit())
    texts = ("Sign of a shortcut", "7 of 50 validation images", "2.0%", "pets", "abc123", "val: held out by us")
    for text in (*texts, "does not rule out that the flagged images are a rare kind"):
        assert text in page
    places = [page.index(f"dog/{i}.png") for i in (3, 2, 1)]
    assert places == sorted(places)  # the highest score first


def test_the_table_counts_each_class_and_all():
    text = Reader(render_audit(audit())).text
    assert "class training images conflicting (estimate) share cat 90 0 0.0% dog 60 3 5.0% all 150 3 2.0%" in text
    classes = [ClassAudit("one in many", 1_234_567, 1, [], []), ClassAudit("nothing", 0, 0, [], [])]
    text = Reader(render_audit(audit(classes=classes))).text
    assert "one in many 1,234,567 1 <0.1% nothing 0 0 – all 1,234,567 1 <0.1%" in text


def test_each_image_of_the_list_has_its_score_class_and_path():
    text = Reader(render_audit(audit())).text
    assert "taken for cat score 3.00 dog/ 3.png" in text  # which may start a new line after the slash
    assert "3 shown, the highest score first" in text
    more = dataclasses.replace(audit().classes[1], conflicting=40)
    assert "3 of 40 shown" in Reader(render_audit(audit(classes=[more]))).text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_is_the_heading(verdict):
    page = render_audit(audit(verdict=verdict))
    assert re.findall(r"<h1>(.*?)</h1>", page) == [VERDICTS[verdict]]
    assert f"<title>pets: {VERDICTS[verdict]}</title>" in page


@pytest.mark.parametrize("verdict", ["none", "unclear"])
def test_only_a_shortcut_has_images_that_conflict(verdict):
    text = Reader(render_audit(audit(verdict=verdict))).text.partition("Class by class")[2]
    assert "conflicting" not in text and "What the shortcut looks like" not in text and "that break it" not in text


def test_a_class_without_images_says_so():
    text = Reader(render_audit(audit(classes=[ClassAudit("cat", 90, 0, [], [])]))).text
    assert "There are no synthetic images of this class." in text
    assert "No image of this class is on the list." in text and "shown, the highest" not in text
    assert "Notes" not in Reader(render_audit(audit(notes=[]))).text


def test_without_a_sign_no_image_is_called_conflicting():
    page = render_audit(audit(verdict="none"))
    assert "No sign of a shortcut" in page and "merely the images that the amplifier finds hardest" in page
    assert "Images that break it" not in page and "Sign of a shortcut" not in page
    assert "Not enough evidence" in render_audit(audit(verdict="unclear"))


def test_precision_and_recall_are_absent_or_there():
    assert "recall" not in render_audit(audit()).lower()
    known = render_audit(audit(precision=0.875, recall=0.5)).lower()
    assert "87.5%" in known and "50.0%" in known and "recall" in known


def test_names_inject_nothing():
    evil = ClassAudit(EVIL, 1, 1, [picture(0)], [Example(EVIL, 1.0, EVIL, picture(0))])
    page = render_audit(audit(classes=[evil], dataset=EVIL, reason=EVIL, notes=[EVIL], provenance={EVIL: EVIL}))
    assert "<script" not in page.lower() and "&lt;script&gt;" in page

    tame = ClassAudit("x", 1, 1, [picture(0)], [Example("x/x.png", 1.0, "y", picture(0))])
    tame = Reader(render_audit(audit(classes=[tame], dataset="x", reason="x", notes=["x"], provenance={"x": "x"})))
    read = Reader(page)
    assert [(tag, list(values)) for tag, values in read.elements] == [(tag, list(v)) for tag, v in tame.elements]
    alts = [values["alt"] for tag, values in read.elements if tag == "img"]
    assert alts == [f"Synthetic image 1 of class {EVIL}", f"Training image {EVIL} of class {EVIL}"]


def test_a_file_name_that_is_not_utf_8_can_be_written(tmp_path):
    example = Example("caf\udce9.png", 1.0, "cat", picture(0))
    page = render_audit(audit(classes=[ClassAudit("dog", 1, 1, [], [example])]))
    assert "caf\\udce9.png" in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")


def test_the_page_needs_no_network():
    page = render_audit(audit())
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "<link" not in page and "@import" not in page and "url(http" not in page
    policy = next(v["content"] for tag, v in Reader(page).elements if v.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src" not in policy


def test_pictures_are_embedded_without_loss():
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", render_audit(audit()))
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]
    expected = [picture(v) for v in (200, 100, 110, 30, 20, 10)]
    assert len(images) == 6 and all(np.array_equal(a, b) for a, b in zip(images, expected, strict=True))


def test_small_pictures_show_their_pixels():
    large = Example("large.png", 1.0, "cat", np.zeros((120, 160, 3), np.uint8))
    page = render_audit(audit(classes=[ClassAudit("dog", 1, 1, [picture(0)], [large])]))
    images = [values for tag, values in Reader(page).elements if tag == "img"]
    assert [image.get("class") for image in images] == ["small", None]
    assert [(image["width"], image["height"]) for image in images] == [("8", "8"), ("160", "120")]


def test_text_stands_out_in_light_and_dark():
    style = render_audit(audit()).partition("</style>")[0]
    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    schemes = [colors for colors in schemes if colors]
    assert len(schemes) == 2
    for colors in schemes:
        for name in ("ink", "soft", "typical", "breaking"):
            assert contrast(colors[name], colors["paper"]) >= 4.5  # WCAG 2 AA


def contrast(a, b):
    """The ratio of WCAG 2, 1 to 21."""

    def luminance(color):
        values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


MEASURE = """<pre id="measured"></pre><script>window.onload = () => {
const images = [...document.images], page = document.documentElement;
document.getElementById("measured").textContent =
  `images ${images.filter(i => i.naturalWidth > 0).length} of ${images.length}` +
  ` overflow ${page.scrollWidth - page.clientWidth} width ${window.innerWidth} ${document.title}`; }</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on PATH")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_every_picture_without_scrolling_sideways(tmp_path, width):
    example = audit()
    shown = Example("averylongname" * 12, 1.0, "averylongname" * 6, np.zeros((160, 90, 3), np.uint8))
    evil = "<img src=x onerror=\"document.title='injected'\">"
    long = dataclasses.replace(
        example.classes[1], name="averylongname" * 6, breaking=[*example.classes[1].breaking, shown]
    )
    classes = [example.classes[0], long, ClassAudit(evil, 1, 1, [], [])]
    page = render_audit(dataclasses.replace(example, classes=classes, provenance={"k" * 80: "v" * 200}))
    page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)  # it forbids the measuring script
    (tmp_path / "page.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    # Headless windows are no narrower than 500 pixels, so the page is measured in a frame of the width.
    frame = f'<iframe id="f" src="page.html" width="{width}" height="800" style="border: 0"></iframe>'
    wait = (
        "<script>window.onload = () => { document.title = 'x'; const d = document.getElementById('f').contentDocument;"
    )
    show = "const p = document.createElement('p'); p.textContent = d.getElementById('measured').textContent;"
    (tmp_path / "frame.html").write_text(f"{frame}{wait}{show} document.body.append(p); }}</script>")
    command += ["--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom", f"{tmp_path}/frame.html"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    expected = f"images 7 of 7 overflow 0 width {width} pets: Sign of a shortcut"
    assert expected in result.stdout, result.stdout[-500:] + result.stderr[-500:]
