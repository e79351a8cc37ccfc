"""The catalogue (算力度量): accelerators, server processors, and the places the programme names, each figure with its source.

Owns what is printed about things, and their names. Knows nothing of what a site measured, sells or runs.
"""

from suanwang.catalog.devices import (
    accelerator,
    accelerators,
    accelerators_named,
    processor,
    processors,
    references,
)

__all__ = ["accelerator", "accelerators", "accelerators_named", "processor", "processors", "references"]
