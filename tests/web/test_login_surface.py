"""`POST /login` through the whole gateway. Source: rantaiclaw.md §4, §5."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from twisted.internet.defer import Deferred, fail

from clawgate.domain.errors import Overloaded
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import LoginSettings, Settings
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import with_gateway

PHC = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
LOGIN = LoginSettings(username="ann", password_hash=Secret(PHC))
RIGHT = {"username": "ann", "password": "correct horse"}
WRONG = {"username": "ann", "password": "wrong"}
NO = {"error": "Invalid username or password"}


def gate(limit: int = 0, login: LoginSettings = LOGIN) -> MemoryGateway:
    return MemoryGateway(with_gateway(Settings(), login=login, pair_rate_limit_per_minute=limit))


def enter(gate: MemoryGateway, body: dict[str, object], peer: str = "203.0.113.9") -> Response:
    return gate.client.post("/login", body, peer=peer)


def test_right_name_and_password_are_ok_and_give_no_token() -> None:
    answer = enter(gate(), dict(RIGHT))
    assert (answer.status, answer.json) == (200, {"ok": True})


@pytest.mark.parametrize(
    "body",
    [
        WRONG,
        {"username": "bob", "password": "correct horse"},
        {"username": "", "password": ""},
        {"username": "ANN", "password": "correct horse"},
        {"username": "ann", "password": "correct horse "},
    ],
)
def test_anything_else_is_one_and_the_same_401(body: dict[str, object]) -> None:
    answer = enter(gate(), body)
    assert (answer.status, answer.json) == (401, NO)


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"{}", {"Content-Type": "application/json"}, 422),
        (b'{"username":1,"password":"x"}', {"Content-Type": "application/json"}, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
    ],
)
def test_body_of_another_shape_is_no_failed_login(raw: bytes, headers: dict[str, str], status: int) -> None:
    door = gate()
    assert [door.client.post("/login", raw, headers=headers).status for _ in range(6)] == [status] * 6
    assert enter(door, dict(RIGHT)).status == 200


@pytest.mark.parametrize("login", [LoginSettings(), LoginSettings(username="ann"), LoginSettings(password_hash=Secret(PHC))])
def test_login_that_is_not_enabled_is_a_404(login: LoginSettings) -> None:
    answer = enter(gate(login=login), dict(RIGHT))
    assert (answer.status, answer.json) == (404, {"error": "Console login is not enabled"})


def test_five_failures_lock_the_client_and_nobody_else() -> None:
    door = gate()
    assert [enter(door, dict(WRONG)).status for _ in range(5)] == [401] * 5
    locked = enter(door, dict(RIGHT))
    assert (locked.status, locked.json) == (429, {"error": "Too many failed logins. Try again in 300s.", "retry_after": 300})
    assert locked.headers["retry-after"] == "300"
    assert enter(door, dict(RIGHT), peer="203.0.113.77").status == 200
    door.clock.advance(300)
    assert enter(door, dict(RIGHT)).status == 200


def test_success_clears_the_failures() -> None:
    door = gate()
    for _ in range(3):
        assert [enter(door, dict(WRONG)).status for _ in range(4)] == [401] * 4
        assert enter(door, dict(RIGHT)).status == 200


def test_failed_logins_lock_no_pairing_and_failed_pairings_no_login() -> None:
    door = gate()
    for _ in range(5):
        enter(door, dict(WRONG))
    assert door.client.post("/pair", headers={"X-Pairing-Code": door.codes[0]}).status == 200
    other = gate()
    statuses = [other.client.post("/pair", headers={"X-Pairing-Code": "000000x"}).status for _ in range(6)]
    assert (statuses, enter(other, dict(RIGHT)).status) == ([403] * 5 + [429], 200)


def test_login_shares_the_window_of_pairing_and_words_it_for_itself() -> None:
    door = gate(limit=2)
    door.client.post("/pair")
    assert enter(door, dict(RIGHT)).status == 200
    limited = enter(door, dict(RIGHT))
    assert (limited.status, limited.json) == (429, {"error": "Too many login requests. Please retry later.", "retry_after": 60})


def test_hash_that_is_none_lets_nobody_in() -> None:
    assert enter(gate(login=LoginSettings(username="ann", password_hash=Secret("plain"))), {"username": "ann", "password": "plain"}).status == 401


class Recording:
    """Passwords that keeps what it was asked and never agrees."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.problem = problem

    def verify(self, password: str, phc: Secret) -> Deferred[bool]:
        self.asked.append(password)
        answer: Deferred[bool] = Deferred()
        answer.callback(False)
        return answer if self.problem is None else fail(self.problem)


def test_wrong_name_is_checked_as_long_as_a_wrong_password() -> None:
    passwords = Recording()
    door = MemoryGateway(with_gateway(Settings(), login=LOGIN), edges={"passwords": passwords})
    enter(door, {"username": "nobody", "password": "p"})
    assert passwords.asked == ["p"]


def test_too_many_checks_at_once_are_a_503_and_no_failure() -> None:
    door = MemoryGateway(with_gateway(Settings(), login=LOGIN, pair_rate_limit_per_minute=0), edges={"passwords": Recording(Overloaded())})
    assert [enter(door, dict(RIGHT)).status for _ in range(7)] == [503] * 7
