"""Documents in, passages out, and a console's login, through a real daemon: its threads, its database, real files. Source: rantaiclaw.md §5, §14."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.acceptance.daemon import Answer, Daemon, settings
from tests.system.test_extraction import pdf

pytestmark = pytest.mark.acceptance
MORE = '[gateway.login]\nusername = "ann"\npassword_hash = "{}"\n\n[knowledge]\nenabled = true\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    phc = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("correct horse")
    made = Daemon(tmp_path, settings(more=MORE.format(phc)))
    try:
        made.start().pair()
        yield made
    finally:
        made.close()


def upload(daemon: Daemon, name: str, data: bytes) -> Answer:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return daemon.call("POST", "/api/v1/kb/documents", head + data + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})


def found(daemon: Daemon, query: str) -> list[str]:
    chunks = daemon.call("POST", "/api/v1/kb/search", {"query": query}).json["chunks"]
    return [chunk["document_title"] for chunk in chunks]


def test_real_files_are_found_until_they_are_deleted_also_after_a_restart(daemon: Daemon) -> None:
    stored = upload(daemon, "animals.pdf", pdf("Otters hold hands while they sleep on the water, so that nobody drifts away."))
    assert (stored.status, stored.json["pages"]) == (200, 1)
    assert upload(daemon, "birds.md", b"# Birds\n\nHerons stand still.\n" + b"padding " * 20_000).status == 200
    assert (found(daemon, "sleeping otters"), found(daemon, "heron")) == (["animals"], ["Birds"])
    assert daemon.stop() == 0
    daemon.start()
    assert found(daemon, "otters") == ["animals"]
    id_ = stored.json["document_id"]
    assert daemon.call("DELETE", f"/api/v1/kb/documents/{id_}?hard=true").json == {"id": id_, "mode": "hard"}
    assert found(daemon, "otters") == []


def test_password_is_checked_beside_the_reactor(daemon: Daemon) -> None:
    answers = [daemon.call("POST", "/login", {"username": "ann", "password": password}) for password in ("wrong", "correct horse")]
    assert [answer.status for answer in answers] == [401, 200]
    assert answers[1].json == {"ok": True}


def test_doctor_and_version_read_the_real_file(daemon: Daemon) -> None:
    version = daemon.call("GET", "/api/v1/version").json
    assert (len(version["config_fingerprint"]), int(version["config_fingerprint"], 16) > 0) == (16, True)
    names = [result["name"] for result in daemon.call("GET", "/api/v1/doctor").json["results"]]
    assert (len(names), names[0]) == (10, "config.schema")
