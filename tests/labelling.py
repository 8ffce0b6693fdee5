"""Labels as an annotator exports them from a page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path


def export(trial: Path, folder: Path) -> int:
    """Label every response of a trial's page by whether a gold answer is in it; return how many."""
    page = (trial / "labels/page.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    folder.mkdir(exist_ok=True)
    path = folder / f"{data['name']}.ann.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sample", "id", "verdict", "annotator", "labelled_at"])
        for each in data["responses"]:
            right = any(answer in each["response"] for answer in each["answers"])
            verdict = "correct" if right else "incorrect"
            rows.writerow([data["sample"], each["id"], verdict, "ann", "2026-05-01"])
    return len(data["responses"])
