"""The peer on FastAPI: the same doors, checks and durable writes, as a good FastAPI engineer would write them. Run by uvicorn (httptools, uvloop), one process.

Handlers are `async def` with the insert inline. Tried beside it: `def` handlers in Starlette's threads, a connection each and a lock around the write; at 64
connections they took a quarter fewer messages, since the commit is short beside what a thread costs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

TOKEN_SHA256 = os.environ["PEER_TOKEN_SHA256"]
HOOK_SECRET = os.environ["PEER_HOOK_SECRET"].encode()
UPSTREAM = os.environ["PEER_UPSTREAM"]
DATABASE = os.environ["PEER_DATABASE"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY, state TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    digest TEXT UNIQUE, message TEXT NOT NULL, answer TEXT
);
CREATE INDEX IF NOT EXISTS inbox_state ON inbox (state, id);
"""
INSERT = "INSERT INTO inbox (state, accepted_ms, updated_ms, digest, message) VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING"
ANSWERED = "UPDATE inbox SET state = 'done', updated_ms = ?, answer = ? WHERE id = ?"


class Message(BaseModel):
    message: str = Field(min_length=1, max_length=65_536)
    model: str | None = None


class Accepted(BaseModel):
    id: str
    status: str = "accepted"


class Answer(BaseModel):
    response: str
    model: str


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA journal_mode = WAL")
    for setting in ("synchronous = FULL", "wal_autocheckpoint = 4000", "cache_size = -16000", "temp_store = MEMORY"):  # as clawgate's
        connection.execute(f"PRAGMA {setting}")
    return connection


def accept(connection: sqlite3.Connection, message: str, digest: str | None = None) -> int | None:
    """Commits it; None for one that is there already."""
    now = time.time_ns() // 1_000_000
    found = connection.execute(INSERT, ("received", now, now, digest, message))
    return found.lastrowid if found.rowcount else None


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.database = connect()
    app.state.database.executescript(SCHEMA)
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=UPSTREAM, limits=limits, timeout=120, headers={"Authorization": "Bearer sk-bench"}) as client:
        app.state.upstream = client
        yield
    app.state.database.close()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


async def authenticated(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
    found = hashlib.sha256(credentials.credentials.encode()).hexdigest()
    if not hmac.compare_digest(found, TOKEN_SHA256):
        raise HTTPException(401, "Unauthorized", headers={"WWW-Authenticate": "Bearer"})


@app.post("/webhook", status_code=202, dependencies=[Depends(authenticated)])
async def take(message: Message, response: Response) -> Accepted:
    item = str(accept(app.state.database, message.message))
    response.headers["Location"] = f"/inbox/{item}"
    return Accepted(id=item)


@app.post("/ask", dependencies=[Depends(authenticated)])
async def ask(message: Message) -> Answer:
    item = accept(app.state.database, message.message)
    body = {"model": message.model or "canned", "messages": [{"role": "user", "content": message.message}]}
    answer = await app.state.upstream.post("/chat/completions", json=body)
    answer.raise_for_status()
    said = answer.json()
    text = said["choices"][0]["message"]["content"]
    app.state.database.execute(ANSWERED, (time.time_ns() // 1_000_000, text, item))
    return Answer(response=text, model=said["model"])


@app.post("/hooks/bench", status_code=202)
async def hook(request: Request, response: Response, x_signature: Annotated[str, Header()]) -> Accepted:
    body = await request.body()
    expected = "sha256=" + hmac.new(HOOK_SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(x_signature.encode(), expected.encode()):
        raise HTTPException(401, "Unauthorized")
    delivery = await request.json()
    item = accept(app.state.database, f"Delivery {delivery['number']}", hashlib.sha256(body).hexdigest())
    if item is None:
        response.status_code = 200
        return Accepted(id="", status="duplicate")
    response.headers["Location"] = f"/inbox/{item}"
    return Accepted(id=str(item))
