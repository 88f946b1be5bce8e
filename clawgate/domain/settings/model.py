"""Every setting, with its default. Ring: domain. Source: design §4.6–4.14, §5; zeroclaw.md A4; rantaiclaw.md §2; construct-rest.md §3.

Sections and keys are named as in config.toml. A `Setting(...)` note carries what the reference page prints and whether a change needs a restart. Values are
frozen; `parse.py` builds them from text and reports every error with its path.
"""

# No `from __future__ import annotations`: every start reads these annotations (`schema.tree`), and compiling them again from text took 20 ms.
import posixpath
from typing import Annotated

import msgspec

from clawgate.domain.secret import Secret


class Note(msgspec.Struct, frozen=True):
    """What the reference page says of a key, and whether a change is taken up while running."""

    text: str
    live: bool = False


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections."""


class ClientAuthSettings(Section, frozen=True, kw_only=True):
    """`[gateway.tls.client_auth]`"""

    enabled: Annotated[bool, Note("Check certificates of clients")] = False
    ca_cert_path: Annotated[str, Note("PEM file with the certificates of those who issue them")] = ""
    require_client_cert: Annotated[bool, Note("Refuse clients without one; one that is shown is checked either way")] = True
    pinned_certs: Annotated[tuple[str, ...], Note("SHA-256 of the certificates let in, hexadecimal; empty = all of those issuers")] = ()


class TlsSettings(Section, frozen=True, kw_only=True):
    """`[gateway.tls]`"""

    enabled: Annotated[bool, Note("Serve TLS on the public listener")] = False
    cert_path: Annotated[str, Note("PEM file with the certificate chain")] = ""
    key_path: Annotated[str, Note("PEM file with the private key")] = ""
    client_auth: ClientAuthSettings = ClientAuthSettings()


class LoginSettings(Section, frozen=True, kw_only=True):
    """`[gateway.login]`"""

    username: Annotated[str, Note("Name of the console login; needs password_hash too", live=True)] = ""
    password_hash: Annotated[Secret | None, Note("argon2id PHC string of its password", live=True)] = None
    idle_timeout_secs: Annotated[int, Note("Seconds without input after which a console logs out; 0 = never", live=True)] = 0


class GatewaySettings(Section, frozen=True, kw_only=True):
    """`[gateway]`"""

    host: Annotated[str, Note("Address to listen on: an IP, `localhost`, `[::1]`")] = "127.0.0.1"
    port: Annotated[int, Note("TCP port; 0 picks a free one and prints it")] = 3000
    require_pairing: Annotated[bool, Note("Refuse requests without a paired token")] = True
    allow_public_bind: Annotated[bool, Note("Allow listening on a public address without TLS or a tunnel (not recommended)")] = False
    paired_tokens: Annotated[tuple[str, ...], Note("SHA-256 of each paired token; removing one revokes it", live=True)] = ()
    token_prefix: Annotated[str, Note("What new tokens begin with")] = "zc_"
    pairing_code_ttl_secs: Annotated[int, Note("Life of a pairing code in seconds")] = 3600
    pair_rate_limit_per_minute: Annotated[int, Note("Pairing requests per client and minute; 0 = unlimited")] = 10
    webhook_rate_limit_per_minute: Annotated[int, Note("Webhook, trigger and channel requests per client and minute; 0 = unlimited")] = 60
    api_rate_limit_per_minute: Annotated[int, Note("API requests per client and minute; 0 = unlimited")] = 600
    rate_limit_max_keys: Annotated[int, Note("Clients remembered by each limiter; 0 = 10000")] = 10_000
    trust_forwarded_headers: Annotated[bool, Note("Believe X-Forwarded-For from trusted proxies")] = False
    trusted_proxies: Annotated[tuple[str, ...], Note("Addresses or networks whose forwarding headers are believed")] = ("127.0.0.0/8", "::1")
    allowed_hosts: Annotated[tuple[str, ...], Note("Public names of the gateway; only asked while pairing is off; `*` = any")] = ()
    idempotency_ttl_secs: Annotated[int, Note("How long an idempotency key is remembered, in seconds; at least 1")] = 300
    idempotency_max_keys: Annotated[int, Note("Idempotency keys remembered; 0 = 10000")] = 10_000
    request_timeout_secs: Annotated[int, Note("Seconds until the head of an answer; then 408")] = 30
    drain_secs: Annotated[int, Note("Seconds given to running turns when stopping")] = 8
    path_prefix: Annotated[str, Note("Serve everything below this path, such as `/agents`")] = ""
    max_body_bytes: Annotated[int, Note("Largest request body; more is 413")] = 65_536
    header_timeout_secs: Annotated[int, Note("Seconds for the whole request head to arrive")] = 10
    body_timeout_secs: Annotated[int, Note("Seconds for the whole request body to arrive")] = 30
    idle_timeout_secs: Annotated[int, Note("Seconds an idle kept-alive connection stays open")] = 60
    max_connections: Annotated[int, Note("Open connections in all; more are turned away; 0 = unlimited")] = 10_000
    max_connections_per_client: Annotated[int, Note("Open connections per client address; 0 = unlimited")] = 512
    listen_backlog: Annotated[int, Note("Connections the kernel may hold before they are accepted")] = 1024
    tls: TlsSettings = TlsSettings()
    login: LoginSettings = LoginSettings()


class AgentSettings(Section, frozen=True, kw_only=True):
    """`[agent]`: how turns are run."""

    max_concurrent_turns: Annotated[int, Note("Turns running at once")] = 64
    turn_timeout_secs: Annotated[int, Note("Seconds after which a turn is cancelled and counts as failed", live=True)] = 600
    max_attempts: Annotated[int, Note("Turns in all before a message is a dead letter")] = 5
    retry_initial_secs: Annotated[float, Note("First wait before a failed turn is repeated")] = 2.0
    retry_max_secs: Annotated[float, Note("Longest wait between two turns of one message")] = 300.0
    history_messages: Annotated[int, Note("Earlier lines of a conversation sent with a question", live=True)] = 40
    system_prompt: Annotated[str, Note("Instructions sent with every question", live=True)] = ""
    idle_timeout_secs: Annotated[int, Note("Seconds without a byte after which a provider counts as hung")] = 120
    max_answer_bytes: Annotated[int, Note("Largest answer read from a provider")] = 8 * 1024 * 1024
    max_output_tokens: Annotated[int, Note("Answer length asked of providers that require one")] = 4096
    local_output_tokens: Annotated[int, Note("Longest answer of a `local:` model")] = 512
    service_max_inflight: Annotated[int, Note("Requests open to one provider at once")] = 64
    offer_tools: Annotated[bool, Note("Tell the model of tools; off for servers that refuse them", live=True)] = True
    max_tool_iterations: Annotated[int, Note("Times a turn may call tools before it must answer", live=True)] = 15
    tool_timeout_secs: Annotated[int, Note("Seconds a tool may take", live=True)] = 120
    approval_timeout_secs: Annotated[int, Note("Seconds a tool waits for somebody's approval; then it is refused", live=True)] = 300
    recalled_memories: Annotated[int, Note("Memories put before a question; 0 = none", live=True)] = 5


class InboxSettings(Section, frozen=True, kw_only=True):
    """`[inbox]`: the durable queue."""

    high_water: Annotated[int, Note("Open messages above which new ones get 503")] = 1_000_000
    retention_secs: Annotated[int, Note("How long answered and dropped messages stay readable")] = 7 * 24 * 3600
    dead_retention_secs: Annotated[int, Note("How long dead and uncertain messages stay, for a person to decide")] = 30 * 24 * 3600
    max_waiters: Annotated[int, Note("Callers waiting for an answer at once; more get 503")] = 10_000


class StoreSettings(Section, frozen=True, kw_only=True):
    """`[store]`"""

    url: Annotated[str, Note("`sqlite:PATH`; empty = clawgate.db in the state directory")] = ""
    queue_max: Annotated[int, Note("Writes waiting for the writer; more get 503")] = 20_000
    min_free_bytes: Annotated[int, Note("Free disk space below which new messages get 503")] = 64 * 1024 * 1024
    backups_kept: Annotated[int, Note("Copies kept from before migrations")] = 3


class MemorySettings(Section, frozen=True, kw_only=True):
    """`[memory]`"""

    backend: Annotated[str, Note("`sqlite` or `none`")] = "sqlite"
    auto_save: Annotated[bool, Note("Remember every incoming message")] = True
    max_auto_saved: Annotated[int, Note("Messages remembered that way; the oldest are forgotten first")] = 100_000


class AuditSettings(Section, frozen=True, kw_only=True):
    """`[audit]`: what operators, devices and agents did, in a chain that shows tampering."""

    enabled: Annotated[bool, Note("Record it; off = what there is stays readable")] = True
    retention_days: Annotated[int, Note("Days after which entries go, oldest first; 0 = never")] = 400


class ObservabilitySettings(Section, frozen=True, kw_only=True):
    """`[observability]`"""

    backend: Annotated[str, Note("`prometheus`, `log`, `otel` (an extra) or `none`")] = "prometheus"
    metrics_namespace: Annotated[str, Note("Prefix of metric names; `zeroclaw` keeps an old dashboard alive")] = "clawgate"
    log_level: Annotated[str, Note("`debug`, `info`, `warn` or `error`")] = "info"
    log_format: Annotated[str, Note("`text` or `json`")] = "text"


class SecretsSettings(Section, frozen=True, kw_only=True):
    """`[secrets]`"""

    encrypt: Annotated[bool, Note("Write secrets as `enc2:` with the key in .secret_key")] = True


class CloudflareTunnel(Section, frozen=True, kw_only=True):
    """`[tunnel.cloudflare]`"""

    token: Annotated[Secret | None, Note("Tunnel token; none starts a quick tunnel")] = None


class TailscaleTunnel(Section, frozen=True, kw_only=True):
    """`[tunnel.tailscale]`"""

    funnel: Annotated[bool, Note("Expose to the internet (funnel) instead of the tailnet (serve)")] = False
    hostname: Annotated[str, Note("Public host name; empty = ask tailscale")] = ""


class NgrokTunnel(Section, frozen=True, kw_only=True):
    """`[tunnel.ngrok]`"""

    auth_token: Annotated[Secret | None, Note("ngrok authtoken")] = None
    domain: Annotated[str, Note("Reserved domain; empty = a random one")] = ""


class CustomTunnel(Section, frozen=True, kw_only=True):
    """`[tunnel.custom]`"""

    start_command: Annotated[str, Note("Command with {port} and {host}")] = ""
    health_url: Annotated[str, Note("URL that answers while the tunnel is up; empty = no check")] = ""
    url_pattern: Annotated[str, Note("Text that marks the line with the public URL; empty = the first URL printed")] = ""


class TunnelSettings(Section, frozen=True, kw_only=True):
    """`[tunnel]`"""

    provider: Annotated[str, Note("`none`, `cloudflare`, `tailscale`, `ngrok` or `custom`")] = "none"
    start_timeout_secs: Annotated[int, Note("Seconds for the public URL to appear")] = 30
    cloudflare: CloudflareTunnel | None = None
    tailscale: TailscaleTunnel | None = None
    ngrok: NgrokTunnel | None = None
    custom: CustomTunnel | None = None


class AutonomySettings(Section, frozen=True, kw_only=True):
    """`[autonomy]`: what the agent may do unasked."""

    level: Annotated[str, Note("`readonly`, `supervised` or `full`", live=True)] = "supervised"
    auto_approve: Annotated[tuple[str, ...], Note("Tools that run unasked", live=True)] = ("memory_recall",)
    always_ask: Annotated[tuple[str, ...], Note("Tools that never do", live=True)] = ()
    allowed_commands: Annotated[tuple[str, ...], Note("Programs that scheduled shell jobs may run", live=True)] = ()
    forbidden_paths: Annotated[tuple[str, ...], Note("Paths that shell jobs may not name", live=True)] = ("/etc", "/root", "~/.ssh")
    max_actions_per_hour: Annotated[int, Note("Tool calls and shell jobs an hour; 0 = unlimited", live=True)] = 0
    max_cost_per_day_cents: Annotated[int, Note("Kept for other programs; costs are not counted", live=True)] = 500
    workspace_only: Annotated[bool, Note("Shell jobs may name only paths below the workspace", live=True)] = True
    block_high_risk_commands: Annotated[bool, Note("Refuse commands that destroy or that leave the machine", live=True)] = True
    require_approval_for_medium_risk: Annotated[bool, Note("Commands that change things run only when approved", live=True)] = True


class TasksSettings(Section, frozen=True, kw_only=True):
    """`[tasks]`"""

    enabled: Annotated[bool, Note("Serve /tasks; off = 503", live=True)] = True


class CronSettings(Section, frozen=True, kw_only=True):
    """`[cron]`"""

    enabled: Annotated[bool, Note("Take and run scheduled jobs", live=True)] = True
    missed_runs: Annotated[str, Note("Runs missed while stopped: `once` (one run makes up for them) or `skip`", live=True)] = "once"
    runs_kept: Annotated[int, Note("Runs remembered of each job", live=True)] = 50
    job_timeout_secs: Annotated[int, Note("Seconds a shell job may take", live=True)] = 120


class SchedulerSettings(Section, frozen=True, kw_only=True):
    """`[scheduler]`"""

    enabled: Annotated[bool, Note("Run scheduled jobs when they are due", live=True)] = True


class HeartbeatSettings(Section, frozen=True, kw_only=True):
    """`[heartbeat]`"""

    enabled: Annotated[bool, Note("Ask the agent about each line of HEARTBEAT.md in the workspace", live=True)] = False
    interval_minutes: Annotated[int, Note("Minutes between two rounds; at least 5", live=True)] = 30


class McpServer(Section, frozen=True, kw_only=True):
    """`[mcp_servers.NAME]`: a program that is started, or a URL that is asked."""

    command: Annotated[str, Note("Program that speaks MCP on its standard input and output", live=True)] = ""
    args: Annotated[tuple[str, ...], Note("Its arguments", live=True)] = ()
    env: Annotated[dict[str, Secret], Note("Its environment besides PATH, HOME and LANG", live=True)] = {}
    url: Annotated[str, Note("Streamable HTTP endpoint, in place of a command", live=True)] = ""
    headers: Annotated[dict[str, Secret], Note("Sent with every request to the URL", live=True)] = {}
    read_only_tools: Annotated[tuple[str, ...], Note("Its tools that only look: they run unasked and may be repeated", live=True)] = ()


class SkillEntry(Section, frozen=True, kw_only=True):
    """`[skills.entries.NAME]`"""

    enabled: Annotated[bool, Note("Whether the skill is told to the agent", live=True)] = True


class SkillsSettings(Section, frozen=True, kw_only=True):
    """`[skills]`"""

    directory: Annotated[str, Note("Where skills are; empty = `skills` beside config.toml")] = ""
    marketplace_url: Annotated[str, Note("Where `POST /api/v1/skills/install` looks slugs up; empty = nowhere", live=True)] = ""
    max_bytes: Annotated[int, Note("Largest skill, unpacked", live=True)] = 16 * 1024 * 1024
    entries: dict[str, SkillEntry] = {}


class KnowledgeSettings(Section, frozen=True, kw_only=True):
    """`[knowledge]`"""

    enabled: Annotated[bool, Note("Serve /api/v1/kb; off = 503", live=True)] = False
    embedding_api_key: Annotated[Secret | None, Note("Kept for other programs; searching needs none", live=True)] = None
    vision_api_key: Annotated[Secret | None, Note("Kept for other programs; extraction needs none", live=True)] = None
    max_document_bytes: Annotated[int, Note("Largest document")] = 32 * 1024 * 1024


class TerminalSettings(Section, frozen=True, kw_only=True):
    """`[terminal]`: a shell on this machine, over `/ws/terminal`."""

    enabled: Annotated[bool, Note("Let tokens with the scope `terminal` open a shell as the daemon's user", live=True)] = False
    shell: Annotated[str, Note("Login shell; empty = `$SHELL`, else /bin/sh", live=True)] = ""
    idle_timeout_secs: Annotated[int, Note("Seconds without input or output after which a terminal ends; 0 = never", live=True)] = 1800
    max_terminals: Annotated[int, Note("Terminals open at once", live=True)] = 8
    max_per_caller: Annotated[int, Note("Of these, by one device", live=True)] = 2


class NodesSettings(Section, frozen=True, kw_only=True):
    """`[nodes]`: machines that connect and let themselves be called."""

    enabled: Annotated[bool, Note("Let nodes connect to /ws/nodes; off = 404")] = False
    max_nodes: Annotated[int, Note("Nodes connected at once")] = 16
    auth_token: Annotated[Secret | None, Note("What nodes present; unset = a paired device's token with `write`, blank = none is right")] = None
    announce: Annotated[bool, Note("Announce the gateway in the local network (mDNS), so that nodes find it; needs `clawgate[mdns]`")] = False
    announce_name: Annotated[str, Note("Name it is announced under; empty = the machine's")] = ""


class HookSettings(Section, frozen=True, kw_only=True):
    """`[hooks.NAME]`: signed deliveries at `POST /hooks/NAME`."""

    verify: Annotated[str, Note("Scheme of its signatures, such as `github`", live=True)]
    secrets: Annotated[tuple[Secret, ...], Note("Any of them may have signed: write the new one beside the old one while you rotate", live=True)] = ()
    message: Annotated[
        str, Note("What is asked; `{name}` is a field, or a top-level value of the body; empty = every field, a line each", live=True)
    ] = ""
    fields: Annotated[dict[str, str], Note("JSON pointers into the body by name, such as `/repository/full_name`", live=True)] = {}
    conversation: Annotated[str, Note("Conversation of a delivery, with the same names; empty = each has its own", live=True)] = ""
    skill: Annotated[str, Note("Loaded when there is one of that name", live=True)] = ""
    respond: Annotated[str, Note("`async` (202 at once), `ok` (200 at once) or `sync` (waits for the answer)", live=True)] = "async"
    tolerance_secs: Annotated[int, Note("How far a signed time may be off, either way; 0 = as its platform advises", live=True)] = 0
    rate_limit_per_minute: Annotated[int, Note("Deliveries per client and minute, genuine ones and others apart; 0 = unlimited", live=True)] = 60
    max_body_bytes: Annotated[int, Note("Largest body; more is 413", live=True)] = 65_536
    url: Annotated[
        str, Note("Its public URL without a query, where that is signed (`twilio`, `rfc9421`); empty = as requests have it", live=True)
    ] = ""
    header: Annotated[str, Note("`hmac`: header of the signature", live=True)] = "x-signature"
    prefix: Annotated[str, Note("`hmac`: what stands before it, such as `sha256=`", live=True)] = ""
    encoding: Annotated[str, Note("`hmac`, `convoy`, `convoy-advanced`: how it is written, `hex` or `base64`", live=True)] = "hex"
    algorithm: Annotated[str, Note("`hmac`, `convoy`, `convoy-advanced`: `sha1`, `sha256`, `sha384` or `sha512`", live=True)] = "sha256"
    signed: Annotated[str, Note("`hmac`: what is signed, of `{body}`, `{timestamp}` and `{id}`", live=True)] = "{body}"
    timestamp_header: Annotated[str, Note("`hmac`: header of `{timestamp}`, in seconds", live=True)] = "x-timestamp"
    id_header: Annotated[str, Note("`hmac`: header of `{id}`", live=True)] = "x-id"
    key_encoding: Annotated[
        str, Note("`hmac`, `convoy`, `convoy-advanced`, `rfc9421`: how symmetric keys are written, `text`, `hex` or `base64`", live=True)
    ] = "text"
    key_type: Annotated[str, Note("`rfc9421`: `hmac-sha256`, `ed25519` or `ecdsa-p256-sha256`", live=True)] = "hmac-sha256"
    key_ids: Annotated[tuple[str, ...], Note("`rfc9421`: `keyid` of each secret, in their order; empty = any", live=True)] = ()
    label: Annotated[str, Note("`rfc9421`: which signature counts; empty = there is only one", live=True)] = ""
    components: Annotated[tuple[str, ...], Note("`rfc9421`: what it has to cover besides the least", live=True)] = ()
    verify_token: Annotated[Secret | None, Note("`meta`: presented when it subscribes", live=True)] = None


class SubscriptionSettings(Section, frozen=True, kw_only=True):
    """`[subscriptions.NAME]`: events sent to a receiver outside, signed by Standard Webhooks."""

    url: Annotated[Secret, Note("Where events are POSTed, often a secret by itself; redirects are not followed", live=True)]
    secret: Annotated[
        tuple[Secret, ...], Note("`whsec_…` or `whsk_…`, one or a list of up to 8: each signs, so that one can be replaced without a gap", live=True)
    ]
    events: Annotated[tuple[str, ...], Note("Kinds of events, `PREFIX*` or `*`, such as `message_dead`", live=True)] = ("message_*",)
    enabled: Annotated[bool, Note("Put events into its line and send them", live=True)] = True
    include_answer: Annotated[bool, Note("`message_done` carries the answer's text", live=True)] = False
    timeout_secs: Annotated[int, Note("Longest wait for the receiver's answer; 1 to 30", live=True)] = 20
    allow_private: Annotated[bool, Note("It may be at an address that is not on the public internet", live=True)] = False
    max_queued: Annotated[int, Note("Events that wait in its line; what comes then is missed, counted and told once there is room", live=True)] = (
        10_000
    )


class ControlSettings(Section, frozen=True, kw_only=True):
    """`[control]`: the control plane of OpenClaw Enterprise, a WebSocket on a port of its own."""

    enabled: Annotated[bool, Note("Serve it; unset = on when WS_CONTROL_PORT, JWT_SECRET or TRUSTED_CLIENT_IPS is set")] = False
    host: Annotated[str, Note("Address to listen on; another than loopback needs trusted_ips")] = "127.0.0.1"
    port: Annotated[int, Note("TCP port; 0 picks a free one")] = 18789
    trusted_ips: Annotated[tuple[str, ...], Note("Addresses or networks whose clients may speak; empty = nobody")] = ("127.0.0.1", "::1")
    jwt_secret: Annotated[Secret | None, Note("Key that signs its token; unset = a random one for each start")] = None
    token_ttl_hours: Annotated[int, Note("Life of its token in hours")] = 24
    node_env: Annotated[str, Note("Shown by its command status")] = "development"
    gemini_model: Annotated[str, Note("Model after switching to gemini without one; empty = the provider's default", live=True)] = ""
    kimi_model: Annotated[str, Note("Model after switching to kimi without one; empty = the provider's default", live=True)] = ""


class ReliabilitySettings(Section, frozen=True, kw_only=True):
    """`[reliability]`"""

    channel_initial_backoff_secs: Annotated[int, Note("First wait before a component is started, or a reply is sent, again; at least 1")] = 2
    channel_max_backoff_secs: Annotated[int, Note("Longest wait before a component is started again")] = 60
    channel_max_attempts: Annotated[int, Note("Sends in all before a reply to a channel is given up; at least 1")] = 25
    channel_retry_max_secs: Annotated[int, Note("Longest wait between two sends of one reply")] = 900


class WebhookChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.webhook]`"""

    secret: Annotated[Secret | None, Note("Required in X-Webhook-Secret when set")] = None
    port: Annotated[int | None, Note("Accepted and unused, as upstream")] = None


class WhatsAppChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.whatsapp]`"""

    access_token: Annotated[Secret | None, Note("Cloud API token", live=True)] = None
    phone_number_id: Annotated[str | None, Note("Cloud API phone number id", live=True)] = None
    verify_token: Annotated[Secret | None, Note("Token of Meta's subscription check", live=True)] = None
    app_secret: Annotated[Secret | None, Note("Signs deliveries; without it POST /whatsapp refuses", live=True)] = None
    allowed_numbers: Annotated[tuple[str, ...], Note("Senders answered: `+…` numbers or `*`; empty = nobody", live=True)] = ()
    api_base: Annotated[str, Note("Graph API base URL", live=True)] = "https://graph.facebook.com/v18.0"

    @property
    def is_cloud(self) -> bool:
        """Whether all three Cloud API values are present (an empty one counts, as upstream)."""
        return None not in (self.access_token, self.phone_number_id, self.verify_token)


class LinqChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.linq]`"""

    api_token: Annotated[Secret, Note("Partner API token", live=True)]
    from_phone: Annotated[str, Note("Number that new chats come from", live=True)]
    signing_secret: Annotated[Secret | None, Note("Signs deliveries; without it POST /linq refuses", live=True)] = None
    allowed_senders: Annotated[tuple[str, ...], Note("Senders answered: `+…` numbers or `*`; empty = nobody", live=True)] = ()
    api_base: Annotated[str, Note("Partner API base URL", live=True)] = "https://api.linqapp.com/api/partner/v3"


class NextcloudTalkChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.nextcloud_talk]`"""

    base_url: Annotated[str, Note("The Nextcloud's address", live=True)]
    app_token: Annotated[Secret, Note("Bearer of replies", live=True)]
    webhook_secret: Annotated[Secret | None, Note("Signs deliveries; without it POST /nextcloud-talk refuses", live=True)] = None
    allowed_users: Annotated[tuple[str, ...], Note("Users answered: their ids or `*`; empty = nobody", live=True)] = ()


class WatiChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.wati]`"""

    api_token: Annotated[Secret, Note("WATI's access token", live=True)]
    api_url: Annotated[str, Note("WATI's API address, with the tenant", live=True)] = "https://live-mt-server.wati.io"
    webhook_token: Annotated[Secret | None, Note("Shared token of deliveries; without it POST /wati refuses", live=True)] = None
    tenant_id: Annotated[str, Note("Prefix of numbers on a shared account; empty = none", live=True)] = ""
    allowed_numbers: Annotated[tuple[str, ...], Note("Senders answered: `+…` numbers or `*`; empty = nobody", live=True)] = ()


class ChannelsSettings(Section, frozen=True, kw_only=True):
    """`[channels_config]`"""

    cli: Annotated[bool, Note("Accepted and unused, as upstream")] = True
    webhook: WebhookChannel | None = None
    whatsapp: WhatsAppChannel | None = None
    linq: LinqChannel | None = None
    nextcloud_talk: NextcloudTalkChannel | None = None
    wati: WatiChannel | None = None
    autonomous_tools: Annotated[bool, Note("Tools run unasked on every door, guests of channels excepted", live=True)] = False
    approval_owners: Annotated[tuple[str, ...], Note("Who on channels may approve tools; `*` = anyone, empty = nobody", live=True)] = ()
    guest_allowed_tools: Annotated[tuple[str, ...], Note("Tools that others on channels may use unasked", live=True)] = ()
    guest_allowed_commands: Annotated[tuple[str, ...], Note("Kept for other programs", live=True)] = ()


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration.

    Attributes:
        unknown: dotted paths of keys nobody reads; kept in the file and listed by `clawgate check`.
        warnings: sentences for the operator about values that were read in a forgiving way.
        config_fingerprint: first 16 hexadecimal digits of the SHA-256 of config.toml as it was loaded; "none" without a file.
        paired_tokens_present: whether the file has the `paired_tokens` key at all.
    """

    default_provider: Annotated[str, Note("Who answers; empty = the first provider whose key is in the environment, else `offline`", live=True)] = ""
    default_model: Annotated[str, Note("Model asked for; empty = the provider's default", live=True)] = ""
    default_temperature: Annotated[float | None, Note("0.0 … 2.0", live=True)] = 0.7
    api_key: Annotated[Secret | None, Note("Key of the default provider", live=True)] = None
    api_url: Annotated[str, Note("Base URL of the default provider, in place of its own; not for those with a colon", live=True)] = ""
    provider_api_keys: Annotated[dict[str, Secret], Note("Keys of other providers by name, kept for when they are chosen", live=True)] = {}
    workspace_dir: Annotated[str, Note("Where the agent's files are; empty = `workspace` beside config.toml")] = ""
    gateway: GatewaySettings = GatewaySettings()
    agent: AgentSettings = AgentSettings()
    inbox: InboxSettings = InboxSettings()
    store: StoreSettings = StoreSettings()
    memory: MemorySettings = MemorySettings()
    autonomy: AutonomySettings = AutonomySettings()
    tasks: TasksSettings = TasksSettings()
    cron: CronSettings = CronSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    mcp_servers: dict[str, McpServer] = {}
    skills: SkillsSettings = SkillsSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    terminal: TerminalSettings = TerminalSettings()
    nodes: NodesSettings = NodesSettings()
    reliability: ReliabilitySettings = ReliabilitySettings()
    control: ControlSettings = ControlSettings()
    hooks: dict[str, HookSettings] = {}
    subscriptions: dict[str, SubscriptionSettings] = {}
    audit: AuditSettings = AuditSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    secrets: SecretsSettings = SecretsSettings()
    tunnel: TunnelSettings = TunnelSettings()
    channels_config: ChannelsSettings = ChannelsSettings()
    config_path: str = ""
    state_dir: str = ""
    config_fingerprint: str = "none"
    provider_keys: tuple[tuple[str, Secret], ...] = ()
    unknown: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    paired_tokens_present: bool = False

    @property
    def database(self) -> str:
        """The file of the store: what `store.url` names, else beside the other state."""
        return self.store.url.removeprefix("sqlite:") or posixpath.join(self.state_dir, "clawgate.db")

    @property
    def workspace(self) -> str:
        """Where the agent's files are, as configured (`~` is not read here): `workspace_dir`, else beside config.toml, else in the state directory."""
        return self.workspace_dir or posixpath.join(posixpath.dirname(self.config_path) or self.state_dir, "workspace")
