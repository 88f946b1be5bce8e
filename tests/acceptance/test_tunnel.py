"""The tunnel's supervisor with real children: stand-ins named like the programs, printing what those print."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import CloudflareTunnel, CustomTunnel, NgrokTunnel, TailscaleTunnel, TunnelSettings
from clawgate.system import leash
from clawgate.system.tunnel import Tunnel
from clawgate.testing.clock import FixedEntropy, ManualClock

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 15.0
TOKEN = "cf-canary-token-4711"

HEADER = f"""#!{sys.executable} -IS
import json, os, signal, subprocess, sys, time
notes = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "notes"), "a")
notes.write(json.dumps({{"argv": sys.argv[1:], "env": sorted(os.environ), "token": os.environ.get("TUNNEL_TOKEN") or os.environ.get("NGROK_AUTHTOKEN"),
    "pid": os.getpid(), "pgid": os.getpgid(0)}}) + chr(10))
notes.close()
def say(text, to=sys.stdout):
    to.write(text + chr(10)); to.flush()
"""
QUICK = 'say("INF |  https://one-two.trycloudflare.com  |", sys.stderr); time.sleep(60)'
NGROK = 'say("t=1 lvl=info msg=\\"started tunnel\\" addr=http://127.0.0.1:3000 url=https://abc.ngrok-free.app"); time.sleep(60)'
TAILSCALE = 'say("Available on the internet:\\n\\nhttps://box.tail1.ts.net/\\n|-- proxy http://127.0.0.1:3000"); time.sleep(60)'
CLOUDFLARE = TunnelSettings(provider="cloudflare", cloudflare=CloudflareTunnel())


class Health(msgspec.Struct):
    """Remembers what was said of the tunnel."""

    said: list[str] = []

    def ok(self, component: str) -> None:
        self.said.append(f"{component} ok")

    def failed(self, component: str, error: str) -> None:
        self.said.append(f"{component} failed: {error}")

    def restarted(self, component: str) -> None:
        self.said.append(f"{component} restarted")


class Bench(msgspec.Struct):
    """A folder with stand-ins and a tunnel that finds its program there."""

    folder: Path
    clock: ManualClock = msgspec.field(default_factory=ManualClock)
    health: Health = msgspec.field(default_factory=Health)
    urls: list[str] = []
    tunnels: list[Tunnel] = []

    def program(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(HEADER + body + "\n")
        path.chmod(0o755)

    def tunnel(self, settings: TunnelSettings) -> Tunnel:
        environment = {"PATH": str(self.folder), "CLAWGATE_API_KEY": "must not be passed on"}
        parts: dict[str, Any] = {"clock": self.clock, "health": self.health, "on_url": self.urls.append, "entropy": FixedEntropy()}
        self.tunnels.append(Tunnel(settings=settings, reactor=reactor, environment=environment, **parts))
        return self.tunnels[-1]

    def notes(self) -> list[dict[str, Any]]:
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for note in made.notes():
        assert not alive(note["pgid"]), "a test left a process group behind"


def alive(group: int) -> bool:
    """Whether the process group has a member; one that is dead and only not yet collected by init does not count."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgid = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgid) == group and state != "Z":
            return True
    return False


def in_time(waiting: Deferred[Any]) -> Deferred[Any]:
    return waiting.addTimeout(DEADLINE_SECONDS, reactor)  # type: ignore[arg-type]  # the module is the reactor


async def until(is_so: Callable[[], object]) -> None:
    for _ in range(int(DEADLINE_SECONDS / 0.01)):
        if is_so():
            return
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]  # the module is the reactor
    raise AssertionError("it did not come to pass in time")


@ensureDeferred
@pytest.mark.parametrize(
    ("settings", "program", "body", "url"),
    [
        (CLOUDFLARE, "cloudflared", QUICK, "https://one-two.trycloudflare.com"),
        (TunnelSettings(provider="ngrok", ngrok=NgrokTunnel(auth_token=Secret(TOKEN))), "ngrok", NGROK, "https://abc.ngrok-free.app"),
        (TunnelSettings(provider="tailscale", tailscale=TailscaleTunnel(funnel=True)), "tailscale", TAILSCALE, "https://box.tail1.ts.net"),
        (
            TunnelSettings(provider="custom", custom=CustomTunnel(start_command="dig {host} {port}")),
            "dig",
            'say("http://127.0.0.1:3000 is now https://pub.example"); say("https://later.example"); time.sleep(60)',
            "https://pub.example",
        ),
    ],
    ids=["cloudflare", "ngrok", "tailscale", "custom"],
)
async def test_url_is_read_from_the_programs_output(bench: Bench, settings: TunnelSettings, program: str, body: str, url: str) -> None:
    bench.program(program, body)
    tunnel = bench.tunnel(settings)
    assert await in_time(tunnel.start("127.0.0.1", 3000)) == url
    assert (bench.urls, tunnel.url, bench.health.said) == ([url], url, ["tunnel ok"])
    (note,) = bench.notes()
    assert note["pid"] == note["pgid"] != os.getpgid(0)
    assert "3000" in " ".join(note["argv"])
    assert "CLAWGATE_API_KEY" not in note["env"]
    await in_time(tunnel.stop())
    assert not alive(note["pgid"])
    assert tunnel.url is None
    assert bench.clock.pending == 0


