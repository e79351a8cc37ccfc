"""Identifiers, one type each. They are minted at the edges and carried as values."""

from __future__ import annotations

from typing import NewType

JobId = NewType("JobId", str)
SiteId = NewType("SiteId", str)
AllocationId = NewType("AllocationId", str)
ProjectId = NewType("ProjectId", str)
"""A project's own short name, such as `demo`."""
