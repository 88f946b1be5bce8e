"""The soak itself: a daemon, a platform for it to send to, a crowd of people, and somebody who takes samples."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tests.acceptance.daemon import TWISTD, Daemon
from tests.soak.habits import APP_SECRET, CHANNEL_TOKEN, HABITS, HOOK_SECRET, NODE_TOKEN, TRIGGERS
from tests.soak.samples import Sample, taken
from tests.soak.town import TOKENS, Person, Town
from tests.soak.wire import Gone

CONFIG = """default_provider = "offline"

[clawgate]
version = 1

[gateway]
port = 0
trust_forwarded_headers = true
trusted_proxies = ["127.0.0.1"]
pair_rate_limit_per_minute = 100000
webhook_rate_limit_per_minute = 100000
api_rate_limit_per_minute = 100000
idempotency_ttl_secs = 30
paired_tokens = {tokens}

[inbox]
retention_secs = 60

[memory]
max_auto_saved = 2000

[nodes]
enabled = true
max_nodes = 64
auth_token = "{node}"

[hooks.git]
verify = "github"
secrets = ["{hook}"]
message = "/echo {{repo}} {{number}}"
rate_limit_per_minute = 100000
[hooks.git.fields]
repo = "/repository/full_name"

[channels_config.whatsapp]
access_token = "soak-access"
phone_number_id = "15550000000"
verify_token = "soak-verify"
app_secret = "{app}"
allowed_numbers = ["*"]
api_base = "{platform}"

[channels_config.wati]
api_token = "soak-api"
api_url = "{platform}"
webhook_token = "{channel}"
allowed_numbers = ["*"]
"""
"""A day in an hour: what is kept for days is kept for a minute, and limits are high enough to let one machine be everybody."""
_NUMBERS = re.compile(r"\b[0-9a-f-]*\d[0-9a-f-]*\b")
_SENT = b'{"result": true, "messages": [{"id": "wamid.out"}], "id": "out"}'


class Soaked(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        samples: the first one before the first request, the last one after everybody has gone.
        asked, statuses: answers by habit, and by habit and status.
    """

    requests: int
    seconds: float
    frames: int
    unexpected: int
    examples: list[str]
    asked: dict[str, int]
    statuses: dict[str, int]
    samples: list[Sample]
    complaints: dict[str, int]


@contextlib.contextmanager
def daemon(home: Path, platform: str) -> Iterator[Daemon]:
    """The daemon under test."""
    hashes = json.dumps([hashlib.sha256(token.encode()).hexdigest() for token in TOKENS])
    names = {"hook": HOOK_SECRET, "app": APP_SECRET, "channel": CHANNEL_TOKEN, "node": NODE_TOKEN}
    own = Daemon(home, CONFIG.format(tokens=hashes, platform=platform, **names), command=TWISTD)
    (home / "webhook-routes.json").write_text(json.dumps(TRIGGERS))
    own.config.chmod(0o600)
    own.start()
    try:
        yield own
        code = own.stop()
        if code:
            raise RuntimeError(f"the daemon ended with {code}: {own.errors[-2000:]}")
    finally:
        own.close()


async def _platform() -> tuple[asyncio.Server, str]:
    """WhatsApp and WATI: whatever is sent is taken."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, _, length = head.partition(b"content-length:")
                await reader.readexactly(int(length.split(b"\r\n", 1)[0] or 0))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_SENT) + _SENT)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def soak(home: Path, requests: int, people: int, tell: Callable[[Sample], None], samples: int = 200) -> Soaked:
    """Sends so many requests; fewer after SIGTERM or SIGINT, which end it early and in order.

    Args:
        home: an empty directory for the daemon.
        people: how many ask at once.
        tell: told each sample.
        samples: how many are taken, evenly spread over the requests.
    """
    server, platform = await _platform()
    with daemon(home, platform) as own:
        parts = urlsplit(own.url)
        town = Town((str(parts.hostname), int(parts.port or 0)), requests)
        sampler = _Sampler(town, own, tell)
        await sampler.sample()
        watching = asyncio.ensure_future(town.watch())
        sampling = asyncio.ensure_future(sampler.every(max(1, requests // samples)))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, town.end)
        began = time.monotonic()
        await asyncio.gather(*(_live(Person(town)) for _ in range(people)))
        seconds = time.monotonic() - began
        for task in (watching, sampling):
            task.cancel()
        await sampler.settled()
    server.close()
    found = (town.sent, seconds, town.frames, town.unexpected, town.examples, dict(town.asked), dict(sorted(town.statuses.items())))
    return Soaked(*found, sampler.samples, _complaints(own.out))


async def _live(person: Person) -> None:
    town, habits, weights = person.town, list(HABITS), list(HABITS.values())
    while town.left > 0:
        habit = town.random.choices(habits, weights)[0]
        person.habit = habit.__name__
        try:
            await habit(person)
        except (Gone, OSError) as problem:
            person.rest()
            town.wrong(person.habit, repr(problem))
        except (KeyError, ValueError, StopIteration) as problem:
            town.wrong(person.habit, f"an answer without {problem!r}")
    person.rest()


class _Sampler:
    """Takes samples, over a connection of its own."""

    def __init__(self, town: Town, daemon: Daemon, tell: Callable[[Sample], None]) -> None:
        assert daemon.process is not None
        self.pid, self.state, self.town, self.tell = daemon.process.pid, daemon.state, town, tell
        self.samples: list[Sample] = []
        self._began = time.monotonic()

    async def sample(self) -> Sample:
        """One now."""
        connection = await self.town.connect("127.0.0.1")
        try:
            exposition = (await connection.ask(b"GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n")).body.decode()
        finally:
            connection.close()
        sample = taken(self.pid, self.state, exposition, self.town.sent, time.monotonic() - self._began)
        self.samples.append(sample)
        self.tell(sample)
        return sample

    async def every(self, requests: int) -> None:
        """One every so many requests."""
        due = requests
        while True:
            await asyncio.sleep(0.05)
            if self.town.sent >= due:
                due = self.town.sent - self.town.sent % requests + requests
                await self.sample()

    async def settled(self) -> None:
        """The last one, once everybody is gone and everything has been worked off; half a minute at most."""
        for _ in range(60):
            await asyncio.sleep(0.5)
            gauges = (await self.sample()).gauges
            if gauges["http_connections"] <= 1 and not (gauges["sockets_open"] or gauges["turns_running"] or gauges["queue_depth"]):
                return
            self.samples.pop()
        await self.sample()


def _complaints(path: Path) -> dict[str, int]:
    """What the daemon's log says above info, without numbers, and how often."""
    counted: dict[str, int] = {}
    with path.open(errors="replace") as lines:
        for line in lines:
            level, _, text = line.partition(" ")[2].partition(" ")
            if level in ("warn", "error", "critical"):
                said = _NUMBERS.sub("#", text.strip())[:160]
                counted[said] = counted.get(said, 0) + 1
    return counted


def progress(requests: int) -> Callable[[Sample], None]:
    """Prints each sample on stderr."""

    def tell(sample: Sample) -> None:
        share = 100 * sample.requests / requests
        print(
            f"{sample.requests:>9,} ({share:5.1f} %) {sample.seconds:7.0f} s  RSS {sample.rss_kib / 1024:6.1f}  USS {sample.uss_kib / 1024:6.1f} MiB  "
            f"CPU {sample.cpu_seconds:6.0f} s  fds {sample.fds:3}  threads {sample.threads:2}  db {sample.database_bytes / 2**20:6.1f} MiB  {sample.gauges}",
            file=sys.stderr,
            flush=True,
        )

    return tell