@ensureDeferred
async def test_token_is_in_the_environment_only(bench: Bench) -> None:
    bench.program("cloudflared", f'say("ERR bad token " + os.environ["TUNNEL_TOKEN"], sys.stderr); assert "{TOKEN}" not in sys.argv; sys.exit(3)')
    tunnel = bench.tunnel(TunnelSettings(provider="cloudflare", cloudflare=CloudflareTunnel(token=Secret(TOKEN))))
    started = tunnel.start("127.0.0.1", 3000)
    await until(lambda: bench.health.said)
    (note,) = bench.notes()
    assert note["token"] == TOKEN
    assert TOKEN not in " ".join(note["argv"])
    assert bench.health.said == ["tunnel failed: the program ended with exit code 3: ERR bad token ***"]
    await in_time(tunnel.stop())
    assert await in_time(started) is None


@ensureDeferred
async def test_killed_program_is_started_again_after_growing_waits(bench: Bench) -> None:
    bench.program("cloudflared", QUICK)
    tunnel = bench.tunnel(CLOUDFLARE)
    await in_time(tunnel.start("127.0.0.1", 3000))
    for count, longest in ((1, 1.0), (2, 2.0), (3, 4.0)):
        os.kill(bench.notes()[-1]["pid"], signal.SIGKILL)
        await until(lambda count=count: sum("failed" in word for word in bench.health.said) == count)
        assert tunnel.url is None
        assert bench.clock.pending == 1
        bench.clock.advance(longest / 2 - 0.01)
        assert len(bench.notes()) == count
        bench.clock.advance(longest / 2 + 0.01)
        await until(lambda: tunnel.url is not None)
        assert len(bench.notes()) == count + 1
    assert bench.health.said[:4] == [
        "tunnel ok",
        "tunnel failed: the program ended with signal 9: INF |  https://one-two.trycloudflare.com  |",
        "tunnel restarted",
        "tunnel ok",
    ]
    assert bench.urls == ["https://one-two.trycloudflare.com"]
    await in_time(tunnel.stop())


@ensureDeferred
async def test_long_steady_run_makes_the_wait_short_again(bench: Bench) -> None:
    bench.program("cloudflared", QUICK)
    tunnel = bench.tunnel(CLOUDFLARE)
    await in_time(tunnel.start("127.0.0.1", 3000))
    for _ in range(3):
        runs = len(bench.notes())
        bench.clock.advance(61)
        os.kill(bench.notes()[-1]["pid"], signal.SIGKILL)
        await until(lambda: tunnel.url is None)
        bench.clock.advance(1.0)
        await until(lambda runs=runs: tunnel.url is not None and len(bench.notes()) == runs + 1)
    await in_time(tunnel.stop())


@ensureDeferred
async def test_stop_ends_what_the_program_started_and_what_will_not_listen(bench: Bench) -> None:
    stubborn = "subprocess.Popen([sys.executable, '-c', 'import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'])"
    bench.program("cloudflared", f"signal.signal(15, signal.SIG_IGN); {stubborn}; {QUICK}")
    tunnel = bench.tunnel(CLOUDFLARE)
    await in_time(tunnel.start("127.0.0.1", 3000))
    stopped = tunnel.stop()
    await deferLater(reactor, 0.05)  # type: ignore[arg-type]  # time for a signal that must not suffice
    assert not stopped.called
    bench.clock.advance(5.0)
    await in_time(stopped)
    await until(lambda: not alive(bench.notes()[0]["pgid"]))
    assert bench.clock.pending == 0


@ensureDeferred
async def test_grandchild_goes_when_the_program_dies_by_itself(bench: Bench) -> None:
    bench.program("cloudflared", "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); sys.exit(1)")
    tunnel = bench.tunnel(CLOUDFLARE)
    started = tunnel.start("127.0.0.1", 3000)
    await until(lambda: bench.health.said)
    await until(lambda: not alive(bench.notes()[0]["pgid"]))
    await in_time(tunnel.stop())
    assert await in_time(started) is None


