"""`POST /api/sessions/{id}/attachments`, and what messages make of it (construct-realtime.md §12.4, §12.5)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute

from clawgate.domain import attachments as rules
from clawgate.domain.settings.model import GatewaySettings, Settings
from clawgate.services.attachments import MOST_WRITING
from clawgate.system import attachments as files
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending, Response
from clawgate.testing.skills import Scratch
from clawgate.testing.sockets import SocketClient

SESSION = "11111111-1111-4111-8111-111111111111"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
T = TypeVar("T")


def part(data: bytes, name: str = "file", filename: str | None = "notes.txt", media: str = "text/plain") -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    typed = f"Content-Type: {media}\r\n" if media else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{typed}\r\n'.encode() + data + b"\r\n"


class Desk:
    """A gateway, somebody with a token, an upload and a conversation."""

    def __init__(self, *answers: Any, gate: MemoryGateway | None = None, token: str = "") -> None:  # Any: as ScriptedAgent takes them
        self.gate = gate or MemoryGateway(agent=ScriptedAgent(answers or ("hello",)))
        self.token = token or self.gate.pair()

    def begin(self, *parts: bytes, session: str = SESSION, token: str | None = None) -> Pending:
        body = b"".join(parts) + b"--x--\r\n"
        return self.gate.client.begin("POST", f"/api/sessions/{session}/attachments", body, token=token or self.token, headers=FORM)

    def upload(self, *parts: bytes, session: str = SESSION, token: str | None = None) -> Response:
        return self.begin(*parts, session=session, token=token).response

    def file_id(self, data: bytes = b"buy milk", **named: Any) -> str:  # as `part`
        return str(self.upload(part(data, **named)).json["file_id"])

    def join(self, dialect: str = "construct.v1", session: str = SESSION) -> SocketClient:
        return SocketClient(self.gate, f"/ws/chat?session_id={session}", token=self.token, subprotocols=[dialect])

    def say(self, text: str = "what?", *, dialect: str = "construct.v1", **more: object) -> SocketClient:
        client = self.join(dialect)
        client.send({"type": "message", "content": text, **more})
        client.pump()
        return client

    @property
    def questions(self) -> list[str]:
        assert isinstance(self.gate.agent, ScriptedAgent)
        return [prompt.question for prompt in self.gate.agent.prompts]

    def messages(self) -> list[tuple[str, str]]:
        found = self.gate.client.get(f"/api/sessions/{SESSION}/messages", token=self.token).json["messages"]
        return [(line["role"], line["content"]) for line in found]

    def folders(self) -> list[str]:
        path = self.gate.scratch.path / "attachments"
        return sorted(os.listdir(path)) if path.is_dir() else []


DESK = cache(Desk)
"""One for tests that need nothing of their own."""
INLINED = "[Attached file: notes.txt (8 bytes, text/plain)]\nbuy milk\n[End of file: notes.txt]\n\n"


def test_an_upload_is_answered_with_what_is_kept() -> None:
    desk = Desk()
    answer = desk.upload(part(b"buy milk", filename="C:\\notes.txt", media="Text/Plain; charset=utf-8"))
    assert answer.status == 201
    assert answer.json == {
        "file_id": answer.json["file_id"],
        "filename": "notes.txt",
        "size": 8,
        "mime": "text/plain",
        "session_id": SESSION,
        "created_at": "2027-01-15T08:00:00.000Z",
    }
    assert rules.is_file_id(answer.json["file_id"])


@pytest.mark.parametrize("is_open", [False, True])
def test_a_large_file_that_comes_in_pieces_is_taken_with_and_without_pairing(is_open: bool) -> None:
    gate = MemoryGateway(Settings(gateway=GatewaySettings(require_pairing=not is_open)), agent=ScriptedAgent())
    token = "" if is_open else gate.pair()
    assert is_open or gate.client.get("/api/sessions", token=token).status == 200
    body = part(b"a" * 1_000_000) + b"--x--\r\n"
    headers = FORM | {"Content-Length": str(len(body)), "Host": "gate.internal"} | ({} if is_open else {"Authorization": f"Bearer {token}"})
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sent = gate.client.send(f"POST /api/sessions/{SESSION}/attachments HTTP/1.1\r\n{head}\r\n".encode())
    sent.feed(body[:500_000])
    sent.feed(body[500_000:])
    assert sent.response.json["size"] == 1_000_000


def test_the_first_field_named_file_counts_and_others_are_skipped() -> None:
    desk = Desk()
    answer = desk.upload(part(b"x", "other"), part(b"one", filename=None, media=""), part(b"three"), part(b"y", "more", None))
    assert [answer.json[name] for name in ("filename", "size", "mime")] == ["attachment", 3, "application/octet-stream"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((part(b"x", "other"),), "missing 'file' field in multipart upload"),
        ((), "missing 'file' field in multipart upload"),
        ((part(b""),), "empty file"),
        ((b"--x\r\nno head",), "failed to read upload body"),
        (tuple(part(b"x", "other") for _ in range(20)), "failed to read upload body"),
    ],
)
def test_what_is_wrong_with_an_upload_is_said_in_the_published_words(parts: tuple[bytes, ...], sentence: str) -> None:
    desk = Desk()
    answer = desk.upload(*parts)
    assert (answer.status, answer.json) == (400, {"error": sentence})
    assert desk.folders() == []


def test_an_upload_that_breaks_off_anywhere_keeps_nothing() -> None:
    desk, body = Desk(), part(b"x", "other") + part(b"buy milk") + b"--x--"
    url = f"/api/sessions/{SESSION}/attachments"
    answers = [desk.gate.client.post(url, body[:cut], token=desk.token, headers=FORM) for cut in range(len(body))]
    assert {(answer.status, answer.json["error"]) for answer in answers} == {(400, "failed to read upload body")}
    assert desk.folders() == []
    assert desk.gate.client.post(url, body, token=desk.token, headers=FORM).status == 201


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"--x", b"\r\n", b"--", b'Content-Disposition: form-data; name="file"', b'; filename="a"', b"\0", b"a", b"\xff", b":"]))
)
def test_any_body_is_kept_or_refused(pieces: list[bytes]) -> None:
    answer = DESK().gate.client.post(f"/api/sessions/{SESSION}/attachments", b"".join(pieces), token=DESK().token, headers=FORM)
    assert answer.status in (201, 400)


def test_a_file_of_the_full_size_is_taken_and_one_more_byte_is_not() -> None:
    desk = Desk()
    assert desk.upload(part(b"a" * rules.MOST_BYTES)).status == 201
    answer = desk.upload(part(b"a" * (rules.MOST_BYTES + 1)))
    assert (answer.status, answer.json) == (413, {"error": "attachment exceeds 26214400 byte limit (received 26214401 bytes)"})


def test_an_upload_needs_a_token_that_may_chat() -> None:
    desk = Desk()
    assert desk.gate.client.post(f"/api/sessions/{SESSION}/attachments", part(b"x"), headers=FORM).status == 401
    assert desk.upload(part(b"x"), token=desk.gate.pair(scopes=["read", "write"])).status == 403
    assert desk.folders() == []


def test_a_session_of_somebody_else_takes_no_files() -> None:
    desk = Desk("hello", Hang())
    mine, stranger = desk.gate.pair(scopes=["chat"]), desk.gate.pair(scopes=["chat"])
    for token, session in ((mine, "kept"), (mine, "open")):
        Desk(gate=desk.gate, token=token).join(session=session).send({"type": "message", "content": "hi"})
        desk.gate.pump()
    for session in ("kept", "open", "no%2Fname", ".."):
        assert desk.upload(part(b"x"), session=session, token=stranger).status in (400, 404)
    assert desk.upload(part(b"x"), session="kept", token=stranger).json == {"error": "Session not found"}
    assert desk.upload(part(b"x"), session="open", token=stranger).json == {"error": "Session not found"}
    assert [desk.upload(part(b"x"), session=session, token=mine).status for session in ("kept", "open")] == [201, 201]


@pytest.mark.parametrize(("name", "status"), [("MOST_SESSION_FILES", 413), ("MOST_ALL_FILES", 507)])
def test_too_many_files_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str, status: int) -> None:
    desk = Desk()
    desk.file_id()
    monkeypatch.setattr(files, name, 1)
    answer = desk.upload(part(b"x"))
    assert (answer.status, list(answer.json)) == (status, ["error"])


def test_a_disk_that_refuses_is_a_500_in_the_published_words() -> None:
    desk = Desk()
    path = desk.gate.scratch.path / "attachments"
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    answer = desk.upload(part(b"x"))
    assert (answer.status, answer.json) == (500, {"error": "failed to create attachment storage"})


@pytest.mark.parametrize("dialect", ["construct.v1", "zeroclaw.v1"])
def test_a_file_goes_before_the_text_and_only_the_text_is_kept(dialect: str) -> None:
    desk = Desk("Milk.")
    client = desk.say("what?", dialect=dialect, attachments=[desk.file_id()])
    assert client.json[-1]["full_response"] == "Milk."
    assert desk.questions == [INLINED + "what?"]
    assert desk.messages() == [("user", "what?"), ("assistant", "Milk.")]


def test_hint_files_and_text_come_in_this_order() -> None:
    desk = Desk()
    picture, text = desk.file_id(b"\x89PNG\r\n\x00", filename="a.png", media="image/png"), desk.file_id()
    desk.say("what?", page_context="canvas", attachments=[picture, text])
    hint = rules.hint("canvas")
    assert desk.questions == [f"{hint}\n\n[Attached binary file: a.png (7 bytes, image/png) — content not inlined]\n\n{INLINED}what?"]
    assert "canvas" in hint


def test_what_was_attached_is_in_its_turn_only() -> None:
    desk = Desk("Milk.", "Yes.")
    desk.say("what?", attachments=[desk.file_id()], page_context="skills")
    desk.say("sure?")
    assert desk.questions[1] == "sure?"
    assert isinstance(desk.gate.agent, ScriptedAgent)
    assert [line.text for line in desk.gate.agent.prompts[1].lines] == ["what?", "Milk.", "sure?"]


def test_files_that_are_missing_foreign_or_elsewhere_are_skipped() -> None:
    desk = Desk()
    elsewhere = str(desk.upload(part(b"secret"), session="elsewhere").json["file_id"])
    foreign = str(desk.upload(part(b"secret"), token=desk.gate.pair(scopes=["chat"])).json["file_id"])
    missing = "99999999-9999-4999-8999-999999999999"
    desk.say("what?", attachments=[missing, elsewhere, foreign, f"../elsewhere/{elsewhere}", desk.file_id()])
    assert desk.questions == [INLINED + "what?"]


def test_a_message_brings_ten_files_at_most() -> None:
    desk = Desk()
    desk.say("what?", attachments=[desk.file_id() for _ in range(11)])
    assert desk.questions == [INLINED * 10 + "what?"]


def test_an_upload_to_the_storage_key_is_found_too() -> None:
    desk = Desk()
    answer = desk.upload(part(b"buy milk"), session=f"gw_{SESSION}").json
    assert answer["session_id"] == SESSION
    desk.say("what?", attachments=[answer["file_id"]])
    assert desk.questions == [INLINED + "what?"]


def test_a_turn_that_is_repeated_after_a_kill_has_the_files_too() -> None:
    desk = Desk(Hang(), "Milk.")
    desk.say("what?", page_context="workflows", attachments=[desk.file_id()])
    after = Desk(gate=desk.gate.restart(kill=True), token=desk.token)
    assert after.questions == [f"{rules.hint('workflows')}\n\n{INLINED}what?"] * 2
    assert after.messages() == [("user", "what?"), ("assistant", "Milk.")]


def test_a_file_uploaded_before_a_restart_can_be_brought_after_it() -> None:
    desk = Desk()
    file_id = desk.file_id()
    after = Desk(gate=desk.gate.restart(kill=True), token=desk.token)
    after.say("what?", attachments=[file_id])
    assert after.questions == [INLINED + "what?"]
    assert after.messages() == [("user", "what?"), ("assistant", "hello")]


def test_files_without_a_text_are_empty_content() -> None:
    desk = Desk()
    client = desk.say("", attachments=[desk.file_id()])
    assert client.json[-1]["code"] == "EMPTY_CONTENT"


@pytest.mark.parametrize("path", ["/api/sessions", "/api/v1/sessions"])
def test_files_go_with_their_session(path: str) -> None:
    desk = Desk()
    desk.say("what?", attachments=[desk.file_id()])
    desk.upload(part(b"x"), session="other")
    assert desk.gate.client.request("DELETE", f"{path}/{SESSION}", token=desk.token).status == 200
    assert desk.folders() == ["other"]


def test_files_go_after_seven_days(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rules.RETENTION_MS == 7 * 24 * 3600 * 1000
    monkeypatch.setattr(rules, "RETENTION_MS", 900_000)
    desk = Desk()
    desk.file_id()
    desk.gate.clock.advance(700)
    assert desk.folders() == [SESSION]
    desk.gate.clock.advance(600)
    assert desk.folders() == []


def test_only_so_many_files_are_written_at_once() -> None:
    waiting: list[Callable[[], object]] = []

    def hold(function: Callable[[], T], /) -> Deferred[T]:
        held: Deferred[T] = Deferred()
        waiting.append(lambda: execute(function).chainDeferred(held))
        return held

    scratch = Scratch()
    desk = Desk(gate=MemoryGateway(edges={"attachments": files.AttachmentDirectory(str(scratch.path), hold)}))
    begun = [desk.begin(part(b"x")) for _ in range(MOST_WRITING + 1)]
    assert [one.is_answered for one in begun] == [False] * MOST_WRITING + [True]
    assert begun[-1].response.status == 503
    for write in waiting:
        write()
    desk.gate.pump()
    assert [one.response.status for one in begun[:-1]] == [201] * MOST_WRITING
