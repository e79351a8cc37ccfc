"""What every store promises, as one suite that the one in memory and PostgreSQL's pass.

Owns the promises. It must not know any database: a test file subclasses `StoreContract` and gives it a fixture named
`store`.
"""

from __future__ import annotations

from tests.contract.store_jobs import AddingJobs, Applying, Leasing, ReadingJobs
from tests.contract.store_records import (
    KeepingAllowances,
    KeepingFiles,
    KeepingOutput,
    KeepingPeople,
    KeepingSites,
    KeepingTheRecord,
    TellingOutside,
)


class StoreContract(
    AddingJobs,
    ReadingJobs,
    Applying,
    Leasing,
    KeepingSites,
    KeepingOutput,
    KeepingTheRecord,
    KeepingFiles,
    KeepingPeople,
    KeepingAllowances,
    TellingOutside,
):
    """Everything. The fixture `store` gives an empty one."""
