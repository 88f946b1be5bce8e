"""What people and programs do all day, each a coroutine of a few requests, and how often. Every answer's status is checked where it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping

from tests.soak.town import NUMBERS, SESSIONS, Person, opened
from tests.soak.wire import Connection

HOOK_SECRET, APP_SECRET, CHANNEL_TOKEN, NODE_TOKEN = "soak-hook-secret", "soak-app-secret", "soak-channel-token", "soak-node-token"
TRIGGERS = [{"path": "ci/done", "skill": "ci", "message": "The build of {repo} is {state}."}]
_JSON = {"Content-Type": "application/json"}
_LATER = {"Prefer": "respond-async"}
_CANVASES = 60
Habit = Callable[[Person], Awaitable[None]]


# -- asking the agent


async def ask_and_wait(person: Person) -> None:
    """`/webhook`, answered; often in a session, often with a key."""
    town, headers, token = person.town, {}, person.token
    if person.random.random() < 0.3:
        headers["X-Session-Id"] = f"s{person.random.randrange(SESSIONS)}"
    key = f"k{town.number()}" if person.random.random() < 0.5 else ""
    if key:
        headers["X-Idempotency-Key"] = key
    answer = await person.ask("POST", "/webhook", {"message": f"/echo {town.number()}"}, token=token, headers=headers)
    if answer.status == 200 and "response" not in answer.json:
        town.wrong(person.habit, f"no response in {answer.body[:200]!r}")
    if key:
        town.keys.append((key, token))


async def ask_for_later(person: Person) -> None:
    """`/webhook` with `Prefer: respond-async`."""
    town, token, key = person.town, person.token, f"k{person.town.number()}"
    headers = _LATER | {"X-Idempotency-Key": key}
    answer = await person.ask("POST", "/webhook", {"message": "/help"}, token=token, headers=headers, expected=(202,))
    if answer.status == 202:
        town.items.append(answer.json["id"])
        town.keys.append((key, token))


async def ask_again(person: Person) -> None:
    """A key that has been used: its outcome, or a new turn once it has been forgotten."""
    if person.town.keys:
        key, token = person.random.choice(person.town.keys)
        await person.ask("POST", "/webhook", {"message": "/echo again"}, token=token, headers={"X-Idempotency-Key": key})


async def look_after(person: Person) -> None:
    """What became of a message; it may have been forgotten."""
    if person.town.items:
        await person.ask("GET", f"/api/inbox/{person.random.choice(person.town.items)}", expected=(200, 404))


async def trigger(person: Person) -> None:
    """A build server."""
    await person.ask("POST", "/triggers/ci/done?repo=clawgate", {"state": "green", "run": person.town.number()})


async def chat_in_console(person: Person) -> None:
    """RantAIClaw's console: a new conversation, looked at and now and then forgotten."""
    token = person.token
    said = (await person.ask("POST", "/api/v1/agent/chat", {"message": f"/echo {person.town.number()}"}, token=token)).json
    path = f"/api/v1/sessions/{said.get('session_id')}"
    await person.ask("GET", path, token=token, expected=(200, 404))
    await person.ask("DELETE", path, token=token, expected=(200, 404))


async def chat_on_socket(person: Person) -> None:
    """A dashboard's chat: comes, says something, leaves; the session is looked at and deleted."""
    token, session = person.token, f"chat-{person.town.number()}"
    async with opened(person, f"/ws/chat?session_id={session}", "construct.v1", token) as socket:
        await socket.hear("session_start")
        socket.say(type="connect")
        await socket.hear("connected")
        for _ in range(person.random.randint(0, 2)):
            socket.say(type="message", content=f"/echo {person.town.number()}")
            await socket.hear("done")
            person.town.frames += 1
    await person.ask("GET", f"/api/sessions/{session}/messages", token=token, expected=(200, 404))
    await person.ask("DELETE", f"/api/sessions/{session}", token=token, expected=(200, 404))


# -- signed deliveries


