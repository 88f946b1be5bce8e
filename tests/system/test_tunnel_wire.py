"""How tunnel programs are called and what their output means. Source: zeroclaw.md A1.2, rantaiclaw.md §2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import CloudflareTunnel, CustomTunnel, NgrokTunnel, TailscaleTunnel, TunnelSettings
from clawgate.system.tunnel_wire import MAX_LINE_BYTES, Lines, Plan, Report, inherited, plan, report

NAMED = TunnelSettings(provider="cloudflare", cloudflare=CloudflareTunnel(token=Secret("cf-token")))
QUICK = TunnelSettings(provider="cloudflare", cloudflare=CloudflareTunnel())
NGROK = TunnelSettings(provider="ngrok", ngrok=NgrokTunnel(auth_token=Secret("ng-token"), domain="me.ngrok.app"))
FUNNEL = TunnelSettings(provider="tailscale", tailscale=TailscaleTunnel(funnel=True))


def custom(command: str, pattern: str = "") -> TunnelSettings:
    return TunnelSettings(provider="custom", custom=CustomTunnel(start_command=command, url_pattern=pattern))


def planned(settings: TunnelSettings, host: str = "127.0.0.1", port: int = 3000) -> Plan:
    found = plan(settings, host, port)
    assert found is not None
    return found


def url(settings: TunnelSettings, *lines: str) -> str:
    return next((said.url for said in (report(planned(settings), line) for line in lines) if said.url), "")


# --- commands --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["none", ""])
def test_no_provider_means_no_program(provider: str) -> None:
    assert plan(TunnelSettings(provider=provider), "127.0.0.1", 3000) is None


def test_named_cloudflare_tunnel_gets_its_token_through_the_environment() -> None:
    found = planned(NAMED)
    assert found.argv == ("cloudflared", "tunnel", "--no-autoupdate", "run")
    assert [(name, secret.reveal()) for name, secret in found.environment] == [("TUNNEL_TOKEN", "cf-token")]


def test_cloudflare_without_a_token_is_a_quick_tunnel() -> None:
    found = planned(QUICK, "0.0.0.0", 8080)
    assert found.argv == ("cloudflared", "tunnel", "--no-autoupdate", "--url", "http://127.0.0.1:8080")
    assert found.environment == ()


def test_ngrok_gets_its_token_through_the_environment() -> None:
    found = planned(NGROK)
    assert found.argv == ("ngrok", "http", "127.0.0.1:3000", "--log", "stdout", "--log-format", "logfmt", "--domain", "me.ngrok.app")
    assert [(name, secret.reveal()) for name, secret in found.environment] == [("NGROK_AUTHTOKEN", "ng-token")]


def test_tailscale_serves_the_tailnet_or_funnels_the_internet() -> None:
    assert planned(TunnelSettings(provider="tailscale")).argv == ("tailscale", "serve", "3000")
    assert planned(FUNNEL).argv == ("tailscale", "funnel", "3000")
    assert planned(FUNNEL, "10.0.0.5").argv == ("tailscale", "funnel", "http://10.0.0.5:3000")


def test_custom_command_is_split_before_it_is_filled_in() -> None:
    found = planned(custom("bore local '{port}' --to \"my host\" --local-host={host}"), "::1", 81)
    assert found.argv == ("bore", "local", "81", "--to", "my host", "--local-host=[::1]")


@pytest.mark.parametrize(("host", "local"), [("localhost", "127.0.0.1"), ("::", "127.0.0.1"), ("[::1]", "[::1]"), ("192.168.1.2", "192.168.1.2")])
def test_address_the_program_reaches_us_under(host: str, local: str) -> None:
    assert planned(custom("x {host}"), host).argv == ("x", local)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (TunnelSettings(provider="wireguard"), "tunnel.provider"),
        (TunnelSettings(provider="cloudflare"), "tunnel.cloudflare"),
        (TunnelSettings(provider="ngrok"), "tunnel.ngrok"),
        (TunnelSettings(provider="custom"), "tunnel.custom"),
        (custom("  "), "tunnel.custom.start_command"),
        (custom("x 'y"), "tunnel.custom.start_command"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: TunnelSettings, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        plan(settings, "127.0.0.1", 3000)
    assert caught.value.path == path
    assert caught.value.remedy


def test_unknown_provider_is_told_in_the_contracts_words() -> None:
    with pytest.raises(Invalid, match=r'Unknown tunnel provider: "x"\. Valid: none, cloudflare, tailscale, ngrok, custom'):
        plan(TunnelSettings(provider="x"), "127.0.0.1", 3000)


def test_child_inherits_paths_and_proxies_and_none_of_our_keys() -> None:
    ours = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "https_proxy": "p", "TS_DEBUG": "1", "NGROK_REGION": "eu"}
    keys = {"CLAWGATE_API_KEY": "k", "OPENAI_API_KEY": "k", "JWT_SECRET": "k", "API_KEY": "k", "LD_PRELOAD": "x", "MY_PATH": "y"}
    assert inherited({**ours, **keys}) == ours


# --- output ----------------------------------------------------------------------------------------------------------------------------

QUICK_OUTPUT = (
    "2026-11-21T06:00:00Z INF Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account, is a quick way to experiment: "
    "https://developers.cloudflare.com/cloudflare-one/connections/connect-apps",
    "2026-11-21T06:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...",
    "2026-11-21T06:00:02Z INF +--------------------------------------------------------------------------------------------+",
    "2026-11-21T06:00:02Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):  |",
    "2026-11-21T06:00:02Z INF |  https://plain-words-four-here.trycloudflare.com                                           |",
)


def test_quick_tunnel_url_is_the_one_of_trycloudflare() -> None:
    assert url(QUICK, *QUICK_OUTPUT[:4]) == ""
    assert url(QUICK, *QUICK_OUTPUT) == "https://plain-words-four-here.trycloudflare.com"


@pytest.mark.parametrize(
    "line",
    [
        'ERR failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": dial tcp: lookup failed',
        "https://x.trycloudflare.com.evil.example",
        "http://x.trycloudflare.com",
        "https://trycloudflare.com",
    ],
)
def test_line_that_only_looks_like_a_quick_tunnel_is_none(line: str) -> None:
    assert report(planned(QUICK), line) == Report()


def test_named_tunnel_is_up_when_registered_and_its_url_is_in_the_ingress_rules() -> None:
    registered = (
        "2026-11-21T06:00:01Z INF Registered tunnel connection connIndex=0 connection=1f2e event=0 ip=198.41.192.7 location=fra08 protocol=quic"
    )
    updated = (
        r'2026-11-21T06:00:02Z INF Updated to new configuration config="{\"ingress\":[{\"hostname\":\"gate.example.com\",'
        r'\"originRequest\":{},\"service\":\"http://localhost:3000\"},{\"service\":\"http_status:404\"}],\"warp-routing\":{\"enabled\":false}}" version=3'
    )
    assert report(planned(NAMED), registered) == Report(is_up=True)
    assert report(planned(NAMED), updated) == Report(is_up=True, url="https://gate.example.com")
    assert report(planned(NAMED), updated.replace("gate.example.com", "*.example.com")) == Report()
    assert report(planned(NAMED), "INF Starting tunnel tunnelID=1 https://x.trycloudflare.com") == Report()


def test_ngrok_url_is_in_its_started_tunnel_line() -> None:
    started = (
        't=2026-11-21T06:00:01+0000 lvl=info msg="started tunnel" obj=tunnels name=command_line addr=http://127.0.0.1:3000 '
        "url=https://1a2b-198-51-100-7.ngrok-free.app"
    )
    assert url(NGROK, "t=2026-11-21T06:00:00+0000 lvl=info msg=starting obj=web url=https://no.example", started) == (
        "https://1a2b-198-51-100-7.ngrok-free.app"
    )
    assert url(NGROK, started.replace("started tunnel", "failed tunnel")) == ""
    assert url(NGROK, started.replace("https://1a2b", "ftp://1a2b")) == ""
    assert url(NGROK, 'lvl=eror msg="failed to auth" err="ERR_NGROK_105 https://ngrok.com/docs/errors"') == ""


def test_tailscale_url_is_a_line_of_its_own() -> None:
    output = ("Available on the internet:", "", "https://box.tail1234.ts.net/", "|-- proxy http://127.0.0.1:3000", "", "Press Ctrl+C to exit.")
    assert url(FUNNEL, *output) == "https://box.tail1234.ts.net"
    assert url(FUNNEL, "https://box.tail1234.ts.net:8443/") == "https://box.tail1234.ts.net:8443"
    assert url(FUNNEL, "Serve is not enabled on your tailnet.", "To enable, visit:", "https://login.tailscale.com/f/serve?node=nAbC") == ""
    named = TunnelSettings(provider="tailscale", tailscale=TailscaleTunnel(hostname="chat.example.com"))
    assert url(named, *output) == "https://chat.example.com"


def test_custom_url_is_the_first_public_one_printed() -> None:
    assert url(custom("x"), "forwarding http://127.0.0.1:3000 to https://a1.lhr.life/") == "https://a1.lhr.life"
    assert url(custom("x"), "http://localhost:3000 http://[::1]:3000 http://0.0.0.0:1") == ""
    assert url(custom("x"), "see \x1b[32mhttp://[2001:db8::1]:8080/path\x1b[0m.") == "http://[2001:db8::1]:8080/path"


def test_url_pattern_marks_the_line() -> None:
    settings = custom("x", "tunneled with tls")
    assert (
        url(settings, "docs at https://docs.example.com", "abc.lhr.life tunneled with tls termination, https://abc.lhr.life")
        == "https://abc.lhr.life"
    )


@given(line=st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_garbage_says_nothing_dangerous(line: str) -> None:
    for settings in (NAMED, QUICK, NGROK, FUNNEL, custom("x")):
        found = report(planned(settings), line).url
        assert found == "" or (found.startswith(("http://", "https://")) and found.isascii() and found.isprintable() and " " not in found)


@pytest.mark.parametrize("hostile", ["a=" * 4096, "a" * 8192, 'a="' * 2730, "http://" * 1170, "https://" + "a." * 4000, '\\"hostname\\":' * 600])
def test_hostile_line_takes_no_time(hostile: str) -> None:
    for settings in (NAMED, QUICK, NGROK, FUNNEL, custom("x")):
        assert len(report(planned(settings), "configuration " + hostile).url) <= 512


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_lines_do_not_depend_on_how_the_stream_was_cut(pieces: list[bytes]) -> None:
    whole, pieced = Lines(), Lines()
    expected = [*whole.feed(b"".join(pieces)), whole.rest()]
    found = [line for piece in pieces for line in pieced.feed(piece)]
    assert [*found, pieced.rest()] == expected


def test_line_without_end_is_bounded_and_the_next_one_is_read() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == []
    assert lines.feed(b"\r\nnext\r\nlast") == ["x" * MAX_LINE_BYTES, "next"]
    assert lines.rest() == "last"
    assert lines.rest() == ""
