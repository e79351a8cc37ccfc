"""Reads a need file: text to plain values, plain values to a form, a form to a `Need`. Every step names the wrong field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from pydantic import TypeAdapter, ValidationError

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.architectures import model_from_config
from suanwang.measuring.memory import Zero
from suanwang.measuring.models import Model, model_of_size
from suanwang.measuring.need import (
    CoreHoursNeed,
    FineTuneNeed,
    InferenceNeed,
    Need,
    SampleNeed,
    SimulationNeed,
    TrainingNeed,
)
from suanwang.measuring.simulation import FORWARD_GFLOPS
from suanwang.needfile.forms import (
    WORKS,
    CoreHoursForm,
    FinetuneForm,
    Form,
    InferenceForm,
    ModelForm,
    NetworkForm,
    PretrainForm,
    SimulationForm,
)
from suanwang.needfile.plain import plain_values

_FORMS: TypeAdapter[Form] = TypeAdapter(Form)
_MOST_SHOWN = 10


def read_need(text: str | bytes, *, filename: str = "need.yaml") -> Need:
    """The need that a YAML or JSON text states.

    Raises `InvalidRequest` naming the first wrong field and what is allowed, and `TooLarge` above 256 KiB.
    """
    return need_from(plain_values(text, filename=filename))


def need_from(value: object) -> Need:
    """The need of parsed values, as the API receives them. Raises `InvalidRequest`."""
    if not isinstance(value, dict):
        raise InvalidRequest("a need file must be a mapping", field="file", allowed="a mapping with `work`")
    if "work" not in value:
        hint = "; put a config.json under model.config" if "model_type" in value else ""
        message = f"work is missing: say what is to be computed, one of {', '.join(WORKS)}{hint}"
        raise InvalidRequest(message, field="work", allowed=", ".join(WORKS))
    try:
        form = _FORMS.validate_python(value)
    except ValidationError as error:
        raise _invalid(error) from error
    return _need(form)


def need_schemas(ref_template: str) -> Mapping[str, Any]:
    """JSON schemas by component name; `Need` is the whole file's."""
    schema = _FORMS.json_schema(ref_template=ref_template)
    return {**schema.pop("$defs"), "Need": schema}


def _need(form: Form) -> Need:
    match form:
        case PretrainForm():
            return TrainingNeed(
                model=_model(form.model),
                tokens=form.tokens,
                precision=form.precision,
                context=form.context,
                global_batch_tokens=form.global_batch_tokens,
                recompute=form.recompute,
                zero=None if form.zero is None else Zero(form.zero),
                micro_batch=form.micro_batch,
            )
        case FinetuneForm():
            return _finetune(form)
        case InferenceForm():
            return _inference(form)
        case NetworkForm():
            return _network(form)
        case SimulationForm():
            return SimulationNeed(
                operations=form.operations,
                bytes_moved=form.bytes_moved,
                precision=form.precision,
                memory_gb=form.memory_gb,
            )
        case CoreHoursForm():
            return CoreHoursNeed(
                core_hours=form.core_hours, serial_share=form.serial_share, reference_gflops=form.reference_gflops
            )
        case _:
            assert_never(form)


def _finetune(form: FinetuneForm) -> FineTuneNeed:
    return FineTuneNeed(
        model=_model(form.model),
        tokens=form.tokens,
        epochs=form.epochs,
        method=form.method,
        rank=form.rank,
        weights_precision=form.weights_precision,
        precision=form.precision,
        context=form.context,
        global_batch_tokens=form.global_batch_tokens,
        recompute=form.recompute,
        zero=None if form.zero is None else Zero(form.zero),
        micro_batch=form.micro_batch,
    )


def _inference(form: InferenceForm) -> InferenceNeed:
    if (form.requests_per_s is None) == (form.output_tokens_per_s is None):
        message = "give the rate once: requests_per_s or output_tokens_per_s"
        raise InvalidRequest(message, field="requests_per_s", allowed="one of the two")
    rate = form.requests_per_s
    if rate is None:
        rate = (form.output_tokens_per_s or 0.0) / max(1, form.output_tokens)
    return InferenceNeed(
        model=_model(form.model),
        prompt_tokens=form.prompt_tokens,
        output_tokens=form.output_tokens,
        requests_per_s=rate,
        hours=form.hours,
        ttft_s=form.ttft_s,
        tpot_s=form.tpot_s,
        precision=form.precision,
        kv_precision=form.kv_precision,
    )


def _network(form: NetworkForm) -> SampleNeed:
    if (form.network is None) == (form.flops_per_sample is None):
        message = "give flops_per_sample, or the network's name"
        raise InvalidRequest(message, field="flops_per_sample", allowed="one of the two")
    flops = form.flops_per_sample
    if form.network is not None:
        if form.network not in FORWARD_GFLOPS:
            allowed = ", ".join(FORWARD_GFLOPS)
            message = f"network {form.network!r} is not known; give flops_per_sample, or one of {allowed}"
            raise InvalidRequest(message, field="network", allowed=allowed)
        flops = FORWARD_GFLOPS[form.network] * 1e9
    return SampleNeed(
        flops_per_sample=flops or 0.0,
        samples=form.samples,
        epochs=form.epochs,
        training=form.training,
        precision=form.precision,
        bytes_per_sample=form.bytes_per_sample,
        memory_gb=form.memory_gb,
    )


def _model(form: ModelForm) -> Model:
    numbers = (form.parameters, form.active_parameters, form.layers, form.hidden, form.vocab)
    if form.config is not None:
        if any(number is not None for number in numbers):
            message = "model is given twice: by config and by numbers; keep one"
            raise InvalidRequest(message, field="model", allowed="config, or parameters with what else is known")
        try:
            return model_from_config(form.config, name=form.name)
        except InvalidRequest as error:
            field = f"model.config.{error.field}"
            raise InvalidRequest(error.message, field=field, allowed=error.allowed) from error
    if form.parameters is None:
        message = "model.parameters is missing: give it (such as 7B), or the model's config"
        raise InvalidRequest(message, field="model.parameters", allowed="a count, or model.config")
    return model_of_size(
        form.parameters,
        name=form.name,
        active_parameters=form.active_parameters,
        layers=form.layers,
        hidden=form.hidden,
        vocab=form.vocab,
    )


def _invalid(error: ValidationError) -> InvalidRequest:
    """The first problem as the field, all of them in the message."""
    problems = error.errors(include_url=False, include_input=False)
    places = [_place(problem["loc"]) for problem in problems]
    lines = [
        f"{place}: {problem['msg'].removeprefix('Value error, ')}"
        for place, problem in zip(places, problems, strict=True)
    ][:_MOST_SHOWN]
    first = problems[0]
    allowed = str(first.get("ctx", {}).get("expected", "")) or None
    return InvalidRequest("; ".join(lines), field=places[0], allowed=allowed)


def _place(location: tuple[int | str, ...]) -> str:
    """The field's path; the first part is the kind of work, which the user did not write as a key."""
    parts = [str(part) for part in location]
    if parts and parts[0] in WORKS:
        parts = parts[1:]
    return ".".join(parts) or "work"
