"""The store on PostgreSQL, assembled from its groups of queries.

Owns the whole of `ports.Store` on one database, and the choice between a server somewhere and the embedded one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from suanwang.adapters.store.agreements import AgreementStore
from suanwang.adapters.store.allowances import Allowances
from suanwang.adapters.store.budgets import BudgetStore
from suanwang.adapters.store.charging import Charging
from suanwang.adapters.store.database import Database
from suanwang.adapters.store.disputes import DisputeStore
from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.file_records import FileRecords
from suanwang.adapters.store.job_reads import JobReads
from suanwang.adapters.store.job_writes import JobWrites
from suanwang.adapters.store.keeping import Keeper
from suanwang.adapters.store.lease_holds import LeaseHolds
from suanwang.adapters.store.ledger import LedgerStore
from suanwang.adapters.store.listings import ListingStore
from suanwang.adapters.store.market import MarketStore
from suanwang.adapters.store.migrate import upgrade
from suanwang.adapters.store.outbox import Outbox
from suanwang.adapters.store.output import Output
from suanwang.adapters.store.overview import OverviewStore
from suanwang.adapters.store.people import People
from suanwang.adapters.store.plans import PlanStore
from suanwang.adapters.store.quoting import Quoting
from suanwang.adapters.store.record import Record
from suanwang.adapters.store.settling import Settling
from suanwang.adapters.store.sites import Sites
from suanwang.adapters.store.tree import Tree
from suanwang.adapters.store.vouchers import VoucherStore


class PostgresStore(
    JobWrites,
    JobReads,
    Sites,
    Output,
    Record,
    FileRecords,
    People,
    Allowances,
    Quoting,
    LedgerStore,
    LeaseHolds,
    BudgetStore,
    Settling,
    Tree,
    MarketStore,
    PlanStore,
    VoucherStore,
    AgreementStore,
    DisputeStore,
    ListingStore,
    Charging,
    OverviewStore,
    Outbox,
):
    """Implements `ports.Store`. Safe for many threads; several processes may share one database."""

    def __init__(self, database: Database, *, server: EmbeddedPostgres | None = None) -> None:
        """`server`, where there is one, is kept alive meanwhile and left when the store is closed."""
        self._database = database
        self._server = server
        self._keeper = None if server is None else Keeper(server)
        if self._keeper is not None:
            self._keeper.start()

    def turn(self, name: str) -> AbstractContextManager[bool]:
        return self._database.turn(name)

    def close(self) -> None:
        """Give up all connections, and the embedded server where this was its last user. Idempotent."""
        if self._keeper is not None:
            self._keeper.stop()
        self._database.close()
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(url: str | None, folder: Path, *, max_connections: int = 10) -> PostgresStore:
    """The store at `url`, or the embedded server's in `folder` where `url` is None, migrated to this version.

    Raises `Unavailable` where the server does not answer or cannot be started, `InvalidRequest` where `url` is none.
    """
    server = None if url is not None else EmbeddedPostgres(folder)
    try:
        address = server.start() if server is not None else url
        assert address is not None, "either a url was given or a server started"
        upgrade(address)
        return PostgresStore(Database(address, max_connections=max_connections), server=server)
    except BaseException:
        if server is not None:
            server.stop()
        raise
