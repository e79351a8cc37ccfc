"""What every store promises of sites, output, the record, files, people and notices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.contract.store_values import (
    PROJECT,
    SITE,
    START,
    a_chunk,
    a_file,
    a_job,
    a_line,
    a_point,
    a_record,
    a_site,
    after,
    an_event,
    at_once,
    ending,
    every_page,
    leased,
)

from suanwang.domain.allowance import Allowance, Amounts
from suanwang.domain.errors import Conflict
from suanwang.domain.identity import Principal, Project, Role, Token
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import (
    BillLine,
    Step,
)
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.pricing import Discount, Formula, Package, Plan, PlanMonth, PriceList
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Measured
from suanwang.ports import BillQuery, BillTotal, Extent, Lately, Store
from suanwang.trading.published import Published


class KeepingSites:
    def test_a_site_comes_back_as_it_was_given(self, store: Store) -> None:
        site = replace(
            a_site(),
            state=SiteState.SUSPECT,
            open=False,
            session=3,
            seen_at=after(1),
            measured=Measured(cores=256, memory_gb=2048.0, devices={"ascend-910b": 31}, observed_at=after(1)),
            clock_offset_s=-0.25,
            warnings=("一块卡不可用",),
        )
        store.add_site(site, [an_event("site.added")])
        store.add_site(a_site("aaa"), [])
        assert store.site(site.id) == site
        assert store.site(SiteId("none")) is None
        assert [found.id for found in store.sites()] == ["aaa", "guian"]
        assert [event.kind for event in store.events(0, 10)] == ["site.added"]

    def test_a_taken_identifier_is_a_conflict(self, store: Store) -> None:
        store.add_site(a_site(), [])
        with pytest.raises(Conflict):
            store.add_site(a_site(), [an_event("site.added")])
        assert store.last_seq() == 0

    def test_a_site_is_replaced_under_its_revision(self, store: Store) -> None:
        site = a_site()
        store.add_site(site, [])
        changed = replace(site, open=False, revision=1)
        store.put_site(changed, [an_event("site.closed")])
        assert store.site(site.id) == changed
        for stale in (changed, replace(site, revision=3), a_site("unknown")):
            with pytest.raises(Conflict):
                store.put_site(stale, [an_event("site.opened")])
        assert store.site(site.id) == changed
        assert [event.kind for event in store.events(0, 10)] == ["site.closed"]

    def test_device_time_is_summed_by_where_and_when_it_began(self, store: Store) -> None:
        for project in (PROJECT, ProjectId("other")):
            job, allocation = leased(store, replace(a_job(), project=project))
            records = tuple(a_record(job, allocation, number, start_s=100 * number) for number in (1, 2, 3))
            store.apply([Step(job=replace(job, revision=job.revision + 1), usage=records)])
        of = PROJECT, SITE, "ascend-910b"
        assert store.device_us(*of, after(100), after(300)) == 2 * 16 * 40 * 1_000_000
        assert store.device_us(*of, after(101), after(1000)) == 2 * 16 * 40 * 1_000_000
        assert store.device_us(*of[:2], "a100", after(0), after(1000)) == 0
        several = store.devices_used({of[0], ProjectId("none")}, {of[1], SiteId("x")}, after(100), after(300))
        assert several == [(*of, 2 * 16 * 40 * 1_000_000)]
        assert store.devices_used({of[0]}, {SiteId("x")}, after(100), after(300)) == []
        assert store.devices_used(set(), {of[1]}, after(100), after(300)) == []
        assert store.device_us(PROJECT, SiteId("none"), of[2], after(0), after(1000)) == 0

    def test_every_price_list_is_kept_with_the_step_that_published_it(self, store: Store) -> None:
        def listed(version: int) -> PriceList:
            return PriceList(
                version=version,
                valid_from=after(version),
                published_at=after(0),
                published_by="provider",
                core_hour_yuan=Decimal("0.10"),
                device_hour={"chip": Formula(base_yuan=Decimal("2.50"), factor=Decimal("1.5"), cap_yuan=Decimal(9))},
                discounts=(Discount(name="华为", percent=Decimal(5), brands=("Huawei",), until=after(9)),),
            )

        site = a_site()
        store.add_site(site, [])
        priced = replace(site.offering, price=replace(site.offering.price, lists=(listed(1),)))
        for version in (1, 2, 3):
            moved = replace(site, offering=priced, revision=version)
            store.put_site(moved, [an_event("site.priced")], price_list=listed(version))
        assert store.site(site.id) == replace(site, offering=priced, revision=3)
        assert store.price_lists(site.id, None, 2) == [listed(3), listed(2)]
        assert store.price_lists(site.id, 2, 10) == [listed(1)]
        assert store.price_lists(SiteId("none"), None, 10) == []
        with pytest.raises(Conflict):
            store.put_site(replace(site, revision=4), [an_event("site.priced")], price_list=listed(3))
        assert store.site(site.id) == replace(site, offering=priced, revision=3), "all of the step, or nothing"
        assert len(store.events(0, 10)) == 3

    def test_what_sites_publish_of_prices_is_logged_with_it_or_not_at_all(self, store: Store) -> None:
        def said(kind: str, name: str, text: str = "{}") -> Published:
            return Published(kind=kind, name=name, leaf=text)

        site, size = a_site(), store.edge().size
        store.add_site(site, [], [said("declared", "贵安/1", '{"a":"1"}')])
        leaves = [said("declared", "贵安/2"), said("prices", "贵安/2")]
        store.put_site(replace(site, revision=1), (), published=leaves)
        store.add_plan([], [], [said("plan", "贵安/2")])
        names = {("declared", "贵安/1"), ("declared", "贵安/2"), ("prices", "贵安/2"), ("plan", "贵安/2")}
        found = store.published(names | {("plan", "none")})
        assert (set(found), sorted(found.values())) == (names, list(range(size, size + 4)))
        assert store.leaves([size])[size] == '{"a":"1"}'
        assert store.published([]) == {}
        with pytest.raises(Conflict):
            store.add_site(site, [], [said("declared", "贵安/3")])
        with pytest.raises(Conflict):
            store.put_site(replace(site, revision=5), (), published=[said("declared", "贵安/3")])
        assert store.edge().size == size + 4
        assert store.published({("declared", "贵安/3")}) == {}

    def test_a_project_has_one_plan_for_a_month_a_site_and_a_device(self, store: Store) -> None:
        def month(number: int, plan: str = "mine", device: str = "chip", project: ProjectId = PROJECT) -> PlanMonth:
            return PlanMonth(
                plan=plan,
                project=project,
                site_id=SITE,
                provider="贵安算力",
                owners={"a": "1/3", "b": "2/3"},
                package=Package(
                    name="套餐",
                    plan=Plan.COMMITTED,
                    device=device,
                    device_hours=10,
                    fee_yuan=Decimal("33.30"),
                    months=2,
                ),
                version=2,
                from_at=after(100 * number),
                to_at=after(100 * number + 100),
                below_us=2**53 + 1,
                fee_fen=3330,
                bought_at=START,
                bought_by="li",
            )

        store.add_plan([month(1), month(2)], [an_event("plan.bought")])
        store.add_plan([month(2, "other-device", "a100"), month(2, "theirs", project=ProjectId("other"))], [])
        with pytest.raises(Conflict):
            store.add_plan([month(3), month(2, "again")], [an_event("plan.bought")])
        assert [event.kind for event in store.events(0, 10)] == ["plan.bought"], "all of it, or nothing"
        assert store.plan_months([PROJECT], None) == [
            (month(1), False),
            (month(2), False),
            (month(2, "other-device", "a100"), False),
        ]
        assert [each.plan for each, _ in store.plan_months(None, after(200))] == ["mine", "other-device", "theirs"]
        assert store.plan_fees(after(99), 10) == []
        assert store.plan_fees(after(100), 10) == [month(1)]
        store.plan_paid(month(1), None)
        store.plan_paid(month(2), after(500))
        assert [each.plan for each in store.plan_fees(after(200), 10)] == ["other-device", "theirs"]
        assert store.plan_months([PROJECT], None)[0] == (month(1), True)
        assert store.plan_fees(after(500), 10)[-1] == month(2)

    def test_the_newest_sample_of_each_kind_is_kept(self, store: Store) -> None:
        def sample(metric: str, value: float, at_s: float, source: Source = Source.MEASURED) -> Sample:
            return Sample(
                metric_type=metric,
                unit="1",
                value=value,
                source=source,
                statistic="instant",
                observed_at=after(at_s),
            )

        store.add_samples(SITE, [sample("b", 1.0, 1), sample("a", 2.0, 2), sample("a", 3.0, 5), sample("a", 4.0, 3)])
        store.add_samples(SITE, [sample("b", 5.0, 0), sample("a", 6.0, 5), sample("a", 7.0, 1, Source.SOLD)])
        store.add_samples(SiteId("wuhu"), [sample("a", 8.0, 1)])
        store.add_samples(SITE, [])
        assert [(found.metric_type, found.source, found.value) for found in store.samples(SITE)] == [
            ("a", Source.MEASURED, 6.0),
            ("a", Source.SOLD, 7.0),
            ("b", Source.MEASURED, 1.0),
        ]


class KeepingOutput:
    def test_streams_grow_without_gap_or_repetition(self, store: Store) -> None:
        job = a_job()
        first, second = a_chunk(job, 0, "一\n"), a_chunk(job, 4, "two\n")
        store.add_output([first], [])
        store.add_output([first, a_chunk(job, 9, "gap"), second], [])
        store.add_output([a_chunk(job, 0, "oops", "stderr")], [])
        assert [chunk for _, chunk in store.logs(job.id, 0, 10)] == [first, second, a_chunk(job, 0, "oops", "stderr")]
        key = first.allocation_id
        assert store.extents([key, AllocationId("none")]) == {
            key: Extent(stdout=8, stderr=4),
            AllocationId("none"): Extent(),
        }

    def test_logs_are_followed_by_sequence(self, store: Store) -> None:
        job, other = a_job(), a_job()
        for number in range(4):
            store.add_output([a_chunk(job, number, "x"), a_chunk(other, number, "y")], [])
        first = store.logs(job.id, 0, 3)
        rest = store.logs(job.id, first[-1][0], 3)
        numbers = [seq for seq, _ in (*first, *rest)]
        assert numbers == sorted(set(numbers))
        assert [chunk.offset for _, chunk in (*first, *rest)] == [0, 1, 2, 3]
        assert {chunk.text for _, chunk in (*first, *rest)} == {"x"}

    def test_points_arrive_once(self, store: Store) -> None:
        job = a_job()
        store.add_output([], [a_point(job, 1, 0.5), a_point(job, 1, 0.9, "accuracy"), a_point(job, 2, 0.25)])
        store.add_output([], [a_point(job, 2, 99.0), a_point(job, 3, 0.125)])
        found = store.points(job.id)
        assert [(point.line, point.name, point.value) for point in found] == [
            (1, "loss", 0.5),
            (1, "accuracy", 0.9),
            (2, "loss", 0.25),
            (3, "loss", 0.125),
        ]
        assert store.extents([found[0].allocation_id])[found[0].allocation_id] == Extent(points=3)

    def test_of_writers_at_once_each_byte_has_one(self, store: Store) -> None:
        job = a_job()
        at_once([lambda: store.add_output([a_chunk(job, n, "x") for n in range(20)], []) for _ in range(6)])
        assert [chunk.offset for _, chunk in store.logs(job.id, 0, 99)] == list(range(20))


class KeepingTheRecord:
    def test_events_are_numbered_upwards_and_filtered(self, store: Store) -> None:
        job = replace(a_job(), site_id=SITE)
        other = replace(a_job(), project=ProjectId("other"))
        store.append_events([an_event("job.submitted", job, task="训练"), an_event("job.submitted", other)])
        store.append_events([an_event("site.lost"), an_event("job.ended", job)])
        every = store.events(0, 10)
        numbers = [event.seq for event in every]
        assert numbers == sorted(set(numbers))
        assert min(numbers) > 0
        assert store.last_seq() == numbers[-1]
        assert every[0] == replace(an_event("job.submitted", job, task="训练"), seq=numbers[0])
        assert [event.seq for event in store.events(numbers[1], 10)] == numbers[2:]
        assert [event.seq for event in store.events(0, 1)] == numbers[:1]

        def numbered(**filters: object) -> list[int]:
            return [numbers.index(event.seq) for event in store.events(0, 10, **filters)]  # type: ignore[arg-type]

        assert numbered(projects=[PROJECT]) == [0, 3]
        assert numbered(projects=[]) == []
        assert numbered(job_id=other.id) == [1]
        assert numbered(site_id=SITE) == [0, 2, 3]
        assert numbered(kind="job.") == [0, 1, 3]
        assert numbered(kind="site.") == [2]
        assert numbered(kind="j") == [0, 1, 3]
        assert numbered(kind="job.e", projects=[PROJECT]) == [3]
        assert numbered(kind="") == [0, 1, 2, 3]

    def test_an_empty_record_ends_at_zero(self, store: Store) -> None:
        store.append_events([])
        assert store.last_seq() == 0

    def test_bills_are_paged_filtered_and_summed(self, store: Store) -> None:
        lines: list[BillLine] = []
        for number in range(5):
            job = replace(a_job(), project=ProjectId("other") if number == 4 else PROJECT)
            job, allocation = leased(store, job, site=SiteId("wuhu") if number == 3 else SITE)
            record = a_record(job, allocation, start_s=number * 100)
            line = a_line(record, provider="芜湖" if number == 3 else "贵安算力", fen=10 + number)
            moved = replace(job, state=JobState.RUNNING, revision=job.revision + 1)
            store.apply([Step(job=moved, allocation=allocation, usage=(record,), bill_lines=(line,))])
            lines += store.bill_lines(BillQuery(job_id=job.id), None, 1)[0]
            assert replace(lines[-1], tally_yuan=None) == line
        newest_first = list(reversed(lines))
        assert every_page(lambda cursor: store.bill_lines(BillQuery(), cursor, 2)) == newest_first

        def chosen(query: BillQuery) -> list[int]:
            return [lines.index(line) for line in store.bill_lines(query, None, 10)[0]]

        assert chosen(BillQuery(projects=[PROJECT])) == [3, 2, 1, 0]
        assert chosen(BillQuery(projects=[])) == []
        assert chosen(BillQuery(job_id=lines[1].job_id)) == [1]
        assert chosen(BillQuery(site_id=SiteId("wuhu"))) == [3]
        assert chosen(BillQuery(provider="芜湖")) == [3]
        assert chosen(BillQuery(from_at=after(140), to_at=after(300))) == [2], "those that overlap the interval"
        assert store.bill_totals(BillQuery()) == [
            BillTotal(project=PROJECT, provider="芜湖", jobs=1, amount_fen=13, energy_kwh=0.25, carbon_g=120.0),
            BillTotal(project=PROJECT, provider="贵安算力", jobs=3, amount_fen=33, energy_kwh=0.75, carbon_g=360.0),
            BillTotal(
                project=ProjectId("other"),
                provider="贵安算力",
                jobs=1,
                amount_fen=14,
                energy_kwh=0.25,
                carbon_g=120.0,
            ),
        ]
        assert store.bill_totals(BillQuery(job_id=JobId("none"))) == []

    def test_usage_records_come_in_order(self, store: Store) -> None:
        job, allocation = leased(store)
        records = (a_record(job, allocation, 2, start_s=50), a_record(job, allocation, 1, start_s=10))
        store.apply([Step(job=replace(job, revision=job.revision + 1), usage=records)])
        assert store.usage_records(job.id) == [records[1], records[0]]

    def test_what_is_taken_back_counts_against(self, store: Store) -> None:
        job, allocation = leased(store)
        whole = a_record(job, allocation, 1)
        back = replace(whole, id=f"{allocation.id}:2", from_at=after(30), energy_kwh=-0.1, corrects=whole.id)
        store.apply([Step(job=replace(job, revision=job.revision + 1), usage=(whole, back))])
        assert list(store.usage_records(job.id)) == [whole, back]
        assert store.device_us(PROJECT, SITE, "ascend-910b", after(0), after(100)) == 16 * 20 * 1_000_000


class KeepingFiles:
    def test_versions_of_a_name_count_up(self, store: Store) -> None:
        first = store.add_file(a_file("model", "a", job_id=JobId("j1"), site_id=SITE))
        second = store.add_file(a_file("model", "b"))
        assert (first.version, second.version) == (1, 2)
        assert first == a_file("model", "a", job_id=JobId("j1"), site_id=SITE, version=1)
        assert store.file(PROJECT, "model") == second
        assert store.file(PROJECT, "none") is None
        assert store.file(ProjectId("other"), "model") is None

    def test_the_same_content_is_the_same_version(self, store: Store) -> None:
        first = store.add_file(a_file("model", "a"))
        store.add_file(a_file("model", "b"))
        assert store.add_file(a_file("model", "a", created_at=after(9))) == first
        assert store.add_file(a_file("model", "a", site_id=SITE)).version == 3, "held elsewhere, it is another"

    def test_pages_hold_the_newest_of_each_name(self, store: Store) -> None:
        for name in ("e", "a", "d", "b", "c"):
            store.add_file(a_file(name, "1"))
        store.add_file(a_file("b", "2"))
        store.add_file(a_file("x", "2", project=ProjectId("other")))
        found = every_page(lambda cursor: store.files(PROJECT, cursor, 2))
        assert [(record.name, record.version) for record in found] == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)]

    def test_readers_of_a_content(self, store: Store) -> None:
        store.add_file(a_file("a", "1"))
        store.add_file(a_file("b", "1", project=ProjectId("other")))
        store.add_file(a_file("a", "2"))
        assert set(store.file_readers("1" * 64)) == {PROJECT, "other"}
        assert set(store.file_readers("9" * 64)) == set()

    def test_of_versions_added_at_once_none_is_doubled(self, store: Store) -> None:
        digits = "0123456789ab"
        kept = at_once([lambda digit=digit: store.add_file(a_file("m", digit)) for digit in digits])  # type: ignore[misc]
        assert sorted(record.version for record in kept) == list(range(1, len(digits) + 1))


class KeepingAllowances:
    def test_an_allowance_is_of_a_project_there_is(self, store: Store) -> None:
        allowance = Allowance(weight=2.5, cores=8, memory_gb=0.5, devices={"a100": 3}, queued=0, may_be_high=True)
        assert store.allowances() == {}
        assert not store.put_allowance(PROJECT, allowance, [an_event("project.allowed")])
        store.add_project(Project(id=PROJECT, title="demo", created_at=START), [])
        assert store.put_allowance(PROJECT, Allowance(), [an_event("project.allowed")])
        assert store.put_allowance(PROJECT, allowance, [an_event("project.allowed")])
        assert store.allowances() == {PROJECT: allowance}
        assert [event.kind for event in store.events(0, 10)] == ["project.allowed"] * 2

    def test_means_are_replaced_by_whom_knows_the_last_ones(self, store: Store) -> None:
        first = Lately(at=START, of={PROJECT: Amounts(cores=1.25, memory_gb=0.5, devices={"a100": 0.125})})
        second = Lately(at=after(60), of={})
        assert store.lately() is None
        assert not store.put_lately(first, after(1))
        assert store.put_lately(first, None)
        assert not store.put_lately(second, None)
        assert store.lately() == first
        assert store.put_lately(second, first.at)
        assert not store.put_lately(first, START)
        assert store.lately() == second


class KeepingPeople:
    def test_tokens(self, store: Store) -> None:
        token = Token(
            id="t1",
            digest="d" * 64,
            principal=Principal(name="li", role=Role.USER, projects=(PROJECT,), provider=None, site_id=SITE),
            created_at=START,
            expires_at=after(3600),
            note="笔记本",
        )
        other = replace(token, id="t0", digest="e" * 64)
        store.add_token(token, [an_event("token.added")])
        store.add_token(other, [])
        assert store.token(token.digest) == token
        assert store.token("f" * 64) is None
        assert store.tokens() == [other, token]
        assert store.revoke_token("t1", after(5), [an_event("token.revoked")])
        assert store.token(token.digest) == replace(token, revoked_at=after(5))
        assert store.revoke_token("t1", after(9), []), "revoking again changes nothing"
        assert store.token(token.digest) == replace(token, revoked_at=after(5))
        assert not store.revoke_token("none", after(5), [an_event("token.revoked")])
        assert [event.kind for event in store.events(0, 10)] == ["token.added", "token.revoked"]

    def test_a_digest_belongs_to_one_token(self, store: Store) -> None:
        token = Token(id="t1", digest="d" * 64, principal=Principal(name="li", role=Role.USER), created_at=START)
        store.add_token(token, [])
        with pytest.raises(Conflict) as caught:
            store.add_token(replace(token, id="t2"), [an_event("token.added")])
        assert token.digest not in str(caught.value)
        assert store.tokens() == [token]
        assert store.last_seq() == 0

    def test_projects(self, store: Store) -> None:
        project = Project(id=PROJECT, title="示范", created_at=START)
        store.add_project(project, [an_event("project.added")])
        store.add_project(Project(id=PROJECT, title="again", created_at=after(1)), [an_event("project.added")])
        store.add_project(Project(id=ProjectId("a"), title="", created_at=START), [])
        assert [found.id for found in store.projects()] == ["a", "demo"]
        assert store.projects()[1] == project
        assert len(store.events(0, 10)) == 1


class TellingOutside:
    def test_notices_are_due_until_told(self, store: Store) -> None:
        for _ in range(3):
            job, allocation = leased(store)
            store.apply([ending(job, allocation)])
        first, second, third = store.notices_due(START, 10)
        assert first.id < second.id < third.id
        assert [notice.id for notice in store.notices_due(START, 1)] == [first.id]
        store.notice_done(first.id)
        store.notice_done(first.id)
        store.notice_failed(second.id, after(60))
        assert [notice.id for notice in store.notices_due(after(59), 10)] == [third.id]
        assert [(notice.id, notice.attempts) for notice in store.notices_due(after(60), 10)] == [
            (second.id, 1),
            (third.id, 0),
        ]

    def test_a_turn_is_taken(self, store: Store) -> None:
        for _ in range(2):
            with store.turn("plan") as mine:
                assert mine
