"""The application: routes, errors, limits and metrics put together around a network.

Owns the order of things. Other entry points (the web pages) include their routers into what `create_app` returns.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from suanwang.api import describing, errors, metrics
from suanwang.api.errors import ErrorPage
from suanwang.api.metrics import Metrics
from suanwang.api.routes import (
    agents,
    agreements,
    bills,
    catalogue,
    disputes,
    files,
    invoices,
    jobs,
    ledger,
    listings,
    market,
    people,
    prices,
    quotes,
    sites,
    terminations,
    twin,
    vouchers,
)
from suanwang.api.routes import network as whole
from suanwang.api.streams import StreamLimits, Streams
from suanwang.api.watching import Watching
from suanwang.api.work import WorkReader
from suanwang.client import (
    agreement_models,
    dispute_models,
    ledger_models,
    listing_models,
    market_models,
    models,
    price_models,
    termination_models,
    twin_models,
    voucher_models,
)
from suanwang.control.network import Network
from suanwang.twin.laboratory import Laboratory

_TAGS = [
    {"name": "jobs", "description": "Submit work, see where it runs and why, read its output"},
    {"name": "quotes", "description": "How much is needed, what is offered for it, what finished runs taught"},
    {"name": "sites", "description": "Join computing centres and keep them"},
    {"name": "bills", "description": "What was used and what it costs"},
    {"name": "vouchers", "description": "Vouchers: budgets, issuing, choosing, and what became of them"},
    {"name": "agreements", "description": "Terms that both sides sign, service levels, and credits for those missed"},
    {"name": "disputes", "description": "What parties of a bill line say against it, and what was decided"},
    {"name": "ledger", "description": "Accounts, transfers, signed checkpoints and proofs"},
    {"name": "market", "description": "Offers, orders, rights to capacity, calls and prices"},
    {"name": "listings", "description": "Algorithms, models and data sets for sale, copies and uses of them"},
    {"name": "people", "description": "Callers, tokens, projects"},
    {"name": "files", "description": "Files of projects, by name and by content"},
    {"name": "agents", "description": "What a site's agent says and hears"},
    {"name": "twin", "description": "Experiments on a virtual clock, beside the live network"},
    {"name": "network", "description": "The record, health, the task file's schema"},
]


def create_app(
    network: Network,
    *,
    metrics_of: Metrics | None = None,
    stream_limits: StreamLimits | None = None,
    error_page: ErrorPage | None = None,
    laboratory: Laboratory | None = None,
) -> FastAPI:
    """The API of `network` under `/v1`, and `/metrics`.

    `error_page` may turn a problem into a page where a person asked. `app.state` has `network`, `metrics` (the control
    loop reports its turns there) and `streams` (`streams.close()` lets a server stop without waiting for listeners).
    Without a `laboratory` no experiment can be started.
    """
    app = FastAPI(
        title="Suanwang 算网",
        version=_version(),
        description="One computing-power network: submit work once, and it runs where it fits best.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
    )
    app.state.network = network
    app.state.metrics = metrics_of or Metrics(CollectorRegistry(), network)
    app.state.streams = Streams(network, stream_limits)
    app.state.laboratory = laboratory or Laboratory(None, network.clock.now)
    errors.install(app, error_page)
    for part in (
        jobs,
        quotes,
        catalogue,
        sites,
        prices,
        bills,
        invoices,
        ledger,
        vouchers,
        agreements,
        disputes,
        market,
        terminations,
        listings,
        people,
        files,
        agents,
        twin,
        whole,
    ):
        app.include_router(part.router)
    app.include_router(metrics.router)
    describing.install(
        app,
        asked=(
            *(models.NewJobs, models.NewToken, models.NewProject, models.NewAllowance, models.NewFile),
            *(
                market_models.NewOffer,
                market_models.NewOrder,
                termination_models.NewTerms,
                termination_models.NewCancellation,
                termination_models.NewReclaim,
                termination_models.NewGuarantee,
                ledger_models.NewTopUp,
                ledger_models.NewLimit,
                ledger_models.NewSpendingBudget,
                models.NewLabels,
                listing_models.NewListing,
                listing_models.NewCopy,
                listing_models.Withdrawal,
                price_models.NewPlan,
                voucher_models.NewBudget,
                voucher_models.NewVoucher,
                voucher_models.NewRedemption,
                agreement_models.NewAgreement,
                agreement_models.NewPartyKey,
                agreement_models.NewSignature,
                dispute_models.NewDispute,
                dispute_models.NewStatement,
                dispute_models.NewDecision,
                twin_models.NewExperiment,
            ),
        ),
        strict=(sites.NEW_SITE, sites.OFFERING, prices.NEW_PRICE_LIST, agents.REQUEST, WorkReader()),
        told=(models.LogView, models.StateView),
    )
    app.add_middleware(Watching, metrics=app.state.metrics)
    return app


def _version() -> str:
    try:
        return version("suanwang")
    except PackageNotFoundError:
        return "0"
