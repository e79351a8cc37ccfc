"""Fits the training rule on the published runs and writes it into the package.

python benchmarks/published_runs/refit.py            # writes src/suanwang/measuring/data/training_rule.json
python benchmarks/published_runs/refit.py --check    # says whether the shipped rule is the fitted one
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.published_runs.published import judged, runs

from suanwang.measuring.efficiency import rule_to_plain, training_rule
from suanwang.measuring.regression import Rule, fit

TARGET = Path(__file__).parents[2] / "src" / "suanwang" / "measuring" / "data" / "training_rule.json"
TOLERANCE = 1e-6


def fitted() -> Rule:
    """The rule on all judged runs."""
    known = judged(runs())
    return fit([run.conditions for run in known], [run.efficiency for run in known])


def same(one: Rule, other: Rule) -> bool:
    """Whether two rules agree within rounding."""
    pairs = zip(
        (*one.coefficients, one.half_width, one.mean_leverage, *one.least, *one.most),
        (*other.coefficients, other.half_width, other.mean_leverage, *other.least, *other.most),
        strict=True,
    )
    return all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in pairs)


def main() -> int:
    rule = fitted()
    if "--check" in sys.argv[1:]:
        agrees = same(rule, training_rule())
        print("the shipped rule is the fitted one" if agrees else "the shipped rule differs: run refit.py")
        return 0 if agrees else 1
    TARGET.write_text(json.dumps(rule_to_plain(rule), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