async def hook(person: Person) -> None:
    """A genuine delivery, sometimes twice."""
    body = json.dumps({"repository": {"full_name": "acme/web"}, "number": person.town.number()}).encode()
    headers = _JSON | {"X-Hub-Signature-256": _signature(HOOK_SECRET, body)}
    await person.ask("POST", "/hooks/git", body, token=None, headers=headers, expected=(202,))
    if person.random.random() < 0.2:
        await person.ask("POST", "/hooks/git", body, token=None, headers=headers, expected=(200, 202))


async def forged_hook(person: Person) -> None:
    """One that is not."""
    body = b'{"forged": true}'
    headers = _JSON | {"X-Hub-Signature-256": _signature("somebody else's", body)}
    await person.ask("POST", "/hooks/git", body, token=None, headers=headers, expected=(401,))


async def whatsapp(person: Person) -> None:
    """Somebody writes on WhatsApp; the reply goes out."""
    number = person.town.number()
    message = {"from": f"1555{person.random.randrange(NUMBERS):07}", "id": f"wamid.{number}", "text": {"body": f"/echo {number}"}}
    body = json.dumps({"entry": [{"changes": [{"value": {"messages": [message]}}]}]}).encode()
    await person.ask("POST", "/whatsapp", body, token=None, headers=_JSON | {"X-Hub-Signature-256": _signature(APP_SECRET, body)})


async def wati(person: Person) -> None:
    """The same through WATI, sometimes delivered twice."""
    number = person.town.number()
    body = {"id": f"wati-{number}", "waId": f"1556{person.random.randrange(NUMBERS):07}", "type": "text", "text": "/help"}
    for _ in range(2 if person.random.random() < 0.1 else 1):
        await person.ask("POST", "/wati", body, token=None, headers={"X-Webhook-Token": CHANNEL_TOKEN})
    await person.ask("POST", "/wati", body, token=None, headers={"X-Webhook-Token": "guess"}, expected=(401,))


# -- who is not let in, and who is lost


async def guess_token(person: Person) -> None:
    """A token that is none; who guesses often is locked out."""
    await person.ask("GET", "/api/v1/status", token=f"zc_{person.town.number():064x}", expected=(401, 429))


async def forget_token(person: Person) -> None:
    """No token."""
    await person.ask("POST", "/webhook", {"message": "hello"}, token=None, expected=(401, 429))


async def lose_the_way(person: Person) -> None:
    """Paths there are not, among them those that scanners try."""
    path = person.random.choice((f"/nothing/{person.town.number()}", "/wp-login.php", "/.env", f"/api/none?{person.town.number()}"))
    await person.ask(person.random.choice(("GET", "POST")), path, token=None, expected=(404,))


async def climb(person: Person) -> None:
    """Paths that are none."""
    await person.ask("GET", person.random.choice(("/a/../health", "//health", "/%2e%2e/x", "/a%00b")), token=None, expected=(400,))


async def wrong_method(person: Person) -> None:
    """A method that a path does not have."""
    await person.ask(person.random.choice(("PUT", "DELETE")), "/webhook", expected=(405,))


async def too_much(person: Person) -> None:
    """A body over the cap."""
    await person.ask("POST", "/webhook", b"x" * 70_000, expected=(413,), headers=_JSON)


async def wrong_body(person: Person) -> None:
    """Bodies that cannot be read."""
    await person.ask("POST", "/tasks", b"title=x", expected=(415,), headers={"Content-Type": "text/plain"})
    await person.ask("POST", "/tasks", b'{"title": ', expected=(400,), headers=_JSON)
    await person.ask("POST", "/tasks", {"title": [person.town.number()]}, expected=(422,))


# -- machines that look


async def health(person: Person) -> None:
    """A load balancer."""
    await person.ask("GET", person.random.choice(("/health", "/health", "/readyz")), token=None)


async def metrics(person: Person) -> None:
    """Prometheus."""
    await person.ask("GET", "/metrics", token=None)


