"""Vouchers on a real PostgreSQL keep every promise of theirs."""

from __future__ import annotations

import psycopg
import pytest
from tests.contract.voucher_hold_suite import VoucherHoldContract
from tests.contract.voucher_suite import VoucherContract, a_voucher, issue
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Store

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresVouchers(VoucherContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


class TestPostgresVoucherHolds(VoucherHoldContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def test_the_database_keeps_a_jobs_first_voucher_by_itself(postgres_store: PostgresStore, postgres: str) -> None:
    issue(postgres_store, a_voucher())
    with psycopg.connect(postgres, autocommit=True) as raw:
        raw.execute("INSERT INTO voucher_jobs (job_id, voucher_id, at) VALUES ('j', 'v1', now())")
        with pytest.raises(psycopg.errors.UniqueViolation):
            raw.execute("INSERT INTO voucher_jobs (job_id, voucher_id, at) VALUES ('j', 'v2', now())")
        for change in ("DELETE FROM voucher_jobs", "UPDATE voucher_jobs SET voucher_id = 'v2'"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                raw.execute(change)
