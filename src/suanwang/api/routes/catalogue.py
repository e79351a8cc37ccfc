"""Routes about the catalogue: what is printed about chips, and by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang import catalog
from suanwang.api import answering_quotes as telling
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Route
from suanwang.api.describing import FAULT
from suanwang.catalog.devices import search_accelerators
from suanwang.client import quote_models as models
from suanwang.domain.errors import InvalidRequest, NotFound

router = APIRouter(prefix="/v1/catalog", tags=["quotes"], route_class=Route, responses=FAULT)


@router.get("/accelerators", response_model=models.AcceleratorList)
def accelerators(
    ask: Asked,
    q: Annotated[str, Query(max_length=100, description="Part of a name, or one that is spelt nearly so")] = "",
) -> Response:
    """Accelerators by vendor and model; with `q` those that it may mean."""
    _ = ask.caller
    found = search_accelerators(q) if q.strip() else tuple(catalog.accelerators().values())
    rows = sorted(found, key=lambda device: (device.vendor, device.model)) if not q.strip() else found
    return answer({"items": [telling.accelerator_row(device) for device in rows]})


@router.get("/accelerators/{model}", response_model=models.AcceleratorView)
def accelerator(ask: Asked, model: str) -> Response:
    """One accelerator by any of its names, each figure with its source."""
    _ = ask.caller
    try:
        found = catalog.accelerator(model, field="model")
    except InvalidRequest as error:
        raise NotFound(error.message, field="model", allowed=error.allowed) from None
    return answer(telling.accelerator(found))


@router.get("/processors", response_model=models.ProcessorList)
def processors(ask: Asked) -> Response:
    """Server processors by vendor and model."""
    _ = ask.caller
    found = sorted(catalog.processors().values(), key=lambda processor: (processor.vendor, processor.model))
    return answer({"items": [telling.processor_row(processor) for processor in found]})
