"""Writing the report beside the results it was made from."""

from __future__ import annotations

from pathlib import Path

from suanwang.twin.report.page import page
from suanwang.twin.report.reading import read
from suanwang.twin.report.summarising import write_summary

FILE = "report.html"


def write_report(folder: Path) -> Path:
    """Write `report.html` and `summary.json` into an experiment's folder; a reader never sees half of them.

    Raises `InvalidRequest` where the folder holds no results that can be read.
    """
    results = read(folder)
    write_summary(folder, results)
    text = page(results)
    target, fresh = folder / FILE, folder / f".{FILE}"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(target)
    return target
