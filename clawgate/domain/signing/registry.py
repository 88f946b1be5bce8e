"""Every scheme by its name. Ring: domain. Source: webhook-signatures.md §1.1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from clawgate.domain.signing.scheme import Scheme

_ALL: tuple[Scheme, ...] = ()
SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ALL})