async def look_around(person: Person) -> None:
    """A dashboard."""
    paths = ("/api/v1/version", "/api/v1/status", "/api/devices", "/api/v1/channels", "/api/nodes", "/api/canvas", "/api/sessions/running", "/config")
    await person.ask("GET", person.random.choice(paths))


async def page_inbox(person: Person) -> None:
    """An operator leafs through the inbox."""
    answer = await person.ask("GET", "/api/inbox?limit=20")
    if answer.status == 200 and (cursor := answer.json["cursor"]):
        await person.ask("GET", f"/api/inbox?limit=20&cursor={cursor}")


async def page_sessions(person: Person) -> None:
    """A console shows conversations."""
    await person.ask("GET", "/api/v1/sessions?limit=20")


async def subscribe(person: Person) -> None:
    """A subscriber of events comes, reads for a while and goes without a word; now and then with a ticket."""
    path, token = "/api/events", person.token
    if person.random.random() < 0.5:
        ticket = (await person.ask("POST", "/api/events/ticket", {}, token=token)).json["ticket"]
        path = f"/api/events?ticket={ticket}"
    connection = await person.stream()
    try:
        connection.write((person.head("GET", path, token if "?" not in path else None) + "\r\n").encode())
        status = int((await connection.head())[9:12])
        person.town.statuses[f"{person.habit} {status}"] += 1
        if status != 200:
            person.town.wrong(person.habit, f"{path}: {status}")
            return
        for _ in range(person.random.randint(0, 20)):
            await connection.until(b"\n\n")
            person.town.frames += 1
    finally:
        connection.close()


# -- what is kept


async def work_on_task(person: Person) -> None:
    """A task from its making to its end."""
    task = (await person.ask("POST", "/tasks", {"title": f"Task {person.town.number()}", "priority": "HIGH"}, expected=(200, 201))).json
    path = f"/tasks/{task['id']}"
    await person.ask("PUT", path, {"status": "IN_PROGRESS", "assignee_id": "ann"})
    await person.ask("POST", f"{path}/comments", {"content": "on it"}, expected=(200, 201))
    await person.ask("PUT", path, {"status": "DONE"})
    await person.ask("GET", path)
    await person.ask("DELETE", path, expected=(200, 204))


async def list_tasks(person: Person) -> None:
    """A board."""
    await person.ask("GET", "/tasks?limit=20")


async def remember(person: Person) -> None:
    """A text is remembered, found, and forgotten."""
    key = f"note-{person.town.number()}"
    await person.ask("POST", "/api/v1/memory", {"key": key, "content": f"the door {key} is green"}, expected=(200, 201))
    await person.ask("GET", "/api/v1/memory?q=green+door&limit=5")
    await person.ask("GET", f"/api/v1/memory/{key}")
    await person.ask("DELETE", f"/api/v1/memory/{key}", expected=(200, 204))


async def draw(person: Person) -> None:
    """An agent shows something, and it is looked at."""
    path = f"/api/canvas/c{person.random.randrange(_CANVASES)}"
    await person.ask("POST", path, {"content_type": "html", "content": f"<p>{person.town.number()}</p>" * 8}, expected=(201,))
    await person.ask("GET", path, expected=(200, 404))  # somebody else may have emptied it
    if person.random.random() < 0.1:
        await person.ask("DELETE", path)


async def watch_canvas(person: Person) -> None:
    """Somebody watches it being drawn."""
    name = f"c{person.random.randrange(_CANVASES)}"
    async with opened(person, f"/ws/canvas/{name}", "construct.canvas.v1") as socket:
        await socket.hear("connected")
        await person.ask("POST", f"/api/canvas/{name}", {"content_type": "text", "content": "seen?"}, expected=(201,))
        await socket.hear("frame")
        person.town.frames += 1


