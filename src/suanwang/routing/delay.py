"""Delay between two places from their position.

Owns the one rule that turns kilometres into milliseconds. Measured delays, where an agent has them, are better and
replace it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""
ROUTE_FACTOR = 1.4
"""Fibre follows roads and rails: route length over great-circle length. ITU-T E.800-series planning uses 1.25 to 1.5."""
FIBRE_KM_PER_MS = 200.0
"""Light in glass: c / 1.5, rounded."""
EQUIPMENT_MS = 0.2
"""Switching and optical equipment, one way."""


def distance_km(
    latitude: float, longitude: float, latitudes: npt.NDArray[np.float64], longitudes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Great-circle kilometres from one point to `latitudes[s]`, `longitudes[s]` (degrees), by the haversine formula."""
    phi, phis = np.radians(latitude), np.radians(latitudes)
    half = (
        np.sin((phis - phi) / 2) ** 2 + np.cos(phi) * np.cos(phis) * np.sin(np.radians(longitudes - longitude) / 2) ** 2
    )
    arc: npt.NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return arc


def one_way_ms(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One-way network delay in milliseconds over `distance[s]` kilometres of great circle.

    The circles of the national plan (1, 5 and 20 ms) are one-way figures: the hubs' guideline asks for an end-to-end
    one-way delay within 20 ms.
    """
    return EQUIPMENT_MS + distance * (ROUTE_FACTOR / FIBRE_KM_PER_MS)
