"""Commands about what work needs, what is offered for it, and what finished runs taught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import JobFailed, UsageError
from suanwang.cli.options import Json, Limit, Project, network
from suanwang.cli.submitting import default_project, read_input, upload_inputs

if TYPE_CHECKING:
    from suanwang.client import Client, models, quote_models
    from suanwang.domain.task import Task

devices = typer.Typer(no_args_is_help=True, help="The catalogue of accelerators: list, show.")
lessons = typer.Typer(no_args_is_help=True, help="What finished runs taught: list.")
File = Annotated[str, typer.Argument(metavar="FILE", help="A need file or a task file; - reads standard input.")]


def need(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A need file; - reads standard input.")],
    device: Annotated[
        list[str] | None,
        typer.Option(help="A device by any name; by default those the network has.", show_default=False),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Cards; by default the fewest that hold the work.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Reckon here, without a network, on the reference card or --device.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how much computing a need takes: cards, hours, PetaFLOPS-days, kWh."""
    from suanwang.cli import quote_tables
    from suanwang.cli.terminal import console, emit

    text, name = read_input(file)
    if local:
        found = _here(text, name, device or [], count)
    else:
        with network(context) as client:
            found = client.requirement(_decoded(text), devices=device or (), count=count)
    if as_json:
        emit(found)
        return
    out = console()
    out.print(quote_tables.requirement(found))
    _print_assumptions(found.estimates[0].assumptions)


def _here(text: bytes, name: str, named: list[str], count: int | None) -> quote_models.RequirementView:
    """The same reckoning as the network's, without what its runs have taught."""
    from suanwang.api.answering_quotes import requirement
    from suanwang.client.quote_models import RequirementView
    from suanwang.needfile import read_need
    from suanwang.scheduling.requirement import requirement_of

    found = requirement_of(read_need(text, filename=name), named=named, count=count)
    return RequirementView.model_validate(requirement(found))


def _decoded(text: bytes) -> str:
    from suanwang.domain.errors import InvalidRequest

    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the file is not UTF-8 text", field="FILE", allowed="UTF-8") from error


def _print_assumptions(assumptions: list[str]) -> None:
    from suanwang.cli.terminal import console, said
    from suanwang.cli.words import word

    if assumptions:
        out = console()
        out.print(word("assumed") + ":", style="bold")
        for line in assumptions:
            out.print(f"  · {said(line)}")


