"""The advisories that must never come true here: one row per behaviour, one test per row.

`test_<name>` stands in one of the modules beside this one. Each test was seen to fail once with its defence taken out (`docs/contributing/testing.md`).
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One behaviour.

    Attributes:
        name: of the test, after `test_`: the ids in snake case.
        threat: what goes wrong where it is missing.
        defence: what was taken out to see the test fail; "" for a row that is skipped.
        skip: why there is nothing to attack; "" for a row that is tested.
    """

    name: str
    threat: str
    defence: str = ""
    skip: str = ""


GATEWAYS: tuple[Row, ...] = (
    Row("cve_2026_25253", "a link makes the page send a token to the link's server", "pair.html takes its base from its own path only"),
    Row("ghsa_rqpp_rjj8_7wv8", "a socket's client names its own scopes", "the check for `approve` of the socket's caller"),
    Row("ghsa_4jpw_hj22_2xmc", "a narrow administrator makes a wider token", "`domain.tokens.narrowed`"),
    Row("ghsa_whf9_3hcx_gq54", "a rotation gives what pairing did not", "the device's own scopes in `PairingSurface.rotate`"),
    Row("cve_2026_34503", "a revoked token's open connections live on", "`Devices.revoked`"),
    Row("ghsa_68x5_xx89_w9mm", "after a reload the old credential still opens something", "`Devices._revoke_deleted`"),
    Row("ghsa_xmxx_7p24_h892_ghsa_m8wm_r5vq_qjpg", "a credential is looked up once and believed for ever", "`Access.forget`"),
    Row("ghsa_xh72_v6v9_mwhc_cve_2026_26319", "a blank secret signs", "blank secrets are dropped in `primitives.given`"),
    Row("cve_2026_28449_ghsa_r9q5_c7qc_p26w", "a copied delivery runs again", "`ChannelIngress.is_spent` over the stored nonces"),
    Row(
        "telnyx_base64_variant",
        "a respelled signature is another delivery",
        "one spelling in `primitives.from_base64`; the digest of what was signed",
    ),
    Row("twilio_replay", "a replay is granted something new", "`Tickets.redeem` spends"),
    Row("pr_143484", "a signed time of any age counts", "`primitives.require_fresh` on both sides"),
    Row("ghsa_4h79_3q73_c7gg_pr_44438", "twins with one key both run", "the key in `WebhookSurface`"),
    Row("ghsa_2xcp_x87w_q377", "a templated session key reaches anybody's session", "the hook's own prefix in `hooks.conversation`"),
    Row("cve_2026_28475_cve_2026_28464_ghsa_jmm5_fvh5_gf4p", "time tells where a guess goes wrong", "`Secret.matches` compares digests"),
    Row("cve_2026_41407", "time tells how long the secret is", "no early return in `Secret.matches`"),
    Row("ghsa_6rmx_gvvg_vh6j", "wrong methods count as failed credentials", "405 before anything is counted"),
    Row("ghsa_5847_rm3g_23mw", "one client has many buckets", "`caller._folded`"),
    Row("pr_57647", "any token switches the limiter off", "the limiter before the credential in `Doorkeeper.admit`"),
    Row("cve_2026_35656", "a forged address through a proxy is loopback", "whatever was forwarded is not local (`Peers.of`)"),
    Row("cve_2026_53832", "a header names the user on loopback", "`tailscale-user-login` in `auth._FORWARDING`"),
    Row("ghsa_8j2w_6fmm_m587_ghsa_v865_p3gq_hw6m_cve_2026_32004", "two spellings of a path, two verdicts", "`check_path`"),
    Row("cve_2026_35669_cve_2026_35668", "a second route to the same thing asks for less", "`Scope.ADMIN` of `/api/v1/config`"),
    Row("ghsa_943q_mwmv_hhvh", "dangerous tools are called over HTTP", "`nodes.is_sensitive`"),
    Row(
        "cve_2026_27488_ghsa_w45g_5746_x9fp_cve_2026_26322_cve_2026_62201",
        "a caller makes the gateway fetch an inner address; no request names a URL, so there is no look-up to check",
        "`agent_chat._check_provider`",
    ),
    Row("ghsa_rm59_992w_x2mv", "strangers' bodies fill memory", "`GatewaySite.begin_large`"),
    Row("log_poisoning_by_ws_headers", "a stranger writes the log", "`Redactor.untrusted`, which escapes and cuts"),
    Row("openclaw_70029", "the log's readers read tokens", "`Redactor.text`"),
    Row("openclaw_12519", "tokens travel in the clear unnoticed", "`findings.bind_refusal`"),
    Row("cve_2026_44118", "the body says who the sender is", "the code's grant in `Pairing.pair`"),
    Row("cve_2026_7112", "an alias forgets to ask", "`Scope.READ` of `/api/devices`"),
    Row("cve_2026_10224_cve_2026_14626", "queue and history grow without end", "`[inbox] high_water`"),
    Row("nanobot_587_pr_635", "a bridge listens to the world without asking", "503 without a credential in `NodesSurface._admitted`"),
    Row("nanobot_4825_4826_4827_4077_4103", "whoever is local is given a token", "`Scope.READ` of `/api/events/ticket`"),
    Row("cve_2026_42208_ghsa_r75f_5x8p_qvmc", "a header is SQL", "`tokens.MAX_TOKEN_CHARS`"),
    Row("cve_2026_29791", "what a model says changes the request", "`quote` in `wati_wire`"),
    Row("cve_2026_21858", "a JSON body passes for an upload", "the content type in `web.multipart`"),
    Row("cve_2026_45707", "without a tenant's name the operator's credentials are used", skip="there are no tenants and no tenant header"),
    Row("cve_2026_45350", "a request picks tools that its sender may not call", skip="no request names tools"),
    Row("cve_2026_7663", "one transport asks for less", "`Scope.CHAT` of `/ws/chat`"),
    Row("goclaw_1134", "a channel without a secret lets everybody in", "`NoSecret` in `primitives.given`"),
    Row("ghsa_wx3j_3v2j_rf45", "everybody behind a proxy is local", "whatever was forwarded is not local (`Peers.of`)"),
)