async def be_a_node(person: Person) -> None:
    """A node comes, is called, and goes."""
    name = f"node-{person.town.number()}"
    async with opened(person, "/ws/nodes", "construct.nodes.v1", NODE_TOKEN) as socket:
        socket.say(type="register", node_id=name, capabilities=[{"name": "system.notify", "description": "Shows a message"}])
        if (await socket.hear("registered", "error"))["type"] == "error":
            person.town.wrong(person.habit, "refused")
            return
        body = {"capability": "system.notify", "args": {"text": "hi"}}
        if not await _called(person, socket, name, body):
            person.town.wrong(person.habit, "the call failed")


async def _called(person: Person, socket: Connection, name: str, body: Mapping[str, object]) -> bool:
    """Whether a call of a node succeeds that this person answers, too."""
    asked = asyncio.ensure_future(person.ask("POST", f"/api/nodes/{name}/invoke", body))
    invoked = await socket.hear("invoke")
    socket.say(type="result", call_id=invoked["call_id"], success=True, output="shown")
    return bool((await asked).json["success"])


async def schedule(person: Person) -> None:
    """A job is made, run, looked at and removed."""
    job = (await person.ask("POST", "/api/v1/cron", {"schedule": {"kind": "cron", "expr": "0 4 * * *"}, "job_type": "agent", "prompt": "/help"})).json
    path = f"/api/v1/cron/{job['id']}"
    await person.ask("POST", f"{path}/run")
    await person.ask("GET", f"{path}/runs")
    await person.ask("DELETE", path)


# -- operators


async def pair_and_revoke(person: Person) -> None:
    """A device is let in, asks something, and is shown out; its token is dead at once."""
    name = f"guest {person.town.number()}"
    async with person.town.pairing:  # there is one code at a time
        code = (await person.ask("POST", "/api/pairing/initiate", {"name": name})).json["pairing_code"]
        answer = await person.ask("POST", "/pair", token=None, headers={"X-Pairing-Code": code}, expected=(200, 429))
    if answer.status == 429:
        return  # others at this address have guessed too often; the next code takes the place of this one
    token = answer.json["token"]
    await person.ask("POST", "/webhook", {"message": "/echo in"}, token=token)
    devices = (await person.ask("GET", "/api/devices", token=token)).json["devices"]
    mine = next(device for device in devices if device.get("name") == name)
    await person.ask("DELETE", f"/api/devices/{mine['id']}")
    await person.ask("GET", "/api/v1/status", token=token, expected=(401,))


async def guess_code(person: Person) -> None:
    """A wrong pairing code, while nobody is about to use the right one: too many would burn it."""
    async with person.town.pairing:
        await person.ask("POST", "/api/pair", {"code": "000000"}, token=None, expected=(400, 401, 403, 429))


async def configure(person: Person) -> None:
    """A setting is changed while everything runs."""
    async with person.town.configuring:
        change = {"temperature": round(person.random.random(), 2)}
        while (await person.ask("PATCH", "/config/model", change, expected=(200, 409))).status == 409:
            """A device came or went meanwhile, and its token's hash stands in the file, too: again."""


HABITS: dict[Habit, float] = {
    ask_and_wait: 110,
    ask_for_later: 45,
    ask_again: 45,
    look_after: 70,
    trigger: 12,
    chat_in_console: 5,
    chat_on_socket: 6,
    hook: 15,
    forged_hook: 12,
    whatsapp: 10,
    wati: 6,
    guess_token: 25,
    forget_token: 15,
    lose_the_way: 90,
    climb: 10,
    wrong_method: 15,
    too_much: 3,
    wrong_body: 10,
    health: 480,
    metrics: 4,
    look_around: 70,
    page_inbox: 5,
    page_sessions: 3,
    subscribe: 6,
    work_on_task: 4,
    list_tasks: 4,
    remember: 4,
    draw: 10,
    watch_canvas: 3,
    be_a_node: 3,
    schedule: 1,
    pair_and_revoke: 0.7,
    guess_code: 1,
    configure: 0.2,
}
"""Each habit and how often it is chosen, compared with the others."""


def _signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
