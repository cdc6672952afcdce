"""The command: measures a model and shows, keeps and plots what was found; knows no HTTP and no statistics."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import uvloop

from gateway import models_file
from gateway.bench import words
from gateway.bench.endpoint import Endpoint
from gateway.bench.material import Material
from gateway.bench.report.page import page
from gateway.bench.result import Run, read_run
from gateway.bench.session import Order, Session
from gateway.cli import terminal
from gateway.cli.address import default_url
from gateway.cli.bench import options, view
from gateway.cli.serve import read_settings
from gateway.config import ConfigError
from gateway.errors import GatewayError


def bench(
    model: options.Model,
    url: options.Url = None,
    account: options.Account = None,
    key: options.Key = None,
    connections: options.Connections = None,
    seconds: options.Seconds = 20.0,
    requests: options.Requests = None,
    timeout: options.Timeout = 300.0,
    max_tokens: options.MaxTokens = 128,
    audio: options.Audio = None,
    seed: options.Seed = None,
    priced_as: options.PricedAs = None,
    watts: options.Watts = None,
    price_per_kwh: options.PricePerKwh = None,
    monthly_cost: options.MonthlyCost = 0.0,
    json: options.Json = None,
    report: options.Report = None,
    compare: options.Compare = None,
) -> None:
    """Measure a model of a running gateway, and say what the same work costs at Cloudflare."""
    options.check_folder(json)
    options.check_folder(report)
    order = Order(
        endpoint=Endpoint(url or default_url(), account or options.default_account(), key),
        model=model,
        material=Material(secrets.randbelow(1 << 31) if seed is None else seed, max_tokens, options.read_audio(audio)),
        seconds=seconds,
        connections=options.numbers(connections),
        most=requests,
        timeout_s=timeout,
        priced_as=priced_as,
        own_cost=options.own_cost(watts, price_per_kwh, monthly_cost),
    )
    other = None if compare is None else read_run(compare)
    run = _measure(order, other)
    _show(run, other)
    _keep(run, other, json, report)


def _measure(order: Order, other: Run | None) -> Run:
    """The run; of one that fails, the stages that were done are shown."""
    if not order.endpoint.is_here:
        terminal.say(f"Requests leave this machine for {order.endpoint.root}, and may be charged there.", stderr=True)
    rows = models_file.load_specs(models_file.find_models_file(read_settings({})))
    session = Session(order, rows, sys.argv[2:])
    if other is not None and other.subject.task != session.load.form.title:
        raise ConfigError(f"--compare: that run is of another task, {other.subject.task}")
    terminal.say(f"{order.model} at {order.endpoint.root}: each request {session.load.what}", stderr=True)
    bar = view.StageBar(terminal.console(stderr=True))
    try:
        return uvloop.run(session.run(bar))
    except GatewayError:
        if session.stages:
            terminal.console().print(view.table_of_stages(session.stages))
        raise
    finally:
        bar.close()


def _show(run: Run, other: Run | None) -> None:
    console = terminal.console()
    console.print(view.table_of_stages(run.stages))
    for text in words.warnings(run):
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if other is not None:
        console.print(view.comparison(run, other))
        for text in words.comparison(run, other):
            terminal.say(text)
    for text in (*words.cost_lines(run), *words.assumptions(run, other)):
        terminal.say(text)


def _keep(run: Run, other: Run | None, json: Path | None, report: Path | None) -> None:
    if json is not None:
        run.write(json)
        terminal.say(f"The run is in {json}.")
    if report is not None:
        report.write_text(page(run, other), encoding="utf-8")
        terminal.say(f"The report is in {report}.")
