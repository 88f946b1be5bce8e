"""Every setting, with its default. Ring: domain. Source: design §4.6–4.14, §5; zeroclaw.md A4; rantaiclaw.md §2; construct-rest.md §3.

Sections and keys are named as in config.toml. A `Setting(...)` note carries what the reference page prints and whether a change needs a restart. Values are
frozen; `parse.py` builds them from text and reports every error with its path.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from clawgate.domain.secret import Secret


class Note(msgspec.Struct, frozen=True):
    """What the reference page says of a key, and whether a change is taken up while running."""

    text: str
    live: bool = False


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections."""


class TlsSettings(Section, frozen=True, kw_only=True):
    """`[gateway.tls]`"""

    enabled: Annotated[bool, Note("Serve TLS on the public listener")] = False
    cert_path: Annotated[str, Note("PEM file with the certificate chain")] = ""
    key_path: Annotated[str, Note("PEM file with the private key")] = ""


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


class AgentSettings(Section, frozen=True, kw_only=True):
    """`[agent]`: how turns are run."""

    max_concurrent_turns: Annotated[int, Note("Turns running at once")] = 64
    turn_timeout_secs: Annotated[int, Note("Seconds after which a turn is cancelled and counts as failed")] = 600
    max_attempts: Annotated[int, Note("Turns in all before a message is a dead letter")] = 5
    retry_initial_secs: Annotated[float, Note("First wait before a failed turn is repeated")] = 2.0
    retry_max_secs: Annotated[float, Note("Longest wait between two turns of one message")] = 300.0
    history_messages: Annotated[int, Note("Earlier lines of a conversation sent with a question")] = 40
    system_prompt: Annotated[str, Note("Instructions sent with every question")] = ""
    idle_timeout_secs: Annotated[int, Note("Seconds without a byte after which a provider counts as hung")] = 120
    max_answer_bytes: Annotated[int, Note("Largest answer read from a provider")] = 8 * 1024 * 1024
    max_output_tokens: Annotated[int, Note("Answer length asked of providers that require one")] = 4096
    local_output_tokens: Annotated[int, Note("Longest answer of a `local:` model")] = 512
    service_max_inflight: Annotated[int, Note("Requests open to one provider at once")] = 64


class InboxSettings(Section, frozen=True, kw_only=True):
    """`[inbox]`: the durable queue."""

    high_water: Annotated[int, Note("Open messages above which new ones get 503")] = 1_000_000
    retention_secs: Annotated[int, Note("How long ended messages stay readable")] = 7 * 24 * 3600
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


class WebhookChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.webhook]`"""

    secret: Annotated[Secret | None, Note("Required in X-Webhook-Secret when set")] = None
    port: Annotated[int | None, Note("Accepted and unused, as upstream")] = None


class WhatsAppChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.whatsapp]`"""

    access_token: Annotated[Secret | None, Note("Cloud API token")] = None
    phone_number_id: Annotated[str | None, Note("Cloud API phone number id")] = None
    verify_token: Annotated[Secret | None, Note("Token of Meta's subscription check")] = None
    app_secret: Annotated[Secret | None, Note("Signs deliveries; without it POST /whatsapp refuses")] = None
    allowed_numbers: Annotated[tuple[str, ...], Note("Senders answered: `+…` numbers or `*`; empty = nobody")] = ()
    api_base: Annotated[str, Note("Graph API base URL")] = "https://graph.facebook.com/v18.0"

    @property
    def is_cloud(self) -> bool:
        """Whether all three Cloud API values are present (an empty one counts, as upstream)."""
        return None not in (self.access_token, self.phone_number_id, self.verify_token)


class LinqChannel(Section, frozen=True, kw_only=True):
    """`[channels_config.linq]`"""

    api_token: Annotated[Secret, Note("Partner API token")]
    from_phone: Annotated[str, Note("Number that new chats come from")]
    signing_secret: Annotated[Secret | None, Note("Signs deliveries; without it POST /linq refuses")] = None
    allowed_senders: Annotated[tuple[str, ...], Note("Senders answered: `+…` numbers or `*`; empty = nobody")] = ()
    api_base: Annotated[str, Note("Partner API base URL")] = "https://api.linqapp.com/api/partner/v3"


class ChannelsSettings(Section, frozen=True, kw_only=True):
    """`[channels_config]`"""

    cli: Annotated[bool, Note("Accepted and unused, as upstream")] = True
    webhook: WebhookChannel | None = None
    whatsapp: WhatsAppChannel | None = None
    linq: LinqChannel | None = None


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration.

    Attributes:
        unknown: dotted paths of keys nobody reads; kept in the file and listed by `clawgate check`.
        warnings: sentences for the operator about values that were read in a forgiving way.
        paired_tokens_present: whether the file has the `paired_tokens` key at all.
    """

    default_provider: Annotated[str, Note("Who answers; empty = the first provider whose key is in the environment, else `offline`")] = ""
    default_model: Annotated[str, Note("Model asked for; empty = the provider's default")] = ""
    default_temperature: Annotated[float | None, Note("0.0 … 2.0")] = 0.7
    api_key: Annotated[Secret | None, Note("Key of the default provider")] = None
    gateway: GatewaySettings = GatewaySettings()
    agent: AgentSettings = AgentSettings()
    inbox: InboxSettings = InboxSettings()
    store: StoreSettings = StoreSettings()
    memory: MemorySettings = MemorySettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    secrets: SecretsSettings = SecretsSettings()
    tunnel: TunnelSettings = TunnelSettings()
    channels_config: ChannelsSettings = ChannelsSettings()
    config_path: str = ""
    state_dir: str = ""
    provider_keys: tuple[tuple[str, Secret], ...] = ()
    unknown: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    paired_tokens_present: bool = False
