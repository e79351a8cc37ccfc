"""What the pages say and how they write figures: catalogues, formats, labels, text of programs."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from babel.messages.mofile import read_mo

from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.sample import Source
from suanwang.taskfile import read_tasks
from suanwang.web import labels, wording
from suanwang.web.formatting import BEIJING, Formats
from suanwang.web.pages.submit import EXAMPLES, TITLES
from suanwang.web.terminal import plain

EN = Formats("en", BEIJING, str)
ZH = Formats("zh", BEIJING, wording.translations("zh").gettext)


def test_every_word_of_the_pages_is_translated_and_no_other_is_kept() -> None:
    stored = wording.stored()
    assert {str(message.id) for message in wording.used()} == {str(message.id) for message in stored}
    assert wording.missing(stored) == []


def test_a_missing_translation_would_be_found() -> None:
    catalogue = wording.used()
    assert "Network" in wording.missing(catalogue)
    assert any("things to put right" not in gap and "thing to put right" in gap for gap in wording.missing(catalogue))


def test_the_compiled_catalogue_is_that_of_the_stored_words() -> None:
    with wording.MO.open("rb") as file:
        kept = {str(m.id): m.string for m in read_mo(file) if m.id}
    fresh = {str(m.id): m.string for m in read_mo(io.BytesIO(wording.compiled(wording.stored()))) if m.id}
    assert kept == fresh
    assert kept["Network"] == "网络"


def test_placeholders_survive_translation() -> None:
    for message in wording.stored():
        if isinstance(message.id, str) and isinstance(message.string, str) and message.id:
            for mark in (
                "%(name)s",
                "%(n)s",
                "%(site)s",
                "%(size)s",
                "%(what)s",
                "%(zone)s",
                "{0}",
                "{1}",
                "{2}",
                "{site}",
            ):
                assert message.id.count(mark) == message.string.count(mark), message.id


def test_every_code_has_a_word() -> None:
    assert set(labels.JOB_STATES) == set(JobState)
    assert set(labels.SITE_STATES) == set(SiteState)
    assert set(labels.SOURCES) == set(Source)


def test_what_a_line_is_for_is_told_in_the_readers_words() -> None:
    description = "8 cores, 32 GB, 4 × huawei-ascend-910b, 0.25 kWh × 0.48 yuan (peak), price list 3 of 2026-12-10"
    chinese = labels.used(description, wording.translations("zh").gettext)
    assert chinese == "8 核, 32 GB, 4 × huawei-ascend-910b, 0.25 kWh × ¥0.48（高峰）, 价目第 3 版（2026-12-10 起）"
    assert labels.used("price list 3, 春节 −5 %", wording.translations("zh").gettext) == "价目第 3 版, 春节 −5 %"
    assert labels.used("8 cores, 32 GB", str) == "8 cores, 32 GB"


@pytest.mark.parametrize("name", TITLES)
def test_every_example_is_a_correct_task(name: str) -> None:
    submission = read_tasks((EXAMPLES / name).read_text())
    assert submission.tasks
    assert submission.uploads == ()


def test_money_is_exact_to_the_fen() -> None:
    assert EN.fen(123456789) == "¥1,234,567.89"
    assert ZH.fen(-5) == "¥-0.05" or ZH.fen(-5) == "-¥0.05"
    assert EN.yuan(Decimal("12.5")) == "¥12.50"
    assert EN.yuan(0.0013) == "¥0.0013"
    assert EN.exact(Decimal("0.00533333")) == "¥0.00533333"
    assert EN.yuan(0.0) == "¥0.00"


def test_units_follow_the_size() -> None:
    assert EN.energy(0.0579) == "57.9 Wh"
    assert EN.energy(12.345) == "12.3 kWh"
    assert EN.carbon(21.54) == "21.5 gCO₂"
    assert EN.carbon(21_540) == "21.5 kgCO₂"
    assert EN.size(999) == "999 B"
    assert EN.size(8_400_000_000) == "8.4 GB"
    assert EN.significant(0.0000123) == "0.0000123"
    assert EN.significant(float("nan")) == "–"
    assert EN.percent(0.556) == "56%"


def test_times_are_in_the_zone_and_the_language() -> None:
    at = datetime(2026, 3, 2, 17, 5, 9, tzinfo=UTC)
    assert EN.instant(at) == "Mar 3, 01:05:09"
    assert ZH.instant(at) == "3月3日 01:05:09"
    assert EN.day_start(at) == datetime(2026, 3, 2, 16, 0, tzinfo=UTC)


def test_durations_show_two_units() -> None:
    assert EN.duration(0) == "0 s"
    assert EN.duration(59.6) == "1 min"
    assert EN.duration(200) == "3 min 20 s"
    assert EN.duration(3600) == "1 h"
    assert EN.duration(90_061) == "1 d 1 h"
    assert ZH.duration(200) == "3 分 20 秒"


def test_known_reasons_are_said_in_chinese_and_unknown_ones_as_they_are() -> None:
    names = {SiteId("guian"): "贵安"}
    text = "lost contact with site guian; 3 of 3 attempts used"
    assert labels.reason(text, names, chinese=True) == "与站点 贵安 失去联系；已用 3/3 次尝试"
    assert labels.reason(text, names, chinese=False) == "lost contact with site 贵安; 3 of 3 attempts used"
    assert labels.reason("the program ended with status 3", {}, chinese=True) == "程序以状态码 3 结束"
    assert labels.reason("slurm: {0} %s <b>", {}, chinese=True) == "slurm: {0} %s <b>"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m text", "red text"),
        ("50%\r100%\r\n", "50%\n100%\n"),
        ("\x1b]0;a title\x07rest", "rest"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x00b\x08c\x9bd\u202eevil", "abcdevil"),
        ("tab\tand 中文 stay\n", "tab\tand 中文 stay\n"),
        ("cut off \x1b[3", "cut off "),
        ("</script><script>alert(1)</script>", "</script><script>alert(1)</script>"),
    ],
)
def test_terminal_commands_are_dropped(raw: str, shown: str) -> None:
    assert plain(raw) == shown
