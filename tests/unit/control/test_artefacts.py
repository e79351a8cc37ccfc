"""Files of projects: knowing a hash opens nothing."""

from __future__ import annotations

import hashlib

import pytest
from tests.factories import (
    DEMO,
    NOW,
    OPERATOR,
    OTHER,
    PROVIDER,
    REGULATOR,
    STRANGER,
    USER,
    Input,
    SmallNetwork,
    replace,
    task,
)

from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.identity import Principal
from suanwang.domain.ids import SiteId

DATA = b"digits"
SHA = hashlib.sha256(DATA).hexdigest()
CONTENT = Content(sha256=SHA, size=len(DATA))


@pytest.fixture
def small() -> SmallNetwork:
    made = SmallNetwork()
    artefacts = made.network.artefacts
    assert artefacts.received(USER, SHA) == 0
    assert artefacts.append(USER, SHA, 0, DATA) == len(DATA)
    artefacts.finish(USER, SHA, len(DATA))
    artefacts.name(USER, DEMO, "digits", CONTENT)
    return made


@pytest.mark.parametrize("caller", [USER, OPERATOR, REGULATOR])
def test_readers_of_the_project_read(small: SmallNetwork, caller: Principal) -> None:
    assert b"".join(small.network.artefacts.read(caller, SHA)) == DATA
    assert b"".join(small.network.artefacts.read(caller, SHA, 3)) == DATA[3:]
    assert small.network.artefacts.size(caller, SHA) == len(DATA)
    assert small.network.artefacts.find(caller, DEMO, "digits").content == CONTENT


@pytest.mark.parametrize("caller", [STRANGER, PROVIDER])
def test_for_all_others_the_content_does_not_exist(small: SmallNetwork, caller: Principal) -> None:
    with pytest.raises(NotFound):
        small.network.artefacts.read(caller, SHA)
    with pytest.raises(NotFound):
        small.network.artefacts.size(caller, SHA)
    with pytest.raises(NotFound):
        small.network.artefacts.find(caller, DEMO, "digits")
    with pytest.raises(NotFound):
        small.network.artefacts.page(caller, DEMO, None, 10)


def test_what_is_not_there_and_what_is_not_yours_sound_alike(small: SmallNetwork) -> None:
    messages = []
    for sha in (SHA, "0" * 64):
        with pytest.raises(NotFound) as caught:
            small.network.artefacts.read(STRANGER, sha)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_names_have_versions(small: SmallNetwork) -> None:
    other = Content(sha256=small.files.put(b"more"), size=4)
    assert small.network.artefacts.name(USER, DEMO, "digits", other).version == 2
    assert small.network.artefacts.name(USER, DEMO, "digits", other).version == 2, "the same again is no new version"
    assert small.network.artefacts.find(USER, DEMO, "digits").content == other
    assert b"".join(small.network.artefacts.read(USER, SHA)) == DATA, "the older version stays readable"


def test_only_members_add(small: SmallNetwork) -> None:
    for caller in (STRANGER, PROVIDER, REGULATOR):
        with pytest.raises(Forbidden):
            small.network.artefacts.name(caller, DEMO, "x", CONTENT)
    with pytest.raises(Forbidden):
        small.network.artefacts.append(REGULATOR, SHA, 0, b"x")


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [
        ("../up", CONTENT, "name"),
        ("a/b", CONTENT, "name"),
        ("", CONTENT, "name"),
        ("digits", replace(CONTENT, size=7), "sha256"),
        ("digits", replace(CONTENT, sha256="0" * 64), "sha256"),
        ("digits", replace(CONTENT, sha256="../../etc/passwd"), "sha256"),
        ("digits", replace(CONTENT, size=-1), "size"),
    ],
)
def test_what_cannot_be_is_named(small: SmallNetwork, name: str, content: Content, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.artefacts.name(USER, DEMO, name, content)
    assert caught.value.field == field


@pytest.mark.parametrize("start", [-1, len(DATA) + 1])
def test_a_start_outside_the_content(small: SmallNetwork, start: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.artefacts.read(USER, SHA, start)
    assert caught.value.field == "Range"


def test_an_agent_reads_what_its_live_leases_stage_and_nothing_else(small: SmallNetwork) -> None:
    agent = small.join("guian")
    stranger = small.join("wuhu")
    (job,) = small.submit(task(inputs=(Input(source="digits", path="in"),), sites=(SiteId("guian"),)))
    with pytest.raises(NotFound):
        small.network.artefacts.read(agent, SHA)
    small.network.turn()
    assert b"".join(small.network.artefacts.read(agent, SHA)) == DATA
    with pytest.raises(NotFound):
        small.network.artefacts.read(stranger, SHA)
    small.clock.advance(3600)
    small.network.turn()
    assert small.job(job.id).site_id == "guian"
    with pytest.raises(NotFound):
        small.network.artefacts.read(agent, SHA)


def test_an_agent_reads_the_checkpoint_it_resumes_from(small: SmallNetwork) -> None:
    agent = small.join("guian")
    checkpoint = Content(sha256=small.files.put(b"epoch 3"), size=7)
    (job,) = small.submit()
    small.store._jobs[job.id] = replace(small.job(job.id), checkpoint=checkpoint)
    small.network.turn()
    assert b"".join(small.network.artefacts.read(agent, checkpoint.sha256)) == b"epoch 3"


def test_an_input_that_is_gone_does_not_hide_another_lease_s(small: SmallNetwork) -> None:
    agent = small.join("guian")
    (broken,) = small.submit(task("broken", inputs=(Input(source="digits", path="in"),)))
    small.submit(task("whole", inputs=(Input(source="digits", path="in"),)))
    small.network.turn()
    lost = replace(broken.task, inputs=(Input(source="nowhere", path="in"),))
    small.store._jobs[broken.id] = replace(small.job(broken.id), task=lost)
    assert b"".join(small.network.artefacts.read(agent, SHA)) == DATA


def test_pages_show_the_project_alone(small: SmallNetwork) -> None:
    small.store.add_file(
        FileRecord(project=OTHER, name="theirs", version=0, content=Content(sha256="1" * 64, size=1), created_at=NOW)
    )
    records, cursor = small.network.artefacts.page(USER, DEMO, None, 10)
    assert [record.name for record in records] == ["digits"]
    assert cursor is None
