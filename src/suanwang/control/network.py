"""The network's use cases in one place: what entry points call.

Owns nothing but the bundle; `wiring` makes it from concrete parts.
"""

from __future__ import annotations

from collections.abc import Mapping

from suanwang.control.allowances import Allowances
from suanwang.control.artefacts import Artefacts
from suanwang.control.billing.bills import Bills
from suanwang.control.billing.budgets import Budgets
from suanwang.control.billing.disputes import Disputes
from suanwang.control.billing.invoices import Invoices
from suanwang.control.billing.papers import Papers
from suanwang.control.billing.prices import Prices
from suanwang.control.billing.proofs import Proofs
from suanwang.control.billing.traces import Traces
from suanwang.control.billing.vouchers import Vouchers
from suanwang.control.billing.wallets import Wallets
from suanwang.control.billing.watching import MoneyWatch
from suanwang.control.capability import Capabilities
from suanwang.control.contracts.agreements import Agreements
from suanwang.control.contracts.listings import Listings
from suanwang.control.contracts.plans import Plans
from suanwang.control.jobs import Jobs
from suanwang.control.market.approving import Approvals
from suanwang.control.market.ordering import Market
from suanwang.control.market.reserved_jobs import ReservedJobs
from suanwang.control.market.terminating import Terminations
from suanwang.control.overview import Overview
from suanwang.control.people import People
from suanwang.control.quotes import Quotes
from suanwang.control.rules import Rules
from suanwang.control.sites import Sites
from suanwang.control.tick import Decide, Turn, tick
from suanwang.domain.device import Position
from suanwang.domain.job import Place
from suanwang.ports import Clock, Files, Identities, Signer, Store
from suanwang.scheduling.placing import decide


class Network:
    """The use cases, each of which checks who calls; `turn` is the loop's and checks nobody."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        files: Files,
        identities: Identities,
        places: Mapping[str, Position],
        rules: Rules | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.rules = rules or Rules()
        self.places = places
        self._behind: Place | None = None
        self._step = 0
        self._watch = MoneyWatch(store, self.rules)
        self.people = People(store, clock, identities)
        self.allowances = Allowances(store, clock)
        self.sites = Sites(store, clock, self.rules, self.people)
        self.jobs = Jobs(store, clock, identities, places, self.rules)
        self.capabilities = Capabilities(store, clock)
        self.quotes = Quotes(store, clock, identities, self.jobs, places)
        self.bills = Bills(store)
        self.disputes = Disputes(store, clock, self.rules, self.bills)
        self.prices = Prices(store, clock)
        self.plans = Plans(store, clock, self.rules)
        self.wallets = Wallets(store, clock, self.rules)
        self.budgets = Budgets(store, clock)
        self.proofs = Proofs(store, clock, self.rules, signer)
        self.overview = Overview(store, clock, self.wallets, self.proofs)
        self.reserved = ReservedJobs(store, clock, self.jobs)
        self.market = Market(store, clock, self.rules)
        self.approvals = Approvals(store, clock, self.market)
        self.terminations = Terminations(store, clock, self.rules)
        self.vouchers = Vouchers(store, clock)
        self.agreements = Agreements(store, clock)
        self.invoices = Invoices(store, clock)
        self.traces = Traces(store, self.bills, self.wallets)
        self.papers = Papers(store, self.proofs, self.wallets, self.invoices, self.vouchers, self.agreements)
        self.listings = Listings(store, clock, self.rules, files)
        self.artefacts = Artefacts(store, clock, files)

    def turn(self, decide_with: Decide = decide) -> Turn:
        """One turn of the control loop now."""
        turn = tick(self.store, self.rules, self.places, self.clock.now(), decide_with, self._behind, self._step)
        self._behind, self._step = turn.behind, turn.step
        self._watch.look(self.clock.now())
        self.proofs.keep_up()
        return turn
