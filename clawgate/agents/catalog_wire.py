"""How vendors list their models. Ring: agents (pure codec). Source: the vendors' API references ("List models").

OpenAI and compatible servers   GET {base}/models        {"data":[{"id":…}]}; Together answers the bare list
Anthropic                       GET {base}/v1/models     {"data":[{"id":…}]}
Gemini                          GET {base}/models        {"models":[{"name":"models/…"}]}
"""

from __future__ import annotations

from clawgate.agents.vendor_wire import decoded
from clawgate.domain.errors import AgentProtocol
from clawgate.domain.providers_catalog import Listing

MOST_MODELS = 2_000
_MOST_CHARS = 200
_VERSION = "2023-06-01"


def request(listing: Listing, key: str) -> tuple[str, dict[str, str]]:
    """Path below the base URL, and headers; `key` is "" for servers without one."""
    headers = {"Accept": "application/json"}
    if listing is Listing.ANTHROPIC:
        return "/v1/models?limit=1000", headers | {"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {})
    if listing is Listing.GEMINI:
        return "/models?pageSize=1000", headers | ({"x-goog-api-key": key} if key else {})
    return "/models", headers | ({"Authorization": f"Bearer {key}"} if key else {})


def names(body: bytes) -> tuple[str, ...]:
    """Names in a vendor's answer, sorted, at most `MOST_MODELS`.

    Raises:
        AgentProtocol: it is no list of models.
    """
    found: object = decoded(body, object)
    if isinstance(found, dict):
        found = found.get("data", found.get("models"))
    if not isinstance(found, list):
        raise AgentProtocol("the provider's answer is no list of models")
    listed = {name for entry in found[:MOST_MODELS] if (name := _name(entry))}
    return tuple(sorted(listed))


def _name(entry: object) -> str:
    if not isinstance(entry, dict):
        return ""
    name = entry.get("id") or entry.get("name")
    is_good = isinstance(name, str) and len(name) <= _MOST_CHARS and name.isprintable()
    return str(name).removeprefix("models/") if is_good else ""
