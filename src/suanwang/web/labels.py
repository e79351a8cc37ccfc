"""Words for what the network says in codes: states, events, reasons.

Owns their English, which is what the catalogues translate. Knows no page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from suanwang import translation
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.pricing import Kind
from suanwang.domain.sample import Source
from suanwang.domain.tariff import Tier
from suanwang.domain.task import Priority

Translate = Callable[[str], str]


def N_(message: str) -> str:
    """Mark for the catalogue; translated where it is shown."""
    return message


JOB_STATES: Mapping[JobState, str] = {
    JobState.WAITING: N_("waiting for another job"),
    JobState.QUEUED: N_("queued"),
    JobState.LEASED: N_("starting"),
    JobState.RUNNING: N_("running"),
    JobState.CANCELLING: N_("being cancelled"),
    JobState.SUCCEEDED: N_("succeeded"),
    JobState.FAILED: N_("failed"),
    JobState.CANCELLED: N_("cancelled"),
    JobState.REFUSED: N_("refused"),
}
SITE_STATES: Mapping[SiteState, str] = {
    SiteState.INVITED: N_("not connected yet"),
    SiteState.REACHABLE: N_("connected"),
    SiteState.SUSPECT: N_("silent"),
    SiteState.LOST: N_("lost"),
}
DISCOUNTS: Mapping[Kind, str] = {
    Kind.PLAN: N_("plan"),
    Kind.BRAND: N_("device brand"),
    Kind.CUSTOMER: N_("customer"),
    Kind.PROMOTION: N_("promotion"),
    Kind.VOLUME: N_("volume"),
}

TIERS: Mapping[Tier, str] = {
    Tier.SHARP: N_("sharp peak"),
    Tier.PEAK: N_("peak"),
    Tier.FLAT: N_("flat hours"),
    Tier.VALLEY: N_("valley"),
    Tier.DEEP: N_("deep valley"),
}
EVENTS: Mapping[str, str] = {
    "job.accepted": N_("Accepted"),
    "job.refused": N_("Refused: no site of the network can run it"),
    "job.ready": N_("Ready: all that it needs has succeeded"),
    "job.leased": N_("Placed at {site}"),
    "job.held": N_("Held for a better hour or site, meant to start at {site}"),
    "job.suspending": N_("To be suspended for a better hour"),
    "job.suspended": N_("Suspended at {site}"),
    "job.preempting": N_("To be ended at {site} for a job of higher priority"),
    "job.preempted": N_("Ended at {site} for a job of higher priority, to go on from its checkpoint"),
    "job.room_made": N_("Room is made for it at {site}"),
    "job.started": N_("Started at {site}"),
    "job.resumed": N_("Resumed from its checkpoint at {site}"),
    "job.checkpointed": N_("Checkpoint saved"),
    "job.interrupted": N_("Interrupted at {site}"),
    "job.cancelling": N_("Cancellation asked for"),
    "job.cancelled": N_("Cancelled"),
    "job.succeeded": N_("Succeeded"),
    "job.failed": N_("Failed"),
    "meter.differs": N_("The site's two meters differ: the lower is billed"),
    "ledger.blocked": N_("Bill line not settled: the project's account is at its limit"),
    "job.unpaid": N_("Asked to end at {site}: its money is used up"),
    "ledger.overdrawn": N_("An account is below its limit"),
    "ledger.stray": N_("Money is held or billed for nobody"),
    "budget.passed": N_("More was spent than a budget allows: nothing starts on it"),
    "budget.set": N_("A budget was set"),
    "budget.dropped": N_("A budget was taken away"),
    "ledger.topped_up": N_("Money was put on the project's account"),
    "ledger.limit_set": N_("The project's credit limit was changed"),
    "market.offered": N_("Capacity was put on sale"),
    "market.withdrawn": N_("Capacity was taken off sale"),
    "market.ordered": N_("An order was placed for a call"),
    "market.bought": N_("Capacity was bought at posted prices"),
    "market.cancelled": N_("An order was taken back"),
    "market.called": N_("A call was made"),
    "market.ended": N_("An order ended"),
    "market.approved": N_("An order was approved"),
    "market.declined": N_("An order was declined"),
    "market.terms": N_("Terms of sale were changed"),
    "market.guarantee": N_("The market's guarantee was filled"),
    "market.right_cancelled": N_("A right to capacity was cancelled"),
    "market.right_reclaimed": N_("A right to capacity was taken back"),
    "market.reclaimed": N_("Capacity was taken back"),
    "market.defaulted": N_("A seller did not deliver"),
    "plan.bought": N_("A plan was bought"),
    "plan.billed": N_("A plan's fee was charged"),
    "job.freed": N_("Its right to capacity ended: it may run anywhere"),
    "agreement.drafted": N_("Terms of an agreement were written"),
    "agreement.offered": N_("An agreement was offered"),
    "agreement.signed": N_("An agreement was signed by both"),
    "agreement.ended": N_("An agreement ended"),
    "agreement.key": N_("A party registered its signing key"),
    "agreement.measured": N_("A month under an agreement was measured"),
    "agreement.credited": N_("A service credit was paid"),
    "dispute.opened": N_("A bill line was disputed"),
    "dispute.stated": N_("Something was said about a disputed bill line"),
    "dispute.rejected": N_("A dispute was rejected"),
    "dispute.credited": N_("A part of a disputed bill line was given back"),
    "listing.added": N_("Something was put on sale"),
    "listing.withdrawn": N_("Something was taken off sale"),
    "listing.bought": N_("A copy was bought"),
    "listing.used": N_("Something on sale was used"),
    "file.added": N_("A file was added"),
    "project.created": N_("A project was created"),
    "token.created": N_("A token was made"),
    "token.revoked": N_("A token was revoked"),
    "project.allowed": N_("What the project may have was changed"),
    "project.labelled": N_("Whose the project is was changed"),
    "voucher.funded": N_("Budget for vouchers was paid in"),
    "voucher.issued": N_("A voucher was issued"),
    "voucher.chosen": N_("A voucher was chosen for the bill"),
    "voucher.closed": N_("A voucher ended"),
    "site.invited": N_("Registered"),
    "site.session": N_("Agent started"),
    "site.reachable": N_("Connected"),
    "site.suspect": N_("Silent: gets no new work"),
    "site.lost": N_("Lost: its work starts elsewhere"),
    "site.changed": N_("Declaration changed"),
    "site.priced": N_("Price list published"),
    "site.drained": N_("Takes no new work"),
    "site.opened": N_("Takes new work again"),
    "site.leaving": N_("Stopped by its provider"),
}
SOURCES: Mapping[Source, str] = {
    Source.NOMINAL: N_("Nominal"),
    Source.MEASURED: N_("Measured"),
    Source.SOLD: N_("Sold"),
}
VERDICTS: Mapping[str, str] = {
    "runs": N_("Would start now"),
    "held": N_("Held for a better hour or site"),
    "waits": N_("Would wait"),
    "refused": N_("Would be refused"),
    "placed": N_("Placed"),
    "blocked": N_("Waits for another job"),
    "ended": N_("Ended"),
}
PRIORITIES: Mapping[Priority, str] = {
    Priority.HIGH: N_("High priority"),
    Priority.NORMAL: N_("Normal priority"),
    Priority.LOW: N_("Low priority"),
}
DURATION_UNITS = (N_("d"), N_("h"), N_("min"), N_("s"))

_USED = tuple(
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"(\d+) cores", N_("{0} cores")),
        (r"price list (\S+) of (\S+)", N_("price list {0} of {1}")),
        (r"price list (\S+)", N_("price list {0}")),
        (r"declared price", N_("declared price")),
        (r"(\S+) kWh × (\S+) yuan \((\w+)\)", N_("{0} kWh × ¥{1} ({2})")),
    )
)
_SITE = re.compile(r"\bsite ([a-z0-9-]+)")


def used(description: str, translate: Translate) -> str:
    """What a bill line is for, part by part, in the reader's language where a part's pattern is known."""
    return ", ".join(_used(part, translate) for part in description.split(", "))


def _used(part: str, translate: Translate) -> str:
    for pattern, sentence in _USED:
        found = pattern.fullmatch(part)
        if found is not None:
            words = [translate(TIERS[Tier(word)]) if word in set(Tier) else word for word in found.groups()]
            return translate(sentence).format(*words)
    return part


def told(event: Event, translate: Translate, names: Mapping[SiteId, str]) -> str:
    """An event in the reader's words; its kind where there are none."""
    site = event.site_id or SiteId(str(event.data.get("site", "")))
    return translate(EVENTS.get(event.kind, event.kind)).replace("{site}", names[site])


def reason(text: str, names: Mapping[SiteId, str], *, chinese: bool) -> str:
    """A reason as the control loop wrote it, in the reader's language; sites are called by their names."""
    named = _SITE.sub(lambda found: "site " + names.get(SiteId(found[1]), found[1]), text)
    return translation.chinese(named) if chinese else named
