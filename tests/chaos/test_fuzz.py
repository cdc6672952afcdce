"""Fuzzing with a fixed budget: whatever is sent, it is answered or refused in the envelope, and never a fault."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.api.bodies import to_asked
from gateway.app import create_app
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.tasks import TASKS, Task, TaskInput
from tests.server import ACCOUNT, gateway, write_models

TIMEOUT_S = 20
ROOT = str(Path(__file__).parents[2])
MODELS = {
    "@test/classifies": "task: text-classification, engine: fake",
    "@test/embeds": "task: text-embeddings, engine: fake",
    "@test/listens": "task: automatic-speech-recognition, shape: whisper, engine: fake",
    "@test/draws": "task: text-to-image, shape: stable-diffusion, engine: fake",
    "@test/says": "task: text-generation, engine: fake_chat",
    "@test/chats": "task: text-generation, shape: chat-completion, engine: 'tests.fixtures.engines.scripted:Engine'",
}


def budget(examples: int) -> settings:
    """The same examples on every run."""
    checks = list(HealthCheck)
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=checks,
    )


def operations() -> dict[str, Any]:
    """Every operation of the server's own OpenAPI document."""
    options = Settings(home=Path(tempfile.gettempdir()), openai_models=True)
    document = schemathesis.openapi.from_dict(create_app(options, []).openapi())
    found = [operation.ok() for operation in document.get_all_operations()]
    return {operation.label: operation for operation in found}


OPERATIONS = operations()


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("fuzz")
    models = write_models(home / "models.yaml", *(f"{{name: '{name}', {row}}}" for name, row in MODELS.items()))
    env = {"PYTHONPATH": ROOT, "GATEWAY_OPENAI_MODELS": "true"}
    with gateway("--models", str(models), "--home", str(home), "--offline", env=env) as server:
        url, headers = f"http://127.0.0.1:{server.port}", {"authorization": "Bearer any"}
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as http:
            yield http


def is_answered(response: httpx.Response) -> None:
    """It is an answer, or a refusal in the envelope with a code."""
    assert response.status_code < 500, response.text[:500]
    if response.status_code >= 400:
        (error,) = response.json()["errors"]
        assert isinstance(error["code"], int)


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_of_the_document_answers_or_refuses(http: httpx.Client, label: str) -> None:
    @budget(12)
    @given(OPERATIONS[label].as_strategy(), st.sampled_from(sorted(MODELS)))
    def fuzz(case: Any, model: str) -> None:
        known = {"account_id": ACCOUNT, "model_name": model}
        case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = model
        request = case.as_transport_kwargs(base_url=str(http.base_url).rstrip("/"))
        request = {name: value for name, value in request.items() if name not in ("cookies", "auth") and value}
        if isinstance(request.get("data"), bytes | str):
            request["content"] = request.pop("data")
        if isinstance(request.get("files"), list):
            request["files"] = [(str(name), (None, str(value).encode())) for name, value in request["files"]]
        is_answered(http.request(**request))

    fuzz()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FORM = "multipart/form-data; boundary=X"
KINDS = (
    "application/octet-stream",
    "application/json",
    "audio/wav",
    "image/png",
    "",
    FORM,
)
STARTS = (b"", b"{", b"--X\r\n", b"RIFF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xef\xbb\xbf{", b"GIF89a")


def is_parsed(task: Task, kind: str, body: bytes) -> None:
    """It becomes an input, or a refusal that a caller may see."""
    try:
        asked = to_asked(task, Headers({"content-type": kind}), body, {})
    except GatewayError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - what is parsed needs no error
    else:
        assert isinstance(asked.input, TaskInput)


@pytest.mark.parametrize("task", list(TASKS), ids=lambda task: f"{task.name}-{task.shape}")
def test_any_raw_body_is_an_input_or_a_refusal(task: Task) -> None:
    @budget(40)
    @given(st.sampled_from(KINDS), st.sampled_from(STARTS), st.binary(max_size=300))
    def fuzz(kind: str, start: bytes, rest: bytes) -> None:
        is_parsed(task, kind, start + rest)

    fuzz()


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task.takes_forms], ids=lambda task: f"{task.name}-{task.shape}"
)
def test_any_form_is_an_input_or_a_refusal(task: Task) -> None:
    names = sorted(task.input.model_fields)
    part = st.tuples(st.sampled_from(names), st.sampled_from(["", '; filename="a"']), st.binary(max_size=60))

    @budget(60)
    @given(st.lists(part, max_size=8), st.sampled_from([b"--X--\r\n", b"--X--", b"", b"--Y--\r\n"]))
    def fuzz(parts: list[tuple[str, str, bytes]], end: bytes) -> None:
        written = [
            f'--X\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
            for name, more, content in parts
        ]
        is_parsed(task, FORM, b"".join(written) + end)

    fuzz()


@pytest.mark.parametrize("model", MODELS)
def test_any_values_in_a_models_own_fields_are_answered_or_refused(http: httpx.Client, model: str) -> None:
    task, _, rest = MODELS[model].removeprefix("task: ").partition(",")
    shape = rest.partition("shape: ")[2].partition(",")[0] or None
    fields = [*sorted(TASKS.get(task, shape).input.model_fields), "prompt", "messages", "requests", "options"]

    @budget(30)
    @given(st.dictionaries(st.sampled_from(fields), JSON, max_size=6))
    def fuzz(document: dict[str, Any]) -> None:
        is_answered(http.post(f"/client/v4/accounts/{ACCOUNT}/ai/run/{model}", json=document))

    fuzz()
