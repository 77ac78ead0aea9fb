"""The pages in a real browser, where there is one: no error, nothing from outside, tables sort."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_results import make_study, run_all

from stages.params import load_params

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

# What a page is asked in the browser; the answer is put where --dump-dom shows it.
PROBE = """
<script>
const errors = [];
window.addEventListener("error", event => errors.push(event.message || String(event.target)), true);
window.addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
window.addEventListener("load", () => {
setTimeout(() => { ACT }, 1500);
setTimeout(() => {
  const answer = {errors, width: document.documentElement.scrollWidth,
    asked: performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:") && !name.startsWith("blob:"))};
  READ
  const said = document.createElement("pre");
  said.id = "answer"; said.textContent = JSON.stringify(answer);
  document.body.append(said);
}, 3000); });
</script>
"""
SORT = """
  const head = [...document.querySelectorAll("#cells_wrapper thead th")]
    .find(head => head.textContent.trim() === "mean");
  (head.querySelector("[role=button]") || head).click();
"""
FILTER = """
  const search = document.querySelector("#cells_wrapper input[type=search]");
  search.value = "time-10"; search.dispatchEvent(new Event("input", {bubbles: true}));
"""
COLUMN = """
  const heads = [...document.querySelectorAll("#cells_wrapper thead tr:first-child th")];
  const place = heads.findIndex(head => head.textContent.trim() === "NAME");
  answer.column = [...document.querySelectorAll("#cells tbody tr")]
    .map(row => row.cells[place].textContent);
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    params = make_study(tmp_path_factory.mktemp("browsed"), ablation=True)
    run_all(params)
    return load_params(params).layout.results


def ask(page: Path, width: int, act: str = "", read: str = "") -> dict:
    """What a page answers to the probe in a frame of a width: a window has a least one."""
    probed = page.with_name(f"probed-{page.name}")
    probe = PROBE.replace("ACT", act).replace("READ", read)
    probed.write_text(page.read_text().replace("</head>", probe + "</head>"))
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<body><iframe src="{probed.name}" style="border:0;width:{width}px;height:900px">'
        "</iframe><script>window.onload = () => setTimeout(() => { document.title = document"
        '.querySelector("iframe").contentDocument.getElementById("answer").textContent; }, 5000);'
        "</script></body>"
    )
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=12000", "--dump-dom"]
    done = subprocess.run(
        [*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    text = found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    return json.loads(text.replace("&amp;", "&"))


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("name", ["index.html", "browse.html"])
def test_a_page_is_as_wide_as_the_screen_and_has_no_errors(
    results: Path, name: str, width: int
) -> None:
    answer = ask(results / name, width)
    assert answer["errors"] == []
    assert answer["asked"] == []
    assert answer["width"] <= width


def test_scores_sort(results: Path) -> None:
    answer = ask(results / "browse.html", 1600, SORT, COLUMN.replace("NAME", "mean"))
    assert answer["errors"] == []
    values = [float(text) for text in answer["column"]]
    assert len(values) == 25 and values == sorted(values)


def test_scores_filter(results: Path) -> None:
    answer = ask(results / "browse.html", 1600, FILTER, COLUMN.replace("NAME", "view"))
    assert answer["errors"] == []
    assert answer["column"] and set(answer["column"]) == {"time-10"}


def test_every_link_leads_somewhere(results: Path) -> None:
    for name in ("index.html", "browse.html"):
        words = (results / name).read_text()
        links = set(re.findall(r'<a href="?([^">]+)"?', words))
        assert len(links) > 1 - (name == "browse.html")
        for link in links:
            if link.startswith("#"):
                assert f'id="{link[1:]}"' in words
            elif not link.startswith("https://"):  # a licence, the table library's own
                assert (results / link).is_file(), link
