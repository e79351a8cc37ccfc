"""Azure's language-model requests of November 2023: time, context tokens, generated tokens.

Schema after https://github.com/Azure/AzurePublicDataset (CC-BY-4.0; Patel et al., ISCA 2024).
"""

from __future__ import annotations

from pathlib import Path

from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.demand import Demand
from suanwang.twin.traces.source import open_source
from suanwang.twin.traces.table import read_csv

NEEDS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOST_TOKENS = 1e8


def read(
    path: Path | str, *, member: str | None = None, zone: str | None = "UTC", demand: Demand | None = None
) -> Trace:
    """Run time and devices follow from the tokens by `demand`."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    at = table.instants("TIMESTAMP", zone=zone)
    prompt, generated = (table.numbers(name, most=MOST_TOKENS) for name in ("ContextTokens", "GeneratedTokens"))
    run_ms, devices = (demand or Demand()).of(prompt, generated)
    first = int(at.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="Azure/AzurePublicDataset, LLM inference 2023, CC-BY-4.0; run times and devices are modelled",
        submit_ms=at.unix_ms - first,
        run_ms=run_ms,
        devices=devices,
        epoch_ms=first,
        left_out=at.notes(),
    )
