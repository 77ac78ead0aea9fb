"""The pages in a real browser, where there is one: no error, nothing from outside, tables sort."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd
import pytest
from conftest import ROOT
from scored_study import make_study, run_all

from study.loading import load_params

AXE = ROOT / "node_modules/axe-core/axe.min.js"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]

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


def ask(
    page: Path, width: int, act: str = "", read: str = "", part: str = "", dark: bool = False
) -> dict:
    """What a page answers to the probe in a frame of a width: a window has a least one."""
    probed = page.with_name(f"probed-{page.name}")
    probe = PROBE.replace("ACT", act).replace("READ", read)
    probed.write_text(page.read_text().replace("</head>", probe + "</head>"))
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<body><iframe src="{probed.name}{escape(part)}" '
        f'style="border:0;width:{width}px;height:900px">'
        "</iframe><script>window.onload = () => setTimeout(() => { document.title = document"
        '.querySelector("iframe").contentDocument.getElementById("answer").textContent; }, 5000);'
        "</script></body>"
    )
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=12000", "--dump-dom"]
    command += [f"--blink-settings=preferredColorScheme={int(not dark)}"]
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
    answer = ask(results / "browse.html", 1600, FILTER, COLUMN.replace("NAME", "slicing"))
    assert answer["errors"] == []
    assert answer["column"] and set(answer["column"]) == {"time-10"}


def test_the_address_keeps_a_filter(results: Path) -> None:
    """What is typed below a column is in the address, and that address shows the same rows."""
    act = """
      const heads = [...document.querySelectorAll("#scores_wrapper thead tr:first-child th")];
      const place = heads.findIndex(head => head.textContent.trim() === "method");
      const inputs = document.querySelectorAll("#scores_wrapper .dt-scroll-foot input");
      inputs[place].value = "rand";
      for (const kind of ["keyup", "change", "input"]) {
        inputs[place].dispatchEvent(new Event(kind, {bubbles: true}));
      }
    """
    read = COLUMN.replace("#cells", "#scores").replace("NAME", "method")
    answer = ask(results / "browse.html", 1600, act, read + "answer.hash = location.hash;")
    assert answer["errors"] == []
    assert set(answer["column"]) == {"random"}
    assert dict(parse_qsl(answer["hash"][1:])) == {"table": "scores", "~method": "rand"}
    again = ask(results / "browse.html", 1600, read=read, part=answer["hash"])
    assert again["column"] == answer["column"]


def test_means_of_the_rows_shown(results: Path) -> None:
    read = """
      answer.means = [...document.querySelectorAll("#means tbody tr")]
        .map(row => [...row.cells].map(cell => cell.textContent));
    """
    part = "#table=scores&task=instrument&slicing=frequency-10"
    answer = ask(results / "browse.html", 1600, read=read, part=part)
    assert answer["errors"] == []
    rows = pd.read_csv(results / "scores.csv")
    rows = rows[(rows["task"] == "instrument") & (rows["slicing"] == "frequency-10")]
    means = rows.groupby("method")["value"].agg(["mean", "size"])
    assert len(means) > 2 and len(answer["means"]) == len(means)
    for method, metric, mean, size in answer["means"]:
        assert metric == "accuracy" and int(size) == means.loc[method, "size"]
        assert float(mean) == pytest.approx(means.loc[method, "mean"], rel=1e-3)


def test_a_score_is_in_sight_in_a_narrow_window(results: Path) -> None:
    read = """
      const cell = document.querySelector("#scores tbody td");
      answer.first = document.querySelector("#scores_wrapper thead th").textContent.trim();
      answer.right = cell.getBoundingClientRect().right;
    """
    answer = ask(results / "browse.html", 400, read=read)
    assert answer["first"] == "value" and 0 < answer["right"] < 400


@pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not here: npm install --no-save axe-core@4.14.1"
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "browse.html", "bad.html"])
def test_a_page_is_accessible(results: Path, name: str, dark: bool) -> None:
    """By every rule of axe, in either colour scheme; a page with faults is seen to have them."""
    page = results / name
    if name == "bad.html":
        page.write_text(
            '<!doctype html><html lang="en"><head><title>Bad</title><meta name="color-scheme" '
            'content="light dark"><style>body { background: light-dark(#fff, #111) } '
            "p { color: light-dark(#ddd, #333) }</style></head><body><main><h1>Bad</h1><p>Pale</p>"
            '<img src="data:,"></main></body></html>'
        )
    audited = results / f"audited-{name}"
    script = AXE.read_text(encoding="utf-8").replace("</script>", "<\\/script>")
    words = page.read_text(encoding="utf-8")
    audited.write_text(words.replace("</head>", f"<script>{script}</script></head>", 1))
    act = 'axe.run({resultTypes: ["violations"]}).then(found => { window.found = found; });'
    read = """
      answer.dark = matchMedia("(prefers-color-scheme: dark)").matches;
      answer.passed = found.passes.length;
      answer.faults = found.violations.flatMap(fault =>
        fault.nodes.map(node => `${fault.id}: ${node.target.join(" ")}`));
    """
    answer = ask(audited, 1400, act, read, dark=dark)
    assert answer["dark"] == dark and answer["passed"] > 5
    if name == "bad.html":
        assert answer["faults"] == ["color-contrast: p", "image-alt: img"]
    else:
        assert answer["faults"] == []


def test_every_link_leads_somewhere(results: Path) -> None:
    for name in ("index.html", "browse.html"):
        words = (results / name).read_text()
        links = set(re.findall(r'<a href="?([^">]+)"?', words))
        assert len(links) > 1 - (name == "browse.html")
        for link in links:
            if link.startswith("#"):
                assert f'id="{link[1:]}"' in words
            elif not link.startswith("https://"):  # a licence, the table library's own
                assert (results / link.partition("#")[0]).is_file(), link


def provenance(results: Path) -> list[tuple[str, str]]:
    """The links of the numbers in the tables, and the numbers."""
    found = re.findall(
        r'<a href="browse.html(#[^"]+)"[^>]*>([^<]+)</a>', (results / "index.html").read_text()
    )
    return [(unescape(link), number) for link, number in found]


def leads_to(results: Path, link: str) -> pd.DataFrame:
    """The rows that a number's link asks for."""
    wanted = dict(parse_qsl(link[1:]))
    rows = pd.read_csv(results / f"{wanted.pop('table')}.csv", dtype=str)
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def test_a_number_is_the_mean_of_the_scores_that_it_leads_to(results: Path) -> None:
    links = provenance(results)
    assert len(links) > 50
    same = 0
    for link, number in links:
        rows = leads_to(results, link)
        assert len(rows), link
        mean = rows["value"].astype(float).mean()
        places = len(number.partition(".")[2])
        same += f"{mean:.{places}f}" == number
    # The others are of the seeds and draws alone that all of a table's rows have, or effects.
    assert same > 0.7 * len(links)


@pytest.mark.parametrize("table", ["scores", "pretext"])
def test_a_number_leads_to_its_scores(results: Path, table: str) -> None:
    """To no others: the browser shows as many as the file has, a page of 25 at most."""
    links = [link for link, _ in provenance(results) if f"table={table}&" in link]
    read = COLUMN.replace("#cells", f"#{table}").replace("NAME", "method")
    fewest = min(links, key=lambda link: len(leads_to(results, link)))
    assert len(leads_to(results, fewest)) < 25
    for link in {links[0], fewest}:
        answer = ask(results / "browse.html", 1600, read=read, part=link)
        rows = leads_to(results, link)
        assert answer["errors"] == []
        assert len(answer["column"]) == min(len(rows), 25)
        assert set(answer["column"]) <= set(rows["method"])