def quote(
    context: typer.Context,
    file: File,
    project: Project = None,
    objective: Annotated[
        str | None,
        typer.Option(help="cheapest, greenest, fastest, balanced, or weights: price=2,carbon=1.", show_default=False),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Offer a need only on this device.", show_default=False)
    ] = None,
    title: Annotated[str, typer.Option(help="What people read above the quote.")] = "",
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """Offers for a need or a task over all sites and chips, at prices that bind until the quote expires."""
    from suanwang.cli.terminal import emit

    text, name = read_input(file)
    with network(context) as client:
        pays = project or default_project(client)
        made = client.quote(
            _decoded(text), project=pays, objective=objective, devices=device or (), title=title or name
        )
        if not as_json:
            _print_quote(client, made, limit)
    if as_json:
        emit(made)
    if not made.offers:
        raise JobFailed("no site can do this work now; the reason of every site is above")


def _print_quote(client: Client, made: quote_models.QuoteView, limit: int) -> None:
    from suanwang.cli import quote_tables, tables
    from suanwang.cli.terminal import console
    from suanwang.cli.words import word

    names = {site.id: tables.site_name(site) for site in client.sites()}
    out = console()
    if made.offers:
        out.print(quote_tables.offers(made.offers[:limit], names))
        if made.offers and made.offers[0].price.dated:
            out.print(quote_tables.parts(made.offers[0]))
    if made.excluded:
        out.print(word("no_offer") + ":", style="bold")
        out.print(quote_tables.excluded((names.get(row.site, row.site), row.text) for row in made.excluded))
    _print_assumptions(made.assumptions)
    if made.work_pd is not None:
        out.print(f"{word('work_pd')}: {quote_tables.significant(made.work_pd)} PFLOPS·d")
    out.print(f"{word('quote')} {made.id}  {word('binds_until')} {tables.instant(made.expires_at)}")
    out.print(client.url + made.page)
    if made.offers:
        out.print(f"suanwang submit TASK --quote {made.id} --offer 1")


def trial(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A task that writes its steps to $SUANWANG_METRICS.")],
    steps: Annotated[float, typer.Option(min=0, help="Steps of the whole run.")],
    limit: Annotated[str, typer.Option(help="How long the trial may run: 90s, 5m, …")] = "60s",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Run a task for a short while and say how long the whole run takes, and how sure that is."""
    from pathlib import Path

    from suanwang.cli import quote_tables
    from suanwang.cli.terminal import console, emit, note
    from suanwang.taskfile import read_tasks

    if steps <= 0:
        raise UsageError("--steps must be above 0")
    text, name = read_input(file)
    submission = read_tasks(text, filename=name)
    if len(submission.tasks) != 1 or submission.tasks[0].count != 1:
        raise UsageError(f"{name} has several runs: a trial is of one")
    task = _shortened(submission.tasks[0], limit)
    with network(context) as client:
        pays = project or default_project(client)
        upload_inputs(client, submission.uploads, project=pays, folder=Path.cwd())
        (job,) = client.submit([task], project=pays).jobs
        note(f"trial {job.id}")
        ended = _until_ended(client, job.id)
        found = _extrapolated(client, ended, steps)
    if as_json:
        emit({"job": ended.id, "site": ended.site, **found.model_dump(mode="json")})
    else:
        console().print(quote_tables.trial(found, _each_second(ended)))


def _shortened(task: Task, limit: str) -> Task:
    from dataclasses import replace

    from suanwang.taskfile.quantities import parse_duration_s

    try:
        limit_s = parse_duration_s(limit)
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from error
    return replace(task, resources=replace(task.resources, time_limit_s=max(1, limit_s), expected_s=None))


def _until_ended(client: Client, job_id: str) -> models.JobDetail:
    import time

    from suanwang.cli import submitting
    from suanwang.domain.lifecycle import ENDED

    while (job := client.job(job_id)).state not in ENDED:
        time.sleep(submitting.WATCH_S)
    return job


def _extrapolated(client: Client, job: models.JobDetail, steps: float) -> quote_models.ExtrapolationView:
    """A trial that its limit ended has done what it was for; one that never ran has not."""
    from suanwang.cli.terminal import said
    from suanwang.cli.words import state_word
    from suanwang.domain.errors import InvalidRequest

    try:
        return client.extrapolate(job.id, steps)
    except InvalidRequest as error:
        ending = state_word(job.state) + (f" ({said(job.reason)})" if job.reason else "")
        raise JobFailed(
            f"the trial {job.id} ended {ending}, and {error.message}; see `suanwang logs {job.id}`"
        ) from error


def _each_second(job: models.JobDetail) -> dict[str, float]:
    """What a second of this run costs, as it was metered."""
    usage = job.usage
    if usage.wall_s <= 0:
        return {}
    return {
        "price": float(usage.cost_yuan) / usage.wall_s,
        "energy": usage.energy_kwh / usage.wall_s,
        "carbon": usage.carbon_g / usage.wall_s,
    }


@devices.command("list")
def list_devices(
    context: typer.Context,
    search: Annotated[str, typer.Argument(metavar="[NAME]", help="Part of a name.")] = "",
    as_json: Json = False,
) -> None:
    """List the accelerators of the catalogue; rates are dense, TFLOPS (TOPS for integers)."""
    from suanwang.cli import quote_tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.accelerators(search)
    if as_json:
        emit(rows)
    else:
        console().print(quote_tables.devices(rows))


@devices.command("show")
def show_device(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Any of its names.")],
    as_json: Json = False,
) -> None:
    """Show one accelerator: dense, with sparsity and as printed, each figure with its source."""
    from suanwang.cli import quote_tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        view = client.accelerator(name)
    if as_json:
        emit(view)
        return
    out = console()
    for part in (quote_tables.device_facts(view), quote_tables.device(view), quote_tables.sources(view.sources)):
        out.print(part)


@lessons.command("list")
def list_lessons(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """List predictions against outcomes, newest first, and what is believed now."""
    from suanwang.cli import quote_tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows, believed = client.lessons(limit=min(limit, 1000)), client.beliefs()
    if as_json:
        emit({"lessons": rows, "beliefs": believed})
        return
    out = console()
    out.print(quote_tables.lessons(rows))
    out.print(quote_tables.beliefs(believed))
