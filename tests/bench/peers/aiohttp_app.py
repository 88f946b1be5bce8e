"""The peer on aiohttp with uvloop: the same as `starlette_app.py`."""

from __future__ import annotations

import os
import sys

import uvloop
from aiohttp import web

HEALTH, REFUSAL = os.environ["PEER_HEALTH"].encode(), os.environ["PEER_REFUSAL"].encode()


async def health(request: web.Request) -> web.Response:
    return web.Response(body=HEALTH, content_type="application/json")


async def webhook(request: web.Request) -> web.Response:
    if "Authorization" in request.headers:
        return web.Response(status=403)
    return web.Response(body=REFUSAL, status=401, headers={"WWW-Authenticate": "Bearer"}, content_type="application/json")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/webhook", webhook)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
