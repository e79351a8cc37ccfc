"""Writes RESULTS.md: the estimate judged on published runs, each predicted by a rule fitted without it.

python benchmarks/published_runs/evaluate.py           # prints the verdict and writes RESULTS.md
python benchmarks/published_runs/evaluate.py --check   # the same, and exits with 1 where a target is missed
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.published_runs.judging import report
from benchmarks.published_runs.published import runs

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> int:
    text, holds = report(runs())
    RESULTS.write_text(text, encoding="utf-8")
    print("\n".join(text.splitlines()[6:12]))
    print("all targets hold" if holds else "a target is missed")
    return 0 if holds or "--check" not in sys.argv[1:] else 1


if __name__ == "__main__":
    sys.exit(main())
