"""`/api/v1/skills`. Source: rantaiclaw.md §4, §10 (Skills), §21 (api_v1: skills)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Conflict
from clawgate.domain.settings.model import Settings, SkillEntry, SkillsSettings
from clawgate.domain.skills import SkillSourceFailed
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.skills import skill_text, zipped
from tests.web.gate import check_common

PATH = "/api/v1/skills"
ROUTES = [
    ("GET", "", Scope.READ),
    ("POST", "", Scope.WRITE),
    ("POST", "/install", Scope.WRITE),
    ("GET", "/soup", Scope.READ),
    ("DELETE", "/soup", Scope.WRITE),
    ("PUT", "/soup/enabled", Scope.WRITE),
    ("GET", "/soup/content", Scope.READ),
    ("PUT", "/soup/content", Scope.WRITE),
]
BODIES = [
    ("POST", "", {"content": skill_text("Salad")}),
    ("POST", "/install", {"slug": "tool"}),
    ("PUT", "/soup/enabled", {"enabled": True}),
    ("PUT", "/soup/content", {"content": skill_text("Soup", "new")}),
]


class Kitchen:
    """A gateway with one authored skill, and a token that holds everything."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.gate = MemoryGateway(settings)
        self.token = self.gate.pair()
        assert self.ask("POST", "", {"content": skill_text("Soup", description="cooks")}).status == 201

    def ask(self, method: str, path: str = "", body: bytes | Mapping[str, object] = b"", **options: str | None) -> Response:
        answer = self.gate.client.request(method, PATH + path, body, **{"token": self.token, **options})
        check_common(answer)
        return answer

    def put(self, slug: str, text: str) -> Path:
        folder = self.gate.scratch.path / "skills" / slug
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(text)
        return folder

    def listed(self) -> list[tuple[str, bool]]:
        return [(item["name"], item["active"]) for item in self.ask("GET").json["skills"]]


