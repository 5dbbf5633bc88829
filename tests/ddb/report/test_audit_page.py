"""The audit's page: wording follows the verdict, names inject nothing, pictures are whole, a browser shows it all."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from ddb.report.audit_page import Audit, ClassAudit, Example, render_audit

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


def test_it_says_what_was_found():
    page = render_audit(audit())
    for text in ("Sign of a shortcut", "7 of 50 validation images", "2.0%", "pets", "abc123", "val: held out by us"):
        assert text in page
    places = [page.index(f"dog/{i}.png") for i in (3, 2, 1)]
    assert places == sorted(places)  # the highest score first


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
    assert not re.search(r"=\"[^\"]*\"><script", page)


def test_the_page_needs_no_network():
    page = render_audit(audit())
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "<link" not in page and "@import" not in page and "url(http" not in page


def test_pictures_are_embedded_without_loss():
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", render_audit(audit()))
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]
    expected = [picture(v) for v in (200, 100, 110, 30, 20, 10)]
    assert len(images) == 6 and all(any(np.array_equal(a, b) for b in images) for a in expected)


MEASURE = """<pre id="measured"></pre><script>window.onload = () => {
document.getElementById("measured").textContent = "images " + [...document.images].every(i => i.naturalWidth > 0) +
" overflow " + (document.documentElement.scrollWidth > window.innerWidth); }</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on PATH")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_every_picture_without_scrolling_sideways(tmp_path, width):
    example = audit()
    long = dataclasses.replace(example.classes[1], name="a-very-long-class-name-" * 6)
    page = render_audit(dataclasses.replace(example, classes=[example.classes[0], long]))
    page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)  # it forbids the measuring script
    (tmp_path / "page.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    # Headless windows are no narrower than 500 pixels, so the page is measured in a frame of the width.
    frame = f'<iframe id="f" src="page.html" width="{width}" height="800"></iframe>'
    wait = (
        "<script>window.onload = () => { document.title = 'x'; const d = document.getElementById('f').contentDocument;"
    )
    show = "const p = document.createElement('p'); p.textContent = d.getElementById('measured').textContent;"
    (tmp_path / "frame.html").write_text(f"{frame}{wait}{show} document.body.append(p); }}</script>")
    command += ["--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom", f"{tmp_path}/frame.html"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "images true overflow false" in result.stdout, result.stdout[-500:] + result.stderr[-500:]
