"""What a run says in sentences: its cost, what was assumed, what to beware of; knows no page and no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.bench.cost import FREE_NEURONS_PER_DAY, Bill, busiest
from gateway.bench.figures import figure
from gateway.bench.result import OwnCost, Run, Stage
from gateway.tasks.neurons import USD_PER_NEURON

CLOUDFLARE = "https://api.cloudflare.com"
# The client is the limit, not the endpoint, when its one thread has hardly a pause.
BUSY_CLIENT_CORES = 0.8
# Of the machine, by its load average of the minute before.
BUSY_SHARE = 0.5


def headline(run: Run) -> str:
    """What was measured, where and when."""
    subject = run.subject
    return f"{subject.task}, each request {subject.load}. Measured at {subject.url}, {run.about.at}."


def cost_lines(run: Run) -> Iterator[str]:
    """What the work costs at Cloudflare and here, at the most answers a second that were seen."""
    bill = busiest(run)
    if bill is None:
        yield f"What this costs at Cloudflare is not known: {run.pricing.why_unknown}"
        return
    prices = ", ".join(f"{price.price:g} {price.currency} {price.unit}" for price in run.pricing.prices)
    yield (
        f"At Cloudflare the work of {connections(bill.connections)} costs {usd(bill.usd_per_hour)} an hour, "
        f"{usd(bill.usd_per_day)} a day, {usd(bill.usd_per_1000)} per 1,000 requests "
        f"(price of {run.pricing.model}: {prices or 'told with each answer'})."
    )
    if run.own_cost is not None:
        yield from _own_lines(bill, run.own_cost)


def _own_lines(bill: Bill, own: OwnCost) -> Iterator[str]:
    power = f"{own.watts:g} W at {own.usd_per_kwh:g} USD per kWh" if own.watts else ""
    monthly = f"{own.usd_per_month:g} USD a month" if own.usd_per_month else ""
    parts = " and ".join(part for part in (power, monthly) if part)
    yield (
        f"Your machine costs {usd(bill.own_usd_per_hour or 0)} an hour ({parts}), busy or not; "
        f"{usd(bill.own_usd_per_1000 or 0)} per 1,000 requests when it is kept busy."
    )
    share = bill.break_even_share
    if share is None:
        yield "Cloudflare asks nothing for this model: there is no break-even."
    elif bill.break_even_per_hour is None:
        yield f"Even if it never pauses, your machine costs {figure(share)} times what Cloudflare asks for its work."
    else:
        yield (
            f"Break-even is at {figure(bill.break_even_per_hour)} requests an hour, {figure(share * 100)} % of what "
            "it can do: with more your machine is cheaper, with fewer Cloudflare is."
        )


def warnings(run: Run) -> Iterator[str]:
    """What went wrong or makes the figures doubtful."""
    subject = run.subject
    if subject.answered_by != subject.model:
        yield f"{subject.answered_by} answered: {subject.model} is another name of it, or it stands in for it."
    if subject.is_here and run.about.load_before > BUSY_SHARE * run.about.threads:
        yield (
            f"Before the run {figure(run.about.load_before)} programs waited for the {run.about.threads} threads of "
            "this machine on average: the figures may be too low."
        )
    for stage in run.stages:
        where = f"With {connections(stage.connections)}"
        if stage.failed:
            yield f"{where} requests failed: {counts(stage.failed)}. They are in no other figure."
        if stage.waited:
            yield f"{where} callers were asked to come again, and did: {counts(stage.waited)}. Waiting is latency."
        if stage.client_cores > BUSY_CLIENT_CORES:
            yield (
                f"{where} this client kept {figure(stage.client_cores)} cores busy: "
                "it may be what limits the rate, not the model."
            )


def assumptions(run: Run, other: Run | None = None) -> Iterator[str]:
    """What a reader has to know to believe the figures; `other` is the run beside this one."""
    yield (
        "A connection has one request at a time. Requests are made up, no two alike, "
        f"and repeated with --seed {run.subject.seed}; "
        "those under way at the end are finished, and count with the share of their time that was measured."
    )
    if run.subject.is_here:
        yield "The client ran on the machine that it measured, and took some of it."
    if "sung vowels" in run.subject.load:
        yield "Sung vowels are no speech, which may take longer to write down: --audio FILE sends a clip of yours."
    if any(stage.neurons is not None for stage in run.stages):
        yield (
            f"Cloudflare's list price counts, 0.011 USD per 1,000 neurons. The {FREE_NEURONS_PER_DAY:,} neurons a day "
            f"that it gives away ({usd(FREE_NEURONS_PER_DAY * USD_PER_NEURON)}) are not deducted. "
            "Tokens are those of the model that answered."
        )
    if run.own_cost is not None:
        yield "Your machine's cost is what you named, around the clock; buying it is part of it only if you put it in."
    if not any(one.subject.is_cloudflare for one in (run, other) if one is not None):
        yield (
            "Cloudflare's own speed was not measured. The same command with "
            f"--url {CLOUDFLARE}, your --account and key does that, at your cost; --compare puts both side by side."
        )


def comparison(run: Run, other: Run) -> Iterator[str]:
    """What to know about the run beside this one."""
    yield f"Compared with {other.subject.model}: {headline(other)}"
    if (run.subject.form, run.subject.load) != (other.subject.form, other.subject.load):
        yield "Its requests were others than this run's: the ratios compare unlike work."


def connections(count: int) -> str:
    """So many of them."""
    return f"{count} connection{'s' * (count > 1)}"


def counts(found: dict[str, int]) -> str:
    """Codes and how often each was met."""
    return ", ".join(f"{number:,} × {code}" for code, number in found.items()) or "-"


def usd(amount: float) -> str:
    """An amount of money."""
    return f"{figure(amount)} USD" if amount >= 0.001 or not amount else f"{amount:.2g} USD"


def first_name(stages: Sequence[Stage]) -> str:
    """What comes first in an answer that comes in pieces."""
    return "first token" if any(stage.tokens_per_s for stage in stages) else "first sound"


def failures(stage: Stage) -> int:
    """How many requests of a stage failed."""
    return sum(stage.failed.values())
