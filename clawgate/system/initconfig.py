"""The first config.toml, for `clawgate init`. Ring: system edge. Source: design §4.6, §4.13."""

from __future__ import annotations

import os

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.settings.parse import CONFIG_VERSION
from clawgate.system.atomic import sync_directory

FIRST_CONFIG = f"""\
# Configuration of clawgate. What is not written here has its default; docs/reference/settings.md lists every key.
# Check it with:  clawgate check --security

[clawgate]
version = {CONFIG_VERSION}

[gateway]
host = "127.0.0.1"              # 0.0.0.0 needs TLS, a tunnel, or allow_public_bind
port = 3000
require_pairing = true
# paired_tokens is written by the daemon: one SHA-256 for each paired client. Remove one to revoke it.
paired_tokens = []

# [gateway.tls]
# enabled = true
# cert_path = "/etc/clawgate/fullchain.pem"
# key_path = "/etc/clawgate/privkey.pem"

# [channels_config.webhook]
# secret = "file:webhook.secret"        # asked for in X-Webhook-Secret; also: the text itself, env:NAME, enc2:...

# [channels_config.whatsapp]
# access_token = "env:WHATSAPP_ACCESS_TOKEN"
# phone_number_id = "..."
# verify_token = "env:WHATSAPP_VERIFY_TOKEN"
# app_secret = "env:WHATSAPP_APP_SECRET"
# allowed_numbers = ["+15551234567"]

# [tunnel]
# provider = "cloudflare"               # or tailscale, ngrok, custom
# [tunnel.cloudflare]
# token = "env:CLOUDFLARE_TUNNEL_TOKEN" # without a token: a quick tunnel
"""

_AGENT = """\
# Who answers: openrouter, openai, anthropic, gemini, ollama, moonshot, groq, mistral, deepseek, custom:https://host/v1, anthropic-custom:https://host,
# local:/path/model.gguf, command:/path/program, offline. Not set: the first vendor whose key is in the environment, else offline.
"""
_SAMPLES = '# default_provider = "openai"\n# default_model = "gpt-4o-mini"\n# api_key = "env:OPENAI_API_KEY"\n'


def first_config(default_provider: str = "") -> str:
    """The text of a first config.toml, with a provider when one is given."""
    head, blank, rest = FIRST_CONFIG.partition("\n\n")
    escaped = default_provider.replace("\\", "\\\\").replace('"', '\\"')
    chosen = f'default_provider = "{escaped}"\n' if default_provider else _SAMPLES
    return f"{head}{blank}{_AGENT}{chosen}\n{rest}"


def write_first_config(path: str, *, default_provider: str = "") -> None:
    """Writes a first config.toml (0600) in a directory of its own user (0700), and makes `state` beside it.

    Raises:
        Conflict: there is a file already. Invalid: it cannot be written.
    """
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.makedirs(os.path.join(directory, "state"), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(first_config(default_provider))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(directory)
    except FileExistsError:
        raise Conflict(f"{path}: exists already and is left as it is. Edit it, or name another file with --config") from None
    except OSError as problem:
        raise Invalid(path, f"cannot be written ({problem.strerror})", "Choose a directory that you may write to") from None
