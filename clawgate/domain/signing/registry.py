"""Every scheme by its name. Ring: domain. Source: webhook-signatures.md §1.1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from clawgate.domain.signing import hmac_schemes as hmacs
from clawgate.domain.signing.discord import DISCORD
from clawgate.domain.signing.rfc9421 import RFC9421
from clawgate.domain.signing.scheme import Scheme
from clawgate.domain.signing.standard import STANDARD_WEBHOOKS, SVIX
from clawgate.domain.signing.tokens import GITLAB, TELEGRAM
from clawgate.domain.signing.twilio import TWILIO

_ALL: tuple[Scheme, ...] = (
    STANDARD_WEBHOOKS,
    SVIX,
    hmacs.GITHUB,
    hmacs.META,
    hmacs.STRIPE,
    hmacs.SLACK,
    hmacs.SHOPIFY,
    TWILIO,
    DISCORD,
    TELEGRAM,
    hmacs.LINE,
    hmacs.LINEAR,
    GITLAB,
    hmacs.NEXTCLOUD_TALK,
    hmacs.LINQ,
    hmacs.HERMES_V2,
    hmacs.CONVOY,
    hmacs.CONVOY_ADVANCED,
    hmacs.OUTPOST,
    hmacs.GENERIC,
    RFC9421,
)
SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ALL})
