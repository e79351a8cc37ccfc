"""Agreements on a real PostgreSQL keep every promise of theirs."""

from __future__ import annotations

import psycopg
import pytest
from tests.contract.agreement_suite import END, RULES, AgreementContract, a_month, an_agreement, earn, signed
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.control.contracts.crediting import credit_due
from suanwang.ports import Store

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresAgreements(AgreementContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def test_the_database_keeps_statements_and_single_versions_by_itself(
    postgres_store: PostgresStore, postgres: str
) -> None:
    signed(postgres_store, an_agreement())
    a_month(postgres_store)
    earn(postgres_store)
    credit_due(postgres_store, RULES, END.replace(hour=23))
    with psycopg.connect(postgres, autocommit=True) as raw:
        for change in ("DELETE FROM agreement_credits", "UPDATE agreement_credits SET value = '{}'"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                raw.execute(change)
        with pytest.raises(psycopg.errors.UniqueViolation):
            raw.execute(
                "INSERT INTO agreements (id, version, project, provider, state, revision, value) "
                "SELECT 'copy', 1, project, provider, state, revision, value FROM agreements"
            )
