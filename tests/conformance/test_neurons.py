"""Official clients read answers that tell their neurons, and still add up the token counts of streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloudflare import Cloudflare
from openai import OpenAI

from tests.conformance.test_langchain import chat
from tests.server import ACCOUNT, Server, gateway, write_models

MODEL, TEXT = "@cf/test/chat", "three words here"
NEURONS = 9.0  # three tokens in for one each, three out for two each
_PRICE = "price: [{unit: per M input tokens, price: 11.0}, {unit: per M output tokens, price: 22.0}]"  # 1 and 2 neurons


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A row of each family of answers, with a price."""
    fields = f"task: text-generation, engine: fake_chat, properties: {{{_PRICE}}}"
    rows = [f"{{name: '{MODEL}', {fields}}}", f"{{name: '{MODEL}-objects', shape: chat-completion, {fields}}}"]
    models = write_models(tmp_path_factory.mktemp("priced") / "models.yaml", *rows)
    with gateway("--models", str(models)) as server:
        yield server


def test_cloudflare(priced: Server) -> None:
    with Cloudflare(api_token="any", base_url=priced.base_url, max_retries=0) as client:
        answer = client.ai.with_raw_response.run(MODEL, account_id=ACCOUNT, prompt=TEXT)
        assert answer.headers["cf-ai-neurons"] == "9.00"
        result = answer.parse()
    assert isinstance(result, dict)
    assert result["usage"]["neurons"] == pytest.approx(NEURONS)


def test_openai(priced: Server) -> None:
    with OpenAI(api_key="any", base_url=f"{priced.base_url}/accounts/{ACCOUNT}/ai/v1", max_retries=0) as client:
        whole = client.chat.completions.create(model=f"{MODEL}-objects", messages=[{"role": "user", "content": TEXT}])
        stream = client.chat.completions.create(
            model=f"{MODEL}-objects",
            messages=[{"role": "user", "content": TEXT}],
            stream=True,
            stream_options={"include_usage": True},
        )
        counts = [chunk.usage for chunk in stream if chunk.usage is not None]
    assert [usage.model_dump()["neurons"] for usage in (whole.usage, *counts) if usage] == pytest.approx([NEURONS] * 2)


@pytest.mark.parametrize("route", ["workers_ai", "openai_compatible"])
@pytest.mark.parametrize("model", [MODEL, f"{MODEL}-objects"])
def test_langchain_adds_up_the_counts_of_chunks(priced: Server, route: str, model: str) -> None:
    with chat(priced, route, model) as llm:
        whole = llm.invoke(TEXT)
        chunks = list(llm.stream(TEXT))
        joined = chunks[0]
        for chunk in chunks[1:]:
            joined += chunk
    assert whole.content == joined.content == TEXT
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] == 6
