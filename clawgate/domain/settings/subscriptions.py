"""What is wrong with `[subscriptions.NAME]`, and what it asks for. Ring: domain. Source: domain/subscriptions.py; webhook-signatures.md §1."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Iterator, Mapping

from clawgate.domain.egress import is_far
from clawgate.domain.errors import Invalid
from clawgate.domain.settings.model import SubscriptionSettings
from clawgate.domain.settings.providers import check_url
from clawgate.domain.subscriptions import MOST_SUBSCRIPTIONS, Wish, kinds_of


def wishes(configured: Mapping[str, SubscriptionSettings]) -> dict[str, Wish]:
    """What the subscriptions ask for; one that is switched off asks for nothing."""
    return {name: Wish(kinds_of(own.events) if own.enabled else frozenset(), own.include_answer, own.max_queued) for name, own in configured.items()}


def problems(configured: Mapping[str, SubscriptionSettings]) -> Iterator[Invalid]:
    """What cannot work whatever happens."""
    if len(configured) > MOST_SUBSCRIPTIONS:
        yield Invalid("subscriptions", f"has more than {MOST_SUBSCRIPTIONS}", "Let one receiver pass events on to others")
    for name, own in configured.items():
        path, url = f"subscriptions.{name}.url", own.url.reveal()
        try:
            check_url(path, url)
        except Invalid as problem:
            yield problem
            continue
        parts = urllib.parse.urlsplit(url)
        if parts.username is not None or parts.password is not None or parts.fragment or not url.isascii():
            yield Invalid(path, "has a user, a password, a fragment or letters outside ASCII", "Write https://HOST/PATH")


def is_near(url: str) -> bool:
    """Whether the host is written as an address, or a name, that is never on the public internet."""
    host = (urllib.parse.urlsplit(url).hostname or "").lower().removesuffix(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return not is_far(host)
