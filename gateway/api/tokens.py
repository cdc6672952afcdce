"""Token verification, which clients probe before their first call (docs/api.md); knows no model."""

from __future__ import annotations

import hashlib

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.exchange import exchange_of
from gateway.api.routes import UnscopedRoute
from gateway.tasks.base import JSON

_VALID = {"code": 10000, "message": "This API Token is valid and active", "type": None}


async def verify(request: Request) -> Response:
    """Say that the token is valid: with any other, the gate would have answered. The id is derived from the token."""
    identity = hashlib.sha256(b"token id:" + exchange_of(request.scope).token).hexdigest()[:32]
    result = {"id": identity, "status": "active"}
    document = {"result": result, "success": True, "errors": [], "messages": [_VALID]}
    return Response(orjson.dumps(document), media_type=JSON)


router = APIRouter(tags=["Tokens"], route_class=UnscopedRoute)
router.add_api_route("/user/tokens/verify", verify, methods=["GET"], name="verify_user_token")
router.add_api_route("/accounts/{account_id}/tokens/verify", verify, methods=["GET"], name="verify_account_token")
