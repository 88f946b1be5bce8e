"""Real senders at one real daemon: what the vendors' libraries sign is taken once, whatever is repeated or killed, and what is touched is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from clawgate.domain.signing.registry import SCHEMES
from tests.acceptance.canaries import told
from tests.acceptance.daemon import Answer, Daemon, Upstream, call, settings, until
from tests.acceptance.hook_senders import OTHER, OTHER_WHSEC, SECRET, SENDERS, WHSEC, Delivery, openssl

pytestmark = pytest.mark.acceptance
LIMITS = "rate_limit_per_minute = 0\nmax_body_bytes = 1048576\ntolerance_secs = 240"
WAYS = ("async", "sync")


def hook(name: str, verify: str, secrets: list[str], more: str = "") -> str:
    return f'[hooks.{name}]\nverify = "{verify}"\nsecrets = {json.dumps(secrets)}\nmessage = "{{text}}"\n{LIMITS}\n{more}\n'


def hooks() -> str:
    """Two for each sender; those of Stripe read their secret from a variable."""
    return "\n".join(
        hook(
            f"{name}-{way}",
            sender.verify,
            ["env:STRIPE_HOOK_SECRET" if name == "stripe" else sender.known or sender.secret],
            f'respond = "{way}"\n{sender.options}',
        )
        for name, sender in SENDERS.items()
        for way in WAYS
    )


def turning(home: Path, listed: list[str], filed: list[str]) -> str:
    """Two hooks whose secrets are replaced: in the list, and by way of files in the home."""
    return hook("listed", "standard-webhooks", listed) + hook("filed", "github", [f"file:{home / name}" for name in filed])


class Scene:
    """The daemon, what it asks its agent, and what to send it."""

    def __init__(self, home: Path, upstream: Upstream) -> None:
        self.home, self.upstream = home, upstream
        (home / "old").write_text(SECRET)
        (home / "new").write_text(OTHER)
        self.daemon = Daemon(home, self.config([WHSEC], ["old"]), env={"STRIPE_HOOK_SECRET": WHSEC})

    def config(self, listed: list[str], filed: list[str]) -> str:
        return settings(self.upstream.provider, more=hooks() + turning(self.home, listed, filed))

    def post(self, path: str, delivery: Delivery) -> Answer:
        return call(self.daemon.url, "POST", f"/hooks/{path}{delivery.query}", delivery.body, delivery.headers)

    def each(self, deliveries: Mapping[str, Delivery]) -> dict[str, Answer]:
        """The answers, by the name of the hook."""
        return {name: self.post(name, delivery) for name, delivery in deliveries.items()}

    def outcome(self, answer: Answer) -> str:
        """What came of a promised delivery."""
        path = answer.headers["location"]
        until(lambda: self.daemon.call("GET", path).json["state"] == "done", "it is done")
        return str(self.daemon.call("GET", path).json["response"])

    def asked(self) -> list[str]:
        """What the agent was asked by senders of the text "… one"."""
        return [text for text in self.upstream.asked if text.endswith(" one")]

    def reload(self, text: str) -> None:
        self.daemon.config.write_text(text)
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGHUP)

    def takes(self, path: str, delivery: Delivery) -> bool:
        status = self.post(path, delivery).status
        assert status in (200, 202, 401)
        return status != 401


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    upstream = Upstream()
    scene = Scene(tmp_path_factory.mktemp("hooks"), upstream)
    try:
        scene.daemon.start().pair()
        yield scene
    finally:
        upstream.close()
        scene.daemon.close()
        secrets = {"text": SECRET, "whsec": WHSEC[6:], "other": OTHER, "other whsec": OTHER_WHSEC[6:]}
        assert told(secrets, scene.daemon.out, scene.daemon.err, scene.daemon.state) == set()


def test_every_scheme_has_a_sender() -> None:
    assert {sender.verify for sender in SENDERS.values()} == set(SCHEMES)


def test_what_they_sign_is_taken_once_and_what_is_touched_is_refused(scene: Scene) -> None:
    names = {f"{name}-{way}": name for name in SENDERS for way in WAYS}
    sent = {path: SENDERS[name].deliver(f"{path} one") for path, name in names.items()}
    asked = {path: f"[Hook: {path}] {path} one" for path in names}
    wanted = {path: f"re {text}" for path, text in asked.items()}
    status = {path: 200 if path.endswith("-sync") else 202 for path in names}

    tokens = {path for path, name in names.items() if name in ("telegram", "gitlab-token")}
    touched = scene.each({path: delivery.with_other_body() for path, delivery in sent.items() if path not in tokens})
    touched |= {f"{path} signature": scene.post(path, delivery.with_other_signature(SENDERS[names[path]].header)) for path, delivery in sent.items()}
    assert {path: answer.status for path, answer in touched.items() if answer.status != 401} == {}
    assert scene.asked() == []

    first = scene.each(sent)
    assert {path: answer.status for path, answer in first.items()} == status
    assert {path: answer.json["response"] if status[path] == 200 else scene.outcome(answer) for path, answer in first.items()} == wanted
    assert sorted(scene.asked()) == sorted(asked.values())

    copies = {path: (200, "duplicate", text) for path, text in wanted.items()}
    assert {path: (answer.status, answer.json["status"], answer.json["response"]) for path, answer in scene.each(sent).items()} == copies
    scene.daemon.kill()
    scene.daemon.start()
    assert {path: (answer.status, answer.json["status"], answer.json["response"]) for path, answer in scene.each(sent).items()} == copies
    assert len(scene.asked()) == len(names)


def test_what_platforms_ask_of_the_address_is_answered_without_a_turn(scene: Scene) -> None:
    discord, slack, before = SENDERS["discord"], SENDERS["slack"], list(scene.upstream.asked)
    ping = b'{"type":1,"text":"one"}'
    genuine = Delivery("", discord.sign("", ping, "", "") | {"Content-Type": "application/json"}, ping)
    answer = scene.post("discord-async", genuine)
    assert (answer.status, answer.json) == (200, {"type": 1})
    wrong = [genuine.with_other_body(), genuine.with_other_signature(discord.header), genuine._replace(headers={})]
    assert [scene.post("discord-async", delivery).status for delivery in wrong] == [401, 401, 401]

    challenge = b'{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV","text":"one"}'
    asked = Delivery("", slack.sign(SECRET, challenge, "", "") | {"Content-Type": "application/json"}, challenge)
    answer = scene.post("slack-async", asked)
    assert (answer.status, answer.body) == (200, b"3eZbrw1aBm2rZgRNFdxV")
    assert scene.post("slack-async", asked.with_other_body()).status == 401

    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    met = [call(scene.daemon.url, "GET", f"/hooks/meta-async{query}{token}") for token in ("presented+when+it+subscribes", "guessed")]
    assert [(answer.status, answer.body == b"1158201444") for answer in met] == [(200, True), (401, False)]
    assert scene.upstream.asked == before


def test_a_secret_is_replaced_without_a_gap_while_the_daemon_runs(scene: Scene) -> None:
    """Written beside each other both count; one that is taken out is dead: of a list, and of a file that was rewritten."""
    standard, github = SENDERS["standard"], SENDERS["github"]

    def taken(text: str) -> list[bool]:
        """Of each hook, by the old secret and by the new one."""
        return [
            scene.takes("listed", standard.deliver(f"{text} 1", secret=WHSEC)),
            scene.takes("listed", standard.deliver(f"{text} 2", secret=OTHER_WHSEC)),
            scene.takes("filed", github.deliver(f"{text} 1", secret=SECRET)),
            scene.takes("filed", github.deliver(f"{text} 2", secret=OTHER)),
        ]

    assert taken("before") == [True, False, True, False]
    scene.reload(scene.config([OTHER_WHSEC, WHSEC], ["new", "old"]))
    until(lambda: scene.takes("listed", standard.deliver("overlap", secret=OTHER_WHSEC)), "the new one counts")
    assert taken("while both are there") == [True, True, True, True]
    (scene.home / "old").write_text(OTHER)
    scene.reload(scene.config([OTHER_WHSEC], ["old"]))
    until(lambda: not scene.takes("listed", standard.deliver("overlap", secret=WHSEC)), "the old one is dead")
    assert taken("after") == [False, True, False, True]


def test_a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not(scene: Scene) -> None:
    def padded(size: int) -> Delivery:
        body = b'{"text":"large","pad":"' + b"a" * (size - 25) + b'"}'
        assert len(body) == size
        signature = "sha256=" + openssl(SECRET, body).hex()
        return Delivery("", {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}, body)

    assert [scene.post("github-async", padded(size)).status for size in (1 << 20, (1 << 20) + 1)] == [202, 413]
