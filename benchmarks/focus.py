"""The verdict of the FinOps Foundation's own validator on an export.

    python -m benchmarks.focus march.csv --python /path/to/focus/bin/python

Owns which rules of its model nothing can keep. The validator (`focus-validator`, 2.2.1) wants Python 3.12 and NumPy 1, so it
lives in an environment of its own: `python3.12 -m venv focus && focus/bin/pip install focus-validator==2.2.1`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

CRITERIA = (
    *("ACCOUNT_NAMING_SUPPORTED", "AVAILABILITY_ZONE_SUPPORTED", "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED"),
    *("NEGOTIATED_PRICING_SUPPORTED", "PUBLIC_PRICE_LIST_SUPPORTED", "REGION_SUPPORTED"),
    *(
        "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
        "TAGGING_SUPPORTED",
        "UNIT_PRICING_SUPPORTED",
        "USAGE_MEASUREMENT_SUPPORTED",
    ),
)
"""What the network has, in the validator's words."""
UNKEEPABLE = {
    "BilledCost-C-005-C": "the cost is 0 where a third party is paid: the model asks it of every row",
    "BilledCost-C-000-M": "has the rule above in it",
    "InvoiceId-C-004-C": "the invoice is null where there is none: the model asks it of every row",
}
"""Rules whose condition model 1.2.0.1 says in words alone, so that the validator holds every row to them."""
_FAILED = re.compile(r"^- ([A-Za-z]+-[A-Z]-\d{3}-[A-Z]): ", re.MULTILINE)
_TOTAL = re.compile(r"^Total: (\d+) \| Pass: (\d+) \| Fail: (\d+) \| Skipped: (\d+)", re.MULTILINE)


def verdict(export: Path, python: str) -> tuple[str, set[str]]:
    """The validator's sum, and the rules it says are broken. Raises `RuntimeError` where it gives no verdict."""
    done = subprocess.run(
        [
            *(python, "-m", "focus_validator.main", "--data-file", str(export.resolve()), "--validate-version", "1.2"),
            *("--block-download", "--focus-dataset", "CostAndUsage", "--show-violations"),
            *("--applicability-criteria", ",".join(CRITERIA)),
        ],
        capture_output=True,
        text=True,
        check=False,
        # It opens its list of currencies by a path relative to where it is installed.
        cwd=_home(python),
    )
    total = _TOTAL.search(done.stdout)
    if total is None:
        raise RuntimeError(f"no verdict: {(done.stdout + done.stderr)[-2000:]}")
    return total[0], set(_FAILED.findall(done.stdout))


def _home(python: str) -> Path:
    where = "import focus_validator, pathlib; print(pathlib.Path(focus_validator.__file__).parents[1])"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path, help="what `suanwang bill export --format focus` wrote")
    parser.add_argument("--python", required=True, help="the interpreter that has focus-validator")
    asked = parser.parse_args()
    total, failed = verdict(asked.export, asked.python)
    print(total)
    for rule in sorted(failed):
        print(f"{rule}: {UNKEEPABLE.get(rule, 'BROKEN')}")
    return 1 if failed - UNKEEPABLE.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
