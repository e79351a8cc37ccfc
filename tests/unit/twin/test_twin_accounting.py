"""What plays draw, cost and emit, against what one can reckon by hand."""

from __future__ import annotations

import pytest
from tests.unit.twin.twin_columns import hourly, jobs, rows, segments, supply

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import ENDED_LOST
from suanwang.twin.accounting import NANO, account
from suanwang.twin.timeline import QUARTER_MS, draw, waits

H = HOUR_MS


def test_electricity_follows_the_price_of_each_hour() -> None:
    made = account(
        segments((0, 0, H // 2, 3 * H)), jobs([0], need=[[4.0, 0.0, 0.0]]), rows([0]), [supply((0.2, 1.0, 0.6))]
    )
    assert made.energy.total() == 4_000_000_000 * (5 * H // 2)
    assert made.by_job().energy_kwh.tolist() == [10.0]
    assert made.electricity_nano_yuan.tolist() == [round(4 * (0.2 * 0.5 + 1.0 + 0.6) * NANO)]
    assert made.location_ug.tolist() == [4_000_000_000]


def test_users_pay_electricity_only_where_it_is_passed_on() -> None:
    places = rows([0, 0], yuan_hour=[[0.3, 0.0, 0.0]] * 2, electricity_share=[1.0, 0.0])
    made = account(segments((0, 0, 0, H), (1, 1, 0, H)), jobs([0, 0]), places, [supply()])
    assert made.cost_nano_yuan.tolist() == [800_000_000, 300_000_000]
    assert made.electricity_nano_yuan.tolist() == [500_000_000] * 2


def test_certificates_cover_their_share_and_the_residual_mix_the_rest() -> None:
    green = supply(carbon=(600.0,), green_share=0.75, residual_g_per_kwh=hourly(800.0))
    made = account(segments((0, 0, 0, H)), jobs([0]), rows([0]), [green])
    assert (made.location_ug.tolist(), made.market_ug.tolist()) == ([600_000_000], [200_000_000])


def test_data_move_before_every_start_away_from_where_they_are() -> None:
    places = rows([0, 1], transfer_ms_per_gb=[[0.0, 8.0]], transfer_yuan_per_gb=[[0.0, 0.25]])
    ran = segments((0, 0, 0, H, ENDED_LOST), (0, 1, H, 2 * H, ENDED_LOST), (0, 1, 3 * H, 4 * H))
    made = account(ran, jobs([0], data_gb=[2.5]), places, [supply(), supply()])
    assert made.moved_bytes.tolist() == [0, 2_500_000_000, 2_500_000_000]
    assert made.transfer_nano_yuan.tolist() == [0, 625_000_000, 625_000_000]


def test_a_warm_hour_draws_more() -> None:
    warm = supply((0.2, 1.0), (100.0, 300.0), relative_pue=hourly(0.9, 1.1))
    made = account(segments((0, 0, H // 2, 2 * H)), jobs([0]), rows([0]), [warm])
    assert made.by_job().energy_kwh.tolist() == [0.9 * 0.5 + 1.1]
    assert made.electricity_nano_yuan.tolist() == [round((0.2 * 0.9 * 0.5 + 1.0 * 1.1) * NANO)]
    assert made.location_ug.tolist() == [round((100 * 0.9 * 0.5 + 300 * 1.1) * 1e6)]
    line = draw(made, 0, 2 * H)
    assert line.power_kw.tolist() == [[0.45, 1.1]]
    assert line.peak_kw_by_site().tolist() == [1.1]
    assert line.yuan_per_kwh[0].tolist() == [0.2, 1.0], "what the grid asks, not what cooling makes of it"
    with pytest.raises(InvalidRequest, match="within the timeline"):
        draw(made, 60_000, 2 * H)
    with pytest.raises(InvalidRequest, match="different steps"):
        supply((0.2, 1.0), relative_pue=hourly(0.9, 1.1))


def test_a_run_of_a_whole_hall_for_months_is_still_exact() -> None:
    """131,072 devices of 1,400.001 W for 54 days: over 64 bits of milliwatts × milliseconds."""
    big = jobs([0], need=[[0.0, 0.0, 131_072.0]])
    places = rows([0], power_w=[[0.0, 0.0, 1400.001]])
    made = account(segments((0, 0, 0, 54 * 24 * H)), big, places, [supply()])
    milliwatts = 131_072 * 1_400_001
    assert made.energy.total() == 1000 * milliwatts * 54 * 24 * H > 2**63
    assert made.by_site().energy.total() == made.energy.total()
    assert made.by_job().energy_kwh[0] == pytest.approx(milliwatts / 1e6 * 54 * 24)


def test_a_drop_of_power_is_not_rounded_away() -> None:
    made = account(
        segments((0, 0, 0, 7)), jobs([0], need=[[0.25, 0.0, 0.0]]), rows([0], power_w=[[1.3, 0, 0]]), [supply()]
    )
    assert made.energy.total() == 325_000 * 7


def test_sums_by_group_and_site() -> None:
    ran = segments((0, 0, 0, H), (1, 1, 0, 2 * H), (2, 1, H, 2 * H))
    made = account(ran, jobs([0, 0, 0], group=[1, 0, 1]), rows([1, 0]), [supply(), supply((1.0,))])
    assert made.work_by_group()[0].floats().tolist() == [2 * H, 2 * H]
    assert made.by_site().electricity_nano_yuan.tolist() == [1_500_000_000, 1_000_000_000]
    assert made.by_row().work[0].floats().tolist() == [H, 3 * H]


def test_nothing_ran() -> None:
    made = account(segments(), jobs([0]), rows([0]), [supply()])
    assert made.by_job().cost_nano_yuan.tolist() == [0]
    assert made.by_site().energy.total() == 0


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="segment 1 ends before"):
        account(segments((0, 0, 0, H), (0, 0, H, 0)), jobs([0]), rows([0]), [supply()])
    with pytest.raises(InvalidRequest, match="site 1 has no prices"):
        account(segments((0, 0, 0, H)), jobs([0]), rows([1]), [supply()])
    with pytest.raises(InvalidRequest, match="a green share"):
        supply(green_share=1.5)
    with pytest.raises(InvalidRequest, match="too large"):
        account(segments((0, 0, 0, H)), jobs([0], need=[[1e18, 0.0, 0.0]]), rows([0]), [supply()])


def test_timeline_of_two_jobs() -> None:
    ran = segments((0, 0, 0, 3 * H // 2), (1, 0, H, 2 * H))
    made = account(
        ran, jobs([0, 0, 0], need=[[2.0, 0, 0], [4.0, 0, 0], [1.0, 0, 0]]), rows([0]), [supply((0.2, 0.4), (1, 3))]
    )
    line = draw(made, 0, 3 * H)
    assert line.busy[0, 0].tolist() == [2.0, 5.0, 0.0]
    assert line.power_kw[0].tolist() == [2.0, 5.0, 0.0]
    assert line.peak_kw_by_site().tolist() == [6.0]
    assert line.queue.tolist() == [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], "one waits an hour, one never runs"
    assert line.yuan_per_kwh[0].tolist() == pytest.approx([0.2, 0.4, 0.2])
    assert line.energy.total() == made.energy.total()


def test_steps_are_whole_quarters() -> None:
    made = account(segments((0, 0, 0, H)), jobs([0]), rows([0]), [supply()])
    with pytest.raises(InvalidRequest, match="steps of 1000"):
        draw(made, 0, H, 1000)
    assert draw(made, 0, H, QUARTER_MS).power_kw.tolist() == [[1.0] * 4]


def test_a_job_waits_again_after_it_was_lost() -> None:
    row, start, end = waits(segments((0, 1, 5, 9, ENDED_LOST), (0, 0, 12, 20)), jobs([2]), 2, 30)
    assert (row.tolist(), start.tolist(), end.tolist()) == ([1, 0], [2, 9], [5, 12])