def refused(answer: Response) -> tuple[int, str]:
    return answer.status, answer.json["error"]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_skill_routes_want_their_scope(method: str, path: str, scope: Scope) -> None:
    kitchen = Kitchen()
    stranger = kitchen.ask(method, path, token=None)
    assert (stranger.status, stranger.json) == (
        401,
        {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."},
    )
    narrow = kitchen.gate.pair(scopes=[each for each in Scope if each is not scope])
    assert refused(kitchen.ask(method, path, token=narrow)) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_bodies_are_refused_as_upstream_does(method: str, path: str, body: dict[str, object]) -> None:
    kitchen = Kitchen()
    encoded = msgspec.json.encode(body)
    assert refused(kitchen.ask(method, path, encoded)) == (415, "unsupported_media_type")
    assert refused(kitchen.ask(method, path, encoded[:-1], **{"headers": {"Content-Type": "application/json"}})) == (400, "bad_request")  # type: ignore[arg-type]  # headers
    assert refused(kitchen.ask(method, path, {})) == (422, "unprocessable")
    assert refused(kitchen.ask(method, path, dict.fromkeys(body, 5))) == (422, "unprocessable")


def test_no_skills_are_an_empty_list() -> None:
    gate = MemoryGateway()
    assert gate.client.get(PATH, token=gate.pair()).json == {"skills": [], "count": 0}


def test_item_has_every_field() -> None:
    kitchen = Kitchen()
    assert kitchen.ask("GET").json == {
        "count": 1,
        "skills": [
            {
                "slug": "soup",
                "name": "Soup",
                "version": "",
                "description": "cooks",
                "tags": [],
                "tools": [],
                "enabled": True,
                "active": True,
                "reasons": [],
                "origin": {"kind": "authored", "source": None},
            }
        ],
    }


def test_origin_is_absent_when_unknown() -> None:
    kitchen = Kitchen()
    kitchen.put("by-hand", skill_text("By Hand"))
    item = kitchen.ask("GET", "/by-hand").json
    assert (item["slug"], "origin" in item, "clawhub" in item) == ("by-hand", False, False)


def test_one_skill_has_its_tools_described() -> None:
    kitchen = Kitchen()
    kitchen.put("t", skill_text("T", tools="[plain, {name: full, description: does it}]"))
    assert kitchen.ask("GET", "/t").json["tools"] == [{"name": "plain", "description": ""}, {"name": "full", "description": "does it"}]
    item = next(item for item in kitchen.ask("GET").json["skills"] if item["slug"] == "t")
    assert item["tools"] == ["plain", "full"]


@pytest.mark.parametrize("path", ["/my-skill", "/MY-SKILL", "/my%20skill", "/My%20Skill"])
def test_skill_whose_name_has_a_blank_is_reached_by_slug_and_by_name(path: str) -> None:
    kitchen = Kitchen()
    kitchen.ask("POST", "", {"content": skill_text("My Skill")})
    assert kitchen.ask("GET", path).json["name"] == "My Skill"


def test_unknown_skill_is_a_404_with_the_published_words() -> None:
    answer = Kitchen().ask("GET", "/nothing")
    assert (answer.status, answer.json) == (404, {"error": "not_found", "detail": "skill `nothing` not found"})


def test_skill_is_created_under_the_name_in_its_front_matter() -> None:
    kitchen = Kitchen()
    answer = kitchen.ask("POST", "", {"name": "ignored", "content": skill_text("Über Salad 2")})
    assert (answer.status, answer.json) == (201, {"name": "Über Salad 2", "slug": "ber-salad-2", "created": True})


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("hello", (400, "bad_request")),
        ("---\ndescription: x\n---\n", (400, "bad_request")),
        (skill_text("日本"), (400, "bad_request")),
        (skill_text("install"), (400, "bad_request")),
        (skill_text("x", "\0"), (400, "bad_request")),
        (skill_text("x", "\ud800"), (400, "bad_request")),
        (skill_text("SOUP"), (409, "conflict")),
        (skill_text("soup!"), (409, "conflict")),
        (skill_text("empty"), (409, "conflict")),
    ],
)
def test_skill_that_cannot_be_created_is_refused(content: str, answer: tuple[int, str]) -> None:
    kitchen = Kitchen()
    (kitchen.gate.scratch.path / "skills" / "empty").mkdir()
    body = b'{"content":"---\\nname: x\\n---\\n\\ud800"}' if "\ud800" in content else {"content": content}
    headers = {"Content-Type": "application/json"}
    found = kitchen.gate.client.post(PATH, body, token=kitchen.token, headers=headers if isinstance(body, bytes) else {})
    assert refused(found) == answer
    assert kitchen.listed() == [("Soup", True)]


def test_missing_name_has_the_published_words() -> None:
    answer = Kitchen().ask("POST", "", {"name": "given", "content": "hello"})
    assert answer.json["detail"] == "SKILL.md needs YAML frontmatter with a non-empty `name:` field"


def test_toggle_persists_and_disabled_stays_listed_with_its_reason() -> None:
    kitchen = Kitchen()
    kitchen.put("ant", skill_text("Ant"))
    answer = kitchen.ask("PUT", "/soup/enabled", {"enabled": False})
    assert (answer.status, answer.json, kitchen.gate.switch.switched) == (200, {"name": "Soup", "enabled": False}, {"Soup": False})
    item = kitchen.ask("GET", "/soup").json
    assert (item["enabled"], item["active"], item["reasons"]) == (False, False, ["disabled in config.toml"])
    assert kitchen.listed() == [("Ant", True), ("Soup", False)]
    kitchen.ask("PUT", "/soup/enabled", {"enabled": True})
    assert kitchen.listed() == [("Ant", True), ("Soup", True)]


def test_switch_that_cannot_be_written_switches_nothing() -> None:
    kitchen = Kitchen()
    kitchen.gate.switch.problem = Conflict("config.toml changed since it was read")
    assert refused(kitchen.ask("PUT", "/soup/enabled", {"enabled": False})) == (409, "conflict")
    assert kitchen.listed() == [("Soup", True)]


