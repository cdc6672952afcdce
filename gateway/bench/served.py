"""What a model is, asked of the endpoint's catalogue first and of models.yaml second; runs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from gateway.bench.caller import EndpointGone
from gateway.bench.endpoint import Endpoint
from gateway.config import ConfigError, ModelSpec
from gateway.errors import ModelNotFound
from gateway.models_file import similar
from gateway.properties import Price
from gateway.tasks import TASKS, Task
from gateway.tasks.schema import input_schema, with_batch_input

PRICES = TypeAdapter(tuple[Price, ...])
# To find a similar name among.
MOST_NAMES = 1000


@dataclass(frozen=True)
class Served:
    """A model: the form that it is asked in, and what its work costs at Cloudflare."""

    form: Task
    prices: tuple[Price, ...]


def find(endpoint: Endpoint, model: str, rows: Sequence[ModelSpec]) -> Served:
    """What the endpoint or, if it has no catalogue or one that we may not read, a row says of the model.

    Raises `EndpointGone` if nobody listens there, `ConfigError` if the key is refused or nobody knows the model.
    """
    row = next((row for row in rows if model in (row.name, *row.aliases)), None)
    try:
        with endpoint.client() as http:
            schema = http.get(endpoint.path("models/schema"), params={"model": model})
            _check(endpoint, model, schema, http)
            listed = _listed(endpoint, model, http)
    except httpx.TransportError as error:
        raise EndpointGone(
            f"no gateway answers at {endpoint.root} ({error}): start one with `gateway serve`, "
            "or say where it is with --url"
        ) from error
    form = _form(_result(schema), row)
    if form is None:
        raise ConfigError(
            f"neither the catalogue of {endpoint.root} nor models.yaml says what {model} does: "
            "add a row with its name and task to models.yaml"
        )
    return Served(form, _prices(listed) or (row.properties.price if row is not None else ()))


def price_of(name: str, rows: Sequence[ModelSpec]) -> tuple[Price, ...]:
    """The prices of a row, by name or alias; raises `ConfigError` if there are none."""
    names = [row.name for row in rows if row.properties.price]
    found = next((row.properties.price for row in rows if name in (row.name, *row.aliases)), None)
    if found:
        return found
    raise ConfigError(f"--priced-as {name}: models.yaml has no price for it{similar(name, names)}")


def _check(endpoint: Endpoint, model: str, answer: httpx.Response, http: httpx.Client) -> None:
    code = _code(answer)
    if answer.status_code in (400, 401) and code != ModelNotFound.code:
        raise ConfigError(refused(endpoint, code, answer.text))
    if code == ModelNotFound.code:
        everything = http.get(endpoint.path("models/search"), params={"per_page": MOST_NAMES})
        names = [str(item["name"]) for item in _result(everything) or () if "name" in item]
        raise ConfigError(f"{endpoint.root} serves no model {model}{similar(model, names)}")


def refused(endpoint: Endpoint, code: Any, text: str) -> str:
    """What to do about a credential or account that was not taken."""
    if code in (9106, 10000, 6003, 7003):
        return (
            f"{endpoint.root} refuses this key or account ({code}): put a key with the scopes run and read into "
            "GATEWAY_KEY, and name the account that it is for with --account"
        )
    return f"{endpoint.root} refuses the request ({code}): {text[:300]}"


def _listed(endpoint: Endpoint, model: str, http: httpx.Client) -> Mapping[str, Any] | None:
    """The model's item of the catalogue; aliases have none."""
    answer = http.get(endpoint.path("models/search"), params={"search": model, "per_page": MOST_NAMES})
    items = _result(answer)
    return next((item for item in items if item.get("name") == model), None) if isinstance(items, list) else None


def _form(result: Any, row: ModelSpec | None) -> Task | None:
    """The form whose schema the catalogue shows, of several the row's; the row's alone if it shows none of ours."""
    shown = result.get("input") if isinstance(result, dict) else None
    of_row = None if row is None else TASKS.get(row.task, row.shape)
    fit = [form for form in TASKS if shown in (input_schema(form), with_batch_input(input_schema(form)))]
    return of_row if of_row is not None and (of_row in fit or not fit) else next(iter(fit), None)


def _prices(listed: Mapping[str, Any] | None) -> tuple[Price, ...]:
    for fact in (listed or {}).get("properties") or ():
        if fact.get("property_id") == "price":
            try:
                return PRICES.validate_python(fact.get("value"))
            except ValidationError:
                return ()
    return ()


def _code(answer: httpx.Response) -> Any:
    errors = _json(answer).get("errors")
    return errors[0].get("code") if isinstance(errors, list) and errors else None


def _result(answer: httpx.Response) -> Any:
    return _json(answer).get("result")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
