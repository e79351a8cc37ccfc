"""`python -m suanwang.translation`: bring the Chinese catalogue of errors, reasons and notes up to date."""

from __future__ import annotations

import sys
from pathlib import Path

import suanwang
from suanwang.translation.catalogue import PO, refresh
from suanwang.translation.extraction import Sources

if __name__ == "__main__":
    missing = refresh(Sources(Path(suanwang.__file__).parent).found)
    for message in missing:
        sys.stdout.write(f"{message}\n")
    if missing:
        sys.exit(f"{len(missing)} messages have no Chinese yet: fill their msgstr in {PO}")
