"""The peer of the chat socket: FastAPI's WebSocket, httpx reading the upstream's stream, and the same durable writes as `fastapi_app.py`. Run by uvicorn."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from fastapi import WebSocket, WebSocketDisconnect
from fastapi_app import ANSWERED, TOKEN_SHA256, accept, app


@app.websocket("/ws/chat")
async def chat(socket: WebSocket) -> None:
    found = hashlib.sha256(socket.headers.get("authorization", "").removeprefix("Bearer ").encode()).hexdigest()
    if not hmac.compare_digest(found, TOKEN_SHA256):
        await socket.close(4401)
        return
    await socket.accept()
    try:
        while True:
            await answer(socket, (await socket.receive_json())["content"])
    except WebSocketDisconnect:
        pass


async def answer(socket: WebSocket, question: str) -> None:
    """One turn: the question is on disk before it is asked, the answer before its end is told."""
    item, pieces = accept(app.state.database, question), []
    body = {"model": "canned", "messages": [{"role": "user", "content": question}], "stream": True}
    async with app.state.upstream.stream("POST", "/chat/completions", json=body) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:])["choices"]
            piece = choices[0]["delta"].get("content", "") if choices else ""
            if piece:
                pieces.append(piece)
                await socket.send_json({"type": "chunk", "content": piece})
    text = "".join(pieces)
    app.state.database.execute(ANSWERED, (time.time_ns() // 1_000_000, text, item))
    await socket.send_json({"type": "done", "full_response": text})