def test_config_says_who_is_enabled_and_why_not_active() -> None:
    kitchen = Kitchen(Settings(skills=SkillsSettings(entries={"Soup": SkillEntry(enabled=False)})))
    kitchen.put("far", skill_text("Far", requires="{os: [macos], env: [KEY]}"))
    reasons = {item["name"]: (item["enabled"], item["reasons"]) for item in kitchen.ask("GET").json["skills"]}
    assert reasons == {
        "Soup": (False, ["disabled in config.toml"]),
        "Far": (True, ["wrong OS: requires macos (this is linux)", "env `KEY` not set"]),
    }


def test_removed_skill_is_gone_and_removing_it_again_is_a_404() -> None:
    kitchen = Kitchen()
    answers = [kitchen.ask("DELETE", "/soup") for _ in range(2)]
    assert [(answer.status, answer.json) for answer in answers] == [
        (200, {"name": "Soup", "removed": True}),
        (404, {"error": "not_found", "detail": "skill `soup` not found"}),
    ]
    assert kitchen.listed() == []


def test_content_goes_round() -> None:
    kitchen = Kitchen()
    assert kitchen.ask("GET", "/soup/content").json == {"slug": "soup", "name": "Soup", "content": skill_text("Soup", description="cooks")}
    answer = kitchen.ask("PUT", "/SOUP/content", {"content": skill_text("Soup", "Boil.")})
    assert (answer.status, answer.json) == (200, {"slug": "soup", "name": "Soup", "written": True})
    assert kitchen.ask("GET", "/soup/content").json["content"] == skill_text("Soup", "Boil.")


@pytest.mark.parametrize("content", [skill_text("soup"), skill_text("Stew"), "hello"])
def test_new_content_may_not_rename(content: str) -> None:
    kitchen = Kitchen()
    assert refused(kitchen.ask("PUT", "/soup/content", {"content": content})) == (400, "bad_request")
    assert kitchen.ask("GET", "/soup").json["name"] == "Soup"


def test_content_is_only_for_authored_skills() -> None:
    kitchen = Kitchen()
    kitchen.put("by-hand", skill_text("By Hand"))
    for method, body in (("GET", {}), ("PUT", {"content": skill_text("By Hand", "x")})):
        assert refused(kitchen.ask(method, "/by-hand/content", body)) == (403, "forbidden")
        assert refused(kitchen.ask(method, "/nothing/content", body)) == (404, "not_found")


@pytest.mark.parametrize("slug", ["a.b", "a%20b", "%C3%A4", "a%2ab", "x" * 129])
@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("PUT", "/enabled"), ("GET", "/content"), ("PUT", "/content")])
def test_bad_slug_is_a_400(method: str, path: str, slug: str) -> None:
    assert refused(Kitchen().ask(method, f"/{slug}{path}", {"enabled": True, "content": "x"})) == (400, "bad_request")


# Installing


def offered(*owners: str) -> Kitchen:
    kitchen = Kitchen()
    for owner in owners:
        kitchen.gate.shelf.offer(owner, "tool", zipped({"tool/SKILL.md": skill_text("Tool")}))
    return kitchen


@pytest.mark.parametrize("reference", ["tool", " bob/tool ", "@bob/tool"])
def test_installed_skill_shows_its_publisher(reference: str) -> None:
    kitchen = offered("bob")
    answer = kitchen.ask("POST", "/install", {"slug": reference})
    assert (answer.status, answer.json) == (200, {"slug": reference.strip(), "installed": True})
    item = kitchen.ask("GET", "/tool").json
    assert item["origin"] == {"kind": "clawhub", "source": "@bob/tool"}
    assert item["clawhub"] == {"owner": "bob", "slug": "tool", "version": "1.0", "reference": "@bob/tool"}


def test_reference_is_bare_without_a_publisher() -> None:
    kitchen = offered("")
    kitchen.ask("POST", "/install", {"slug": "tool"})
    assert kitchen.ask("GET", "/tool").json["clawhub"] == {"owner": "", "slug": "tool", "version": "1.0", "reference": "tool"}


def test_what_is_installed_already_is_installed() -> None:
    kitchen = offered("bob")
    kitchen.ask("POST", "/install", {"slug": "tool"})
    kitchen.gate.shelf.problem = SkillSourceFailed("not asked again")
    assert kitchen.ask("POST", "/install", {"slug": "Tool"}).json == {"slug": "Tool", "installed": True}


