"""A daemon with everything around it that a crash can hurt: a model, platforms, a subscriber, a tool. It is killed and comes back on the same state."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from clawgate.domain.audit import Link
from tests.acceptance.crash.child import Plan
from tests.acceptance.crash.nursery import Nursery
from tests.acceptance.crash.peers import Model, Platform, Subscriber
from tests.acceptance.crash.recorded import verified
from tests.acceptance.daemon import Daemon, until

ROOT = Path(__file__).parents[3]
LEDGER_SERVER = Path(__file__).with_name("ledger_server.py")
LINQ_SECRET, META_SECRET, HOOK_SECRET = "linq-signing-secret", "meta-app-secret", "whsec_" + "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0"
PHONE = "15550001"
_UNSENT = "SELECT (SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')) + (SELECT count(*) FROM subscription_queue)"
_CONFIG = """
default_provider = "{provider}"
api_key = "sk-upstream-canary"

[gateway]
port = 0
pair_rate_limit_per_minute = 0
webhook_rate_limit_per_minute = 0
api_rate_limit_per_minute = 0
idempotency_ttl_secs = {key_seconds}
idempotency_max_keys = 1000000

[agent]
max_concurrent_turns = 16
max_attempts = 500
retry_initial_secs = 0.1
retry_max_secs = 0.5
idle_timeout_secs = 5
history_messages = 2

[autonomy]
level = "full"
always_ask = ["ledger__pay"]

[memory]
auto_save = false

[reliability]
channel_initial_backoff_secs = 1
channel_retry_max_secs = 2

[mcp_servers.ledger]
command = "{python}"
args = ["{server}", "{ledger}"]

[hooks.signed]
verify = "standard-webhooks"
secrets = ["{hook}"]
message = "{{text}}"
rate_limit_per_minute = 0

[subscriptions.main]
url = "{subscriber}"
secret = ["{hook}"]
include_answer = true
allow_private = true
timeout_secs = 5
max_queued = 1000000

[channels_config]
approval_owners = ["*"]

[channels_config.linq]
api_token = "linq-token"
from_phone = "+1555"
signing_secret = "{linq}"
allowed_senders = ["*"]
api_base = "{platform}/linq"

[channels_config.whatsapp]
access_token = "meta-token"
phone_number_id = "{phone}"
verify_token = "meta-verify"
app_secret = "{meta}"
allowed_numbers = ["*"]
api_base = "{platform}/whatsapp"
"""


class Nursling(Daemon):
    """A daemon that a nursery forks."""

    def __init__(self, home: Path, config: str, nursery: Nursery) -> None:
        super().__init__(home, config)
        self.nursery = nursery

    def spawn(self, *arguments: str, **more: Any) -> Any:  # a `Forked`, which is what is used of a Popen
        assert not more
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONIOENCODING": "utf-8"} | self.env
        argv = ["--config", str(self.config), *arguments]
        forked: Any = self.nursery.start(argv, env, str(self.home), str(self.out), str(self.err))
        self.process = forked
        return forked


class House:
    """One state directory over all kills.

    Attributes:
        broken_logs: what was wrong with the audit log after any of the kills.
        log_end: where the audit log ended at the last look.
        kills: processes that were killed. starts: those that came up.
    """

    def __init__(self, home: Path, nursery: Nursery, *, key_seconds: int = 86_400) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.model, self.platform, self.subscriber = Model(), Platform(), Subscriber()
        self.ledger, self.mark, self.clock, self.trouble = home / "ledger", home / "mark", home / "clock", home / "trouble"
        config = _CONFIG.format(
            provider=self.model.provider,
            key_seconds=key_seconds,
            python=sys.executable,
            server=LEDGER_SERVER,
            ledger=self.ledger,
            hook=HOOK_SECRET,
            linq=LINQ_SECRET,
            meta=META_SECRET,
            phone=PHONE,
            platform=self.platform.url,
            subscriber=self.subscriber.url,
        )
        self.daemon = Nursling(home / "home", config, nursery)
        self.kills = self.starts = 0
        self.broken_logs: list[str] = []
        self.log_end: Link | None = None

    def begin(self, plan: Plan) -> None:
        """Starts the daemon with a plan for it."""
        self.daemon.env = self.environment(plan)
        self.daemon.spawn()

    def start(self, plan: Plan | None = None) -> None:
        """Starts the daemon with a plan for it and waits until it answers."""
        self.daemon.env = self.environment(plan or Plan())
        self.daemon.start()
        self.starts += 1
        if not self.daemon.token:
            self.daemon.pair()

    def environment(self, plan: Plan) -> dict[str, str]:
        """A plan, with where its files are."""
        whole = plan._replace(mark=str(self.mark), clock=str(self.clock), trouble=str(self.trouble))
        return nursery_environment() | whole.environment

    def begin_and_kill(self, seconds: float) -> None:
        """Starts the daemon and kills it after so many seconds, whatever it is at."""
        self.begin(Plan())
        time.sleep(seconds)
        self.kill()

    def kill(self) -> None:
        self.daemon.kill()
        self.kills += 1
        self.check_log()

    def check_log(self) -> None:
        """Looks at the audit log as a process left it: nothing that was there at the last look may be gone."""
        if self.log_end is not None or self.starts:
            self.log_end, broken = verified(self.database, self.log_end)
            self.broken_logs += broken

    @property
    def is_dead(self) -> bool:
        return self.daemon.process is None or self.daemon.process.poll() is not None

    @property
    def clock_offset(self) -> float:
        """Seconds that the daemon's wall clock is off."""
        return float(self.clock.read_text()) if self.clock.exists() else 0.0

    @property
    def noted(self) -> Counter[str]:
        """How often the tool was called with each message."""
        return Counter(self.ledger.read_text().split()) if self.ledger.exists() else Counter()

    @property
    def database(self) -> Path:
        return self.daemon.state / "clawgate.db"

    def settle(self, seconds: float = 120) -> None:
        """Waits until every message has an outcome, and every reply and event is gone; says yes to whatever is asked about."""

        def is_settled() -> bool:
            for question in self.daemon.call("GET", "/api/v1/approvals").json["approvals"]:
                self.daemon.call("POST", f"/api/v1/approvals/{question['id']}", {"approve": True})
            page = self.daemon.call("GET", "/api/inbox?state=received,running,waiting&limit=1")
            return page.status == 200 and not page.json["items"] and not self.unsent()

        until(is_settled, "every message has an outcome", seconds)

    def unsent(self) -> int:
        """Parts of replies, and events, that are on their way."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            found: int = connection.execute(_UNSENT).fetchone()[0]
            return found

    def close(self) -> None:
        self.daemon.close()
        self.model.close()
        self.platform.close()
        self.subscriber.close()


def nursery_environment() -> dict[str, str]:
    """Where the tests and the gateway are imported from."""
    return {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def commit() -> str:
    """The commit that is tried, "" outside of a repository."""
    return os.popen(f"git -C {ROOT} rev-parse --short=12 HEAD 2>/dev/null").read().strip()