@ensureDeferred
async def test_missing_program_is_named_with_its_remedy_and_looked_for_again(bench: Bench) -> None:
    tunnel = bench.tunnel(CLOUDFLARE)
    started = tunnel.start("127.0.0.1", 3000)
    (said,) = bench.health.said
    assert said.startswith('tunnel failed: tunnel.provider: the program "cloudflared" is not on the PATH. Install cloudflared: https://')
    bench.program("cloudflared", QUICK)
    bench.clock.advance(1.0)
    assert await in_time(started) == "https://one-two.trycloudflare.com"
    await in_time(tunnel.stop())


@ensureDeferred
async def test_silent_program_costs_only_the_start_timeout_and_its_url_still_counts(bench: Bench) -> None:
    go = bench.folder / "go"
    bench.program("cloudflared", f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n{QUICK}")
    tunnel = bench.tunnel(CLOUDFLARE)
    started = tunnel.start("127.0.0.1", 3000)
    await until(bench.notes)
    bench.clock.advance(29.9)
    assert not started.called
    bench.clock.advance(0.2)
    assert await in_time(started) is None
    assert bench.health.said == ["tunnel failed: no public URL after 30 s"]
    go.touch()
    await until(lambda: bench.urls == ["https://one-two.trycloudflare.com"])
    assert bench.health.said[-1] == "tunnel ok"
    await in_time(tunnel.stop())


@ensureDeferred
async def test_named_tunnel_without_a_printed_url_is_up_after_a_short_grace(bench: Bench) -> None:
    bench.program("cloudflared", 'say("INF Registered tunnel connection connIndex=0", sys.stderr); time.sleep(60)')
    tunnel = bench.tunnel(TunnelSettings(provider="cloudflare", cloudflare=CloudflareTunnel(token=Secret(TOKEN))))
    started = tunnel.start("127.0.0.1", 3000)
    await until(lambda: bench.health.said == ["tunnel ok"])
    bench.clock.advance(3.0)
    assert await in_time(started) is None
    assert bench.health.said == ["tunnel ok"]
    await in_time(tunnel.stop())


@ensureDeferred
async def test_flood_of_output_without_line_ends_is_survived(bench: Bench) -> None:
    bench.program("cloudflared", f"sys.stdout.write('x' * 5_000_000 + chr(10)); sys.stdout.flush(); {QUICK}")
    tunnel = bench.tunnel(CLOUDFLARE)
    assert await in_time(tunnel.start("127.0.0.1", 3000)) == "https://one-two.trycloudflare.com"
    await in_time(tunnel.stop())


@ensureDeferred
async def test_stop_before_and_during_the_start_is_harmless(bench: Bench) -> None:
    bench.program("cloudflared", "time.sleep(60)")
    tunnel = bench.tunnel(CLOUDFLARE)
    await in_time(tunnel.stop())
    started = tunnel.start("127.0.0.1", 3000)
    with pytest.raises(Conflict):
        await in_time(tunnel.start("127.0.0.1", 3000))
    await in_time(tunnel.stop())
    assert await in_time(started) is None
    assert bench.clock.pending == 0


@ensureDeferred
async def test_no_provider_runs_nothing_and_a_wrong_one_is_invalid(bench: Bench) -> None:
    assert await in_time(bench.tunnel(TunnelSettings()).start("127.0.0.1", 3000)) is None
    with pytest.raises(Invalid):
        await in_time(bench.tunnel(TunnelSettings(provider="custom")).start("127.0.0.1", 3000))
    assert bench.health.said == []


def test_program_on_the_leash_dies_with_its_parent(bench: Bench) -> None:
    bench.program("program", "time.sleep(60)")
    script = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-IS', {leash.__file__!r}, str(os.getpid()), {str(bench.folder / 'program')!r}])\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        wait_for(bench.notes)
        parent.communicate(b"go\n", timeout=DEADLINE_SECONDS)
    finally:
        parent.kill()
        parent.wait(DEADLINE_SECONDS)
    wait_for(lambda: not alive(bench.notes()[0]["pgid"]))


def test_leash_refuses_to_run_for_a_parent_that_is_gone_and_names_a_missing_program() -> None:
    run = [sys.executable, "-IS", str(leash.__file__)]
    orphan = subprocess.run([*run, "1" if os.getpid() != 1 else "2", "true"], capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    missing = subprocess.run([*run, str(os.getpid()), "/no/such/program"], capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert orphan.returncode == leash.ORPHANED
    assert (missing.returncode, missing.stderr) == (leash.NOT_FOUND, b"/no/such/program: No such file or directory\n")


def wait_for(is_so: Callable[[], object]) -> None:
    pause = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for _ in range(int(DEADLINE_SECONDS / 0.05)):
            if is_so():
                return
            try:
                pause.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    finally:
        pause.kill()
        pause.communicate()
    raise AssertionError("it did not come to pass in time")