def test_slug_of_several_publishers_is_a_409_with_the_candidates() -> None:
    answer = offered("bob", "eve").ask("POST", "/install", {"slug": "tool"})
    match = {"owner": "bob", "reference": "@bob/tool", "url": "https://market.example/bob/tool.zip", "downloads": 7, "official": False}
    assert (answer.status, answer.json["error"], answer.json["matches"][0], len(answer.json["matches"])) == (409, "ambiguous_skill_slug", match, 2)
    assert offered("bob", "eve").ask("POST", "/install", {"slug": "eve/tool"}).status == 200


@pytest.mark.parametrize("reference", ["", "../x", "a/b/c", "@tool", "https://x.example/y"])
def test_bad_reference_is_a_400(reference: str) -> None:
    assert refused(offered("bob").ask("POST", "/install", {"slug": reference})) == (400, "bad_request")


def test_what_nobody_offers_is_a_404_without_matches() -> None:
    answer = offered("bob").ask("POST", "/install", {"slug": "eve/tool"})
    assert (answer.status, answer.json) == (404, {"error": "not_found", "detail": "nobody offers a skill `@eve/tool`"})


@pytest.mark.parametrize(
    "archive", [b"no archive", zipped({"README.md": "x"}), zipped({"SKILL.md": "nameless"}), zipped({"SKILL.md": skill_text("T"), "/x": ""})]
)
def test_archive_that_is_no_skill_is_a_500_that_says_why(archive: bytes) -> None:
    kitchen = Kitchen()
    kitchen.gate.shelf.offer("bob", "tool", archive)
    answer = kitchen.ask("POST", "/install", {"slug": "tool"})
    assert (refused(answer), answer.json["detail"].startswith("the archive is no skill: "), "matches" in answer.json) == (
        (500, "internal_error"),
        True,
        False,
    )
    assert kitchen.listed() == [("Soup", True)]


def test_marketplace_that_fails_is_a_500_and_the_next_may_try() -> None:
    kitchen = offered("bob")
    kitchen.gate.shelf.problem = SkillSourceFailed("the marketplace cannot be reached")
    answer = kitchen.ask("POST", "/install", {"slug": "tool"})
    assert (answer.status, answer.json) == (500, {"error": "internal_error", "detail": "the marketplace cannot be reached"})
    kitchen.gate.shelf.problem = None
    assert kitchen.ask("POST", "/install", {"slug": "tool"}).status == 200


def test_archive_of_an_existing_name_is_a_409() -> None:
    kitchen = Kitchen()
    kitchen.gate.shelf.offer("bob", "tool", zipped({"SKILL.md": skill_text("Soup")}))
    assert refused(kitchen.ask("POST", "/install", {"slug": "tool"})) == (409, "conflict")


def test_path_of_this_machine_is_for_administrators(tmp_path: Path) -> None:
    kitchen = Kitchen()
    (tmp_path / "SKILL.md").write_text(skill_text("From Here"))
    narrow = kitchen.gate.pair(scopes=["write"])
    assert refused(kitchen.ask("POST", "/install", {"path": str(tmp_path)}, token=narrow)) == (403, "forbidden")
    answer = kitchen.ask("POST", "/install", {"path": str(tmp_path)})
    assert (answer.status, answer.json) == (200, {"slug": "from-here", "installed": True})
    assert kitchen.ask("GET", "/from-here").json["origin"] == {"kind": "local", "source": str(tmp_path)}
    assert refused(kitchen.ask("GET", "/from-here/content")) == (403, "forbidden")
    assert refused(kitchen.ask("POST", "/install", {"path": str(tmp_path)})) == (409, "conflict")
    assert refused(kitchen.ask("POST", "/install", {"path": str(tmp_path / "none")})) == (404, "not_found")


def test_skills_outlive_a_restart() -> None:
    kitchen = Kitchen()
    after = kitchen.gate.restart(kill=True)
    assert after.client.get(PATH, token=kitchen.token).json["count"] == 1
