"""The least a FastAPI server can do with a request, on the gateway's server settings: give its body back."""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI(docs_url=None, redoc_url=None)


@app.post("/client/v4/accounts/{account_id}/ai/run/{model_name:path}")
async def echo(request: Request) -> Response:
    """The body as it came."""
    return Response(await request.body(), media_type="application/json")


def main() -> None:
    """Serve on a free port, said on standard error."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        print(f"listens on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", lifespan="on", log_config=None, access_log=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
