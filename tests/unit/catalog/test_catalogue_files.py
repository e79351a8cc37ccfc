"""A provider's own device file: read strictly, named in every complaint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import Precision

GOOD: dict[str, Any] = {
    "sources": {"acme-sheet": {"title": "Acme A1 data sheet", "publisher": "Acme", "date": "2025-03"}},
    "defaults": {"vendor": "Acme", "kind": "asic", "domestic": True},
    "accelerators": {
        "acme-a1": {
            "model": "A1",
            "source": "acme-sheet",
            "rates": {"fp16": 100, "int8": [200, "acme-sheet", "estimated"]},
            "sparse_rates": {"fp16": 200},
            "memory_gb": 32,
            "links": [{"name": "AcmeLink", "each_way_gb_s": 50}],
            "aliases": ["Acme One"],
        }
    },
}


def _write(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "acme.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def _changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    change(document)
    return document


def test_a_providers_file_joins_the_catalogue(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    device = catalog.accelerator("acme one", path)
    assert device.id == "acme-a1"
    assert device.rate(Precision.INT8) == 200
    assert device.rates[Precision.INT8].note == "estimated"
    assert device.rates[Precision.FP16].published_on == "2025-03"
    assert device.links[0].each_way_gb_s == 50
    assert len(catalog.accelerators(path)) == len(catalog.accelerators()) + 1
    assert "acme-a1" not in catalog.accelerators()
    assert catalog.references(path)["acme-sheet"].publisher == "Acme"


def _entry(document: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = document["accelerators"]["acme-a1"]
    return entry


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "negative": (lambda d: _entry(d)["rates"].update(fp16=-1), "acme-a1.rates.fp16"),
    "zero": (lambda d: _entry(d)["rates"].update(fp16=0), "acme-a1.rates.fp16"),
    "absurd": (lambda d: _entry(d)["rates"].update(fp16=1e12), "acme-a1.rates.fp16"),
    "a huge integer": (lambda d: _entry(d)["rates"].update(fp16=10**400), "acme-a1.rates.fp16"),
    "text for a number": (lambda d: _entry(d)["rates"].update(fp16="100"), "acme-a1.rates.fp16"),
    "a flag for a number": (lambda d: _entry(d).update(memory_gb=True), "acme-a1.memory_gb"),
    "no such precision": (lambda d: _entry(d)["rates"].update(fp7=1), "acme-a1.rates.fp7"),
    "no such source": (lambda d: _entry(d).update(memory_gb=[32, "nobody"]), "acme-a1.memory_gb"),
    "no source at all": (lambda d: _entry(d).pop("source"), "acme-a1.rates.fp16"),
    "sparse without dense": (lambda d: _entry(d).update(sparse_rates={"bf16": 2}), "acme-a1.sparse_rates.bf16"),
    "sparse in the dense column": (lambda d: _entry(d)["rates"].update(fp16=250), "acme-a1.sparse_rates.fp16"),
    "an unknown field": (lambda d: _entry(d).update(colour="red"), "acme-a1.colour"),
    "an unknown kind": (lambda d: _entry(d).update(kind="cpu"), "acme-a1.kind"),
    "no vendor": (lambda d: d["defaults"].pop("vendor"), "acme-a1.vendor"),
    "a link counted both ways": (
        lambda d: _entry(d)["links"][0].update(both_ways_gb_s=1),
        "acme-a1.links[0]",
    ),
    "an alias of another": (lambda d: _entry(d).update(aliases=["H100"]), "acme-a1.aliases"),
    "an identifier of another": (
        lambda d: d["accelerators"].update({"nvidia-t4": _entry(d)}),
        "accelerators.nvidia-t4",
    ),
    "a hostile identifier": (lambda d: d["accelerators"].update({"../x": _entry(d)}), "accelerators.../x"),
    "a source key of another": (
        lambda d: d["sources"].update({"nv-h100": d["sources"]["acme-sheet"]}),
        "sources.nv-h100",
    ),
    "a source without a date": (lambda d: d["sources"]["acme-sheet"].update(date="soon"), "sources.acme-sheet.date"),
    "an impossible release": (lambda d: _entry(d).update(released="2025-13"), "acme-a1.released"),
    "control characters": (lambda d: _entry(d).update(model="A\u0007"), "acme-a1.model"),
    "an unknown table": (lambda d: d.update(machines={}), "machines"),
    "a list for a table": (lambda d: d.update(accelerators=[]), "accelerators"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    change, field = BAD[case]
    path = _write(tmp_path, _changed(change))
    with pytest.raises(InvalidRequest) as caught:
        catalog.accelerators(path)
    assert caught.value.field is not None
    assert caught.value.field.endswith(field)
    assert caught.value.message.startswith("acme.json: ")
    assert caught.value.allowed


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": NaN}', '{"accelerators": {}, "accelerators": {}}', "[" * 100_000, '{"defaults": Infinity}'],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"acme\.json"):
        catalog.accelerators(_write(tmp_path, text))


def test_missing_binary_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        catalog.accelerators(tmp_path / "none.json")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        catalog.accelerators(binary)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 2_000_001)
    with pytest.raises(InvalidRequest, match="too large"):
        catalog.accelerators(large)
