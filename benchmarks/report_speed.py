"""How heavy a trial's report is, how long it takes to write, and how quickly it answers.

Run it from the repository's root: ``python benchmarks/report_speed.py``. It makes up a trial of
20,000 items under two arms (five questions share a passage of about 120 words, answers of some 20
words) and measures the writing of its report, in a process of its own; then, in headless Chromium,
the time to the first contentful paint, the time until the item explorer answers, and how long it
takes to search and filter.

Beside it stands the same page with the same items as plain JSON, parsed and prepared for search as
soon as its script runs, which is what the page did before.
"""

from __future__ import annotations

import argparse
import base64
import json
import platform
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

from selenium import webdriver

from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium, unpacked  # noqa: E402 - the tests' helpers lie in a folder
from conftest import find_program  # noqa: E402
from report_files import trial_arguments, write_trial  # noqa: E402 - likewise

WORDS_OF_A_PASSAGE, WORDS_OF_AN_ANSWER = 120, 20

PLAIN = """
const data = JSON.parse(document.getElementById("items-data").textContent);
const requests = JSON.parse(document.getElementById("requests-data").textContent);
const texts = new Map(data.items.map((item) => [item, [
  item.key, item.question, ...item.answers,
  ...Object.values(item.arms).flatMap((arms) =>
    Object.values(arms).flatMap((each) => each.samples.map((sample) => sample[1]))),
].join("\\n").toLowerCase()]));
for (const item of data.items.slice(0, 50)) {
  const row = document.createElement("li");
  row.append(item.question);
  document.getElementById("list").append(row);
}
document.getElementById("explorer").hidden = false;
document.getElementById("explorer").dataset.ready = "";
"""

WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#explorer[data-ready]")) return;
  window.readyAt = performance.now();
  observer.disconnect();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
"""

# Until the list and the item are laid out anew.
FILTER = """
const [name, value] = arguments;
const control = document.querySelector(`#filters [name=${name}]`);
const start = performance.now();
control.value = value;
control.dispatchEvent(new Event(name === "search" ? "input" : "change"));
document.getElementById("detail").offsetHeight;
return performance.now() - start;
"""

FILTERS = (
    ("search", "p"),
    ("search", "pe"),
    ("search", "person 199"),
    ("search", "lyon bremen"),
    ("search", "no such text anywhere"),
    ("search", ""),
    ("after", "abstained"),
    ("pair", "correct:only_control"),
    ("either", "failed"),
    ("either", ""),
    ("pair", ""),
    ("after", ""),
    ("sort", "f1"),
    ("sort", "latency"),
    ("sort", "data"),
)


class Vocabulary:
    """Made-up words, as unevenly frequent as those of a language."""

    def __init__(self, draw: random.Random) -> None:
        syllables = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "ou")]
        self.draw = draw
        self.words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(30_000)]
        self.weights = [1 / rank for rank in range(1, len(self.words) + 1)]

    def text(self, n: int) -> str:
        """``n`` words."""
        return " ".join(self.draw.choices(self.words, self.weights, k=n)).capitalize() + "."


def make_trial(folder: Path, n_items: int) -> None:
    """Write the files of a trial as heavy as a real one."""
    draw = random.Random(1)
    vocabulary = Vocabulary(draw)
    write_trial(
        folder,
        n=n_items,
        tasks=("open_book",),
        passages=[vocabulary.text(WORDS_OF_A_PASSAGE) for _ in range(n_items // 5 + 1)],
    )
    for path in sorted((folder / "raw").glob("*.jsonl")):
        lines = [
            line
            if line.error is not None
            else line.model_copy(
                update={
                    "response_text": f"{line.response_text} {vocabulary.text(WORDS_OF_AN_ANSWER)}",
                    "request_id": f"chatcmpl-{uuid.UUID(int=draw.getrandbits(128))}",
                    "latency_s": round(draw.lognormvariate(0, 0.5), 6),
                }
            )
            for line in read_jsonl(path, RawLine)
        ]
        write_jsonl(path, lines)


def write_report(folder: Path) -> tuple[float, float]:
    """Write the report in a process of its own; its seconds and its peak memory in MB."""
    start = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "workflow_scripts.report.trial"),
            *trial_arguments(folder, "report.html"),
        ],
        cwd=ROOT,
        check=True,
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return seconds, peak / (1e6 if platform.system() == "Darwin" else 1e3)


def write_plain(page: Path, plain: Path) -> None:
    """The same page with its items as plain JSON, and a script that parses them at once."""
    html = page.read_text(encoding="utf-8")
    html = re.sub(r"<meta http-equiv=[^>]*>", "", html)

    def as_json(block: re.Match[str]) -> str:
        text = zlib.decompress(base64.b64decode(block[2])).decode()
        return f"{block[1]}{text.replace('<', chr(92) + 'u003c')}</script>"

    html = re.sub(r'(<script type="text/plain" id="[^"]*">)([^<]*)</script>', as_json, html)
    html = html.replace("</body>", f"<script>{PLAIN}</script></body>")
    script = re.compile(r"<script>[^<]*// The item explorer.*?</script>", re.DOTALL)
    html, n = script.subn("", html)
    if n != 1:
        raise SystemExit("the explorer's script is not where this benchmark looks for it")
    plain.write_text(html, encoding="utf-8")


def loaded(browser: webdriver.Chrome, page: Path) -> dict[str, float]:
    """Open a page; seconds to its first contentful paint and until its explorer answers."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    unpacked(browser)
    script = """return [
        performance.getEntriesByName("first-contentful-paint")[0].startTime, window.readyAt]"""
    paint, ready = browser.execute_script(script)
    return {"first paint": paint / 1e3, "explorer answers": ready / 1e3}


def main() -> None:
    """Print what was measured, with ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--loads", type=int, default=5, help="how often each page is opened")
    parser.add_argument("--keep", type=Path, help="keep trial and pages in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        make_trial(folder, arguments.items)
        seconds, peak = write_report(folder)
        page, plain = folder / "report.html", folder / "plain.html"
        write_plain(page, plain)
        print(f"{arguments.items:,} items, 2 arms")
        print(f"writing: {seconds:.1f} s, at most {peak:,.0f} MB of memory")
        sizes = {path: path.stat().st_size / 1e6 for path in (page, plain)}
        print(f"size: {sizes[page]:.1f} MB; as plain JSON {sizes[plain]:.1f} MB", end="")
        print(f" ({sizes[plain] / sizes[page]:.1f} times as much)")
        with chromium(find_program) as browser:
            watch: dict[str, Any] = {"source": WATCH}
            browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", watch)
            loads = {
                path: [loaded(browser, path) for _ in range(arguments.loads)]
                for path in (plain, page)
            }
            for what in loads[page][0]:
                new, old = (
                    statistics.median(load[what] for load in loads[path]) for path in (page, plain)
                )
                print(f"{what}: {new:.2f} s; plain JSON {old:.2f} s ({old / new:.1f} times)")
            times = [
                (browser.execute_script(FILTER, name, value), name, value)
                for _ in range(3)
                for name, value in FILTERS
            ]
        for what, of_kind in (
            ("search", [each for each in times if each[1] == "search"]),
            ("filter and sort", [each for each in times if each[1] != "search"]),
        ):
            slowest = max(of_kind)
            median = statistics.median(each[0] for each in of_kind)
            print(f"{what}: median {median:.0f} ms, slowest {json.dumps(slowest[1:])}", end="")
            print(f" {slowest[0]:.0f} ms")


if __name__ == "__main__":
    main()
