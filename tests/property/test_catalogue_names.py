"""Whatever is asked for by name, the catalogue answers with an entry or with a clear refusal."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from suanwang import catalog
from suanwang.catalog.names import normal
from suanwang.domain.errors import InvalidRequest

SPELLINGS = [
    (device.id, name)
    for device in catalog.accelerators().values()
    for name in (device.id, device.model, f"{device.vendor} {device.model}", *device.aliases)
]


@given(st.text(max_size=250))
@settings(max_examples=150, deadline=None)
def test_any_text_is_answered_or_refused(name: str) -> None:
    for find in (catalog.accelerator, catalog.processor, catalog.place):
        refused: InvalidRequest | None = None
        try:
            assert find(name).id
        except InvalidRequest as error:
            refused = error
        if refused is not None:
            assert refused.field
            assert refused.allowed
            assert refused.message.isprintable()


@given(st.sampled_from(SPELLINGS), st.booleans(), st.sampled_from(["", " ", "-", "_"]))
@settings(max_examples=200, deadline=None)
def test_case_and_separators_do_not_matter(spelling: tuple[str, str], upper: bool, separator: str) -> None:
    device, name = spelling
    name = (name.upper() if upper else name.lower()).replace(" ", separator)
    assert catalog.accelerator(name).id == device
    assert device in {one.id for one in catalog.accelerators_named(name)}


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_normal_is_idempotent_up_to_a_kind(name: str) -> None:
    once = normal(name)
    assume(once)
    assert normal(f"gpu:{once}") in (once, normal(once))