STACK: tuple[Row, ...] = (
    Row("cve_2024_41671_ghsa_c8m8_j448_xjx7", "pipelined answers change places", "the phase BUSY of `GatewayChannel`"),
    Row("cve_2023_46137_ghsa_cq7q_gv5w_rwx2", "a pipelined request has its neighbour's credential", "the credential of each request"),
    Row("cve_2024_41810_ghsa_cf56_g6w6_pqq2", "a redirect repeats what was asked", "the fixed `Location` of the path prefix"),
    Row("cve_2022_39348_ghsa_vg46_2rrj_3647", "a page shows the Host header", "`http_wire._HOST`"),
    Row("cve_2022_24801_ghsa_c2jg_hw38_jrqq", "two readers cut a request differently", "`http_wire._CHUNK_SIZE`"),
    Row("cve_2020_10108_cve_2020_10109", "two lengths, or a length and chunks", "the checks in `http_wire._body_length`"),
    Row("cve_2019_9512_9514_9515", "floods of HTTP/2", "`GatewaySite.acceptableProtocols`"),
    Row("cve_2019_12387", "a URL adds lines to our request", "`agents.http._PATH`"),
    Row("cve_2022_21712_ghsa_92x2_jw7w_xvvx_cve_2022_23607_ghsa_fhpf_pp6p_55qc", "a redirect takes our token along", "`allow_redirects=False`"),
    Row("cve_2026_42304_ghsa_grgv_6hw6_v9g4", "a DNS answer uses up the processor", "the pins in pyproject.toml"),
    Row("cve_2016_1000111_cve_2019_12855_cve_2022_21716", "CGI, XMPP, SSH", "none of them is imported"),
    Row("cve_2020_35678", "a handshake's query becomes a header", "no header of the handshake repeats the query"),
    Row("autobahn_691", "an origin that looks like ours", "`auth._is_of_this_origin`: the whole name, the scheme, TLS"),
    Row("autobahn_changelog_809", "a small frame becomes a large one", "`MOST_MESSAGE_BYTES`"),
    Row("cve_2022_29217_ghsa_ffqj_6fqr_9h24", "the token names the algorithm", "the one algorithm in `Hs256.is_signed`"),
    Row("cve_2024_53861_ghsa_75c5_xw7c_p5pm", "a part of the issuer's name counts", "equality in `domain.control`"),
    Row("cve_2026_32597_ghsa_752w_5fwx_jx9f", "what is critical and unknown is passed over", "every error of PyJWT refuses in `Hs256.is_signed`"),
    Row("cve_2026_48523_cve_2026_48524_cve_2026_48525", "no algorithm, no body, no key", "`Hs256.is_signed` asks PyJWT"),
    Row("werkzeug_2821", "a double slash leads to another host", "double slashes in `check_path`"),
    Row("granian_subprotocol", "an odd sub-protocol ends the process", "what cannot be read is a 400"),
)
