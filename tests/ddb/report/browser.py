"""What a browser makes of a page: its elements and text as parsed here, or what a script finds in a headless chromium.

Reader(page).text
look(page, "return document.images.length", tmp_path, width=360)
"""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH")
LIMIT = 300  # seconds, which only a hanging browser needs
# Headless windows are at least 500 pixels wide, so the page is in a frame of the wanted width.
FRAME = """<iframe src="page.html" width="{width}" height="800" style="border: 0"></iframe><pre></pre>
<script>
addEventListener("message", (event) => {{ document.querySelector("pre").textContent = event.data; }});
</script>"""
SCRIPT = """<script>const refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
addEventListener("load", async () => {
  const find = async () => { %s };
  const found = await find();
  await new Promise((done) => setTimeout(done, 1000)); // of virtual time, after which refusals are reported
  parent.postMessage(JSON.stringify({found, refused}), "*");
});</script>"""

PICTURES = """
document.querySelectorAll("details").forEach((each) => { each.open = true; });
const page = document.documentElement;
const loaded = [...document.images].map((image) => image.complete && image.naturalWidth > 0);
return [loaded, page.scrollWidth - page.clientWidth, document.title];
"""  # for `look`: whether each picture is there, how far the page scrolls sideways with everything open, and its title


class Reader(HTMLParser):
    """The elements with their attributes, the scripts, and the text of all else."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.hidden, self.scripts = [], [], None, []
        self.feed(page)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.hidden = tag if tag in ("style", "script") else None
        self.words.append("" if tag == "wbr" else " ")

    def handle_endtag(self, tag):
        self.hidden = None
        self.words.append(" ")

    def handle_data(self, data):
        if self.hidden == "script":
            self.scripts.append(data)
        elif not self.hidden:
            self.words.append(data)


def policy_of(page):
    """The Content-Security-Policy of a page that must fetch nothing."""
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "<link" not in page and "@import" not in page and "url(http" not in page
    policies = [values for _, values in Reader(page).elements if values.get("http-equiv") == "Content-Security-Policy"]
    return policies[0]["content"]


def look(page, script, directory, width=1280):
    """What the body `script` of an async function returns in the loaded page, whose policy must have refused nothing.

    The script stands before the policy, which therefore allows it.
    """
    (directory / "page.html").write_text(page.replace("<head>", "<head>" + SCRIPT % script, 1), encoding="utf-8")
    (directory / "frame.html").write_text(FRAME.format(width=width))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'profile'}"]
    command += ["--virtual-time-budget=10000", "--dump-dom", (directory / "frame.html").as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    (answer,) = re.findall(r"<pre>(.+?)</pre>", result.stdout, re.S) or [None]
    assert answer, result.stdout[-500:] + result.stderr[-500:]
    values = json.loads(unescape(answer))
    assert not values["refused"], values["refused"]
    return values["found"]
