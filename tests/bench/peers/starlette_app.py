"""The peer on bare Starlette: the bytes of clawgate's `/health`, and its 401 for a request without a credential. Run by uvicorn, one process."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HEALTH, REFUSAL = os.environ["PEER_HEALTH"].encode(), os.environ["PEER_REFUSAL"].encode()


async def health(request: Request) -> Response:
    return Response(HEALTH, media_type="application/json")


async def webhook(request: Request) -> Response:
    if "authorization" in request.headers:
        return Response(status_code=403)
    return Response(REFUSAL, 401, {"WWW-Authenticate": "Bearer"}, media_type="application/json")


app = Starlette(routes=[Route("/health", health), Route("/webhook", webhook, methods=["POST"])])
