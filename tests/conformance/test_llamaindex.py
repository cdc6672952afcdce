"""LlamaIndex's class for Cloudflare's embeddings, whose address is a constant of its module."""

from __future__ import annotations

import pytest
from llama_index.embeddings.cloudflare_workersai import CloudflareEmbedding, base

from tests.server import ACCOUNT, Server


async def test_texts_become_vectors(starters: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "API_URL_TEMPLATE", starters.base_url + "/accounts/{}/ai/run/{}")
    embedder = CloudflareEmbedding(account_id=ACCOUNT, auth_token="any", model="@local/all-minilm-l6-v2")
    with embedder._session:
        vectors = embedder.get_text_embedding_batch(["a cat", "a dog"])
        query = embedder.get_query_embedding("a cat")
    assert [len(vector) for vector in vectors] == [384, 384]
    assert query == pytest.approx(vectors[0], abs=1e-5)
    assert await embedder.aget_text_embedding("a dog") == pytest.approx(vectors[1], abs=1e-5)
