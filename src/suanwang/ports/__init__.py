"""Every Protocol the product's loops need. Concrete classes stand behind them in `adapters`, `sensing` and `twin`."""

from __future__ import annotations

from suanwang.ports.agents import Connector, Files, Link
from suanwang.ports.budgets import Budgets
from suanwang.ports.ledger import Audit, Charged, Claim, Fault, HeldLease, Ledger, OpenLine, Stray
from suanwang.ports.market import Deal, Dealt, Market, OfferQuery, Stock, TerminationQuery, TradeQuery, Turn
from suanwang.ports.outside import Clock, Identities, Signer
from suanwang.ports.overview import Flow, Overview, SiteDay, TrailQuery
from suanwang.ports.store import BillQuery, BillTotal, Extent, Idempotency, JobQuery, Lately, Notice, Store
from suanwang.ports.trade import Agreements, Disputes, ListingQuery, Listings, PartyKey, Traces, Vouchers

__all__ = [
    "Agreements",
    "Audit",
    "BillQuery",
    "BillTotal",
    "Budgets",
    "Charged",
    "Claim",
    "Clock",
    "Connector",
    "Deal",
    "Dealt",
    "Disputes",
    "Extent",
    "Fault",
    "Files",
    "Flow",
    "HeldLease",
    "Idempotency",
    "Identities",
    "JobQuery",
    "Lately",
    "Ledger",
    "Link",
    "ListingQuery",
    "Listings",
    "Market",
    "Notice",
    "OfferQuery",
    "OpenLine",
    "Overview",
    "PartyKey",
    "Signer",
    "SiteDay",
    "Stock",
    "Store",
    "Stray",
    "TerminationQuery",
    "Traces",
    "TradeQuery",
    "TrailQuery",
    "Turn",
    "Vouchers",
]
