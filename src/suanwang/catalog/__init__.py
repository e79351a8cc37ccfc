"""The catalogue (算力度量): accelerators, processors and the places of the programme, each figure with its source.

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
from suanwang.catalog.geography import (
    centres,
    clusters,
    geography_references,
    grid_factor,
    grid_factors,
    hubs,
    place,
    places,
    provinces,
)
from suanwang.catalog.tariffs import tariff_area, tariff_areas

__all__ = [
    "accelerator",
    "accelerators",
    "accelerators_named",
    "centres",
    "clusters",
    "geography_references",
    "grid_factor",
    "grid_factors",
    "hubs",
    "place",
    "places",
    "processor",
    "processors",
    "provinces",
    "references",
    "tariff_area",
    "tariff_areas",
]
