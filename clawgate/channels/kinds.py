"""The channels there are: the one table that knows them all. Ring: channels (edge). Source: design §2, §4.19.

A channel's module, and with it the HTTP client, is imported only when the channel is configured: most gateways start without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTCP
from twisted.web.iweb import IAgent

from clawgate.domain.onboarding import ALLOWLIST_KEYS
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, LinqChannel, Settings, WhatsAppChannel
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock

if TYPE_CHECKING:  # no cycle: only to name a type of what is imported late
    from clawgate.channels.api import Api


class Workshop(msgspec.Struct, frozen=True):
    """What a channel is made with; `agent` None = each makes its own."""

    reactor: IReactorTCP
    clock: Clock
    agent: IAgent | None = None

    def api(self, title: str, setting: str, base: str, token: Secret) -> Api:
        """A channel's way to its platform. Raises Invalid when `base` is no URL."""
        from clawgate.channels.api import Api, checked_base

        return Api(self.reactor, self.clock, title, checked_base(setting, base), token, self.agent)


class Kind(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        title: as users know it; the 404 of an unconfigured one says it.
        build: the channel, or None when the settings do not configure it.
        has_handshake: the platform checks its subscription with a GET.
        path: of its deliveries, without the slash; "" = its name.
    """

    name: str
    title: str
    build: Callable[[ChannelsSettings, Workshop], Channel | None]
    has_handshake: bool = False
    path: str = ""

    @property
    def route(self) -> str:
        """The path its deliveries come to, with the slash."""
        return "/" + (self.path or self.name)


def _whatsapp(settings: ChannelsSettings, workshop: Workshop) -> Channel | None:
    own = settings.whatsapp or WhatsAppChannel()
    if own.access_token is None or own.phone_number_id is None or own.verify_token is None:
        return None
    from clawgate.channels.whatsapp import WhatsApp

    api = workshop.api("WhatsApp", "channels_config.whatsapp.api_base", own.api_base, own.access_token)
    return WhatsApp(api, own.phone_number_id, own.verify_token, _trimmed(own.app_secret), own.allowed_numbers)


def _linq(settings: ChannelsSettings, workshop: Workshop) -> Channel | None:
    own: LinqChannel | None = settings.linq
    if own is None:
        return None
    from clawgate.channels.linq import Linq

    api = workshop.api("Linq", "channels_config.linq.api_base", own.api_base, own.api_token)
    return Linq(api, own.from_phone, _trimmed(own.signing_secret), own.allowed_senders)


def _nextcloud_talk(settings: ChannelsSettings, workshop: Workshop) -> Channel | None:
    own = settings.nextcloud_talk
    if own is None:
        return None
    from clawgate.channels.nextcloud_talk import NextcloudTalk

    api = workshop.api("Nextcloud Talk", "channels_config.nextcloud_talk.base_url", own.base_url, own.app_token)
    return NextcloudTalk(api, _trimmed(own.webhook_secret), own.allowed_users)


def _wati(settings: ChannelsSettings, workshop: Workshop) -> Channel | None:
    own = settings.wati
    if own is None:
        return None
    from clawgate.channels.wati import Wati

    api = workshop.api("WATI", "channels_config.wati.api_url", own.api_url, own.api_token)
    return Wati(api, _trimmed(own.webhook_token), own.allowed_numbers, own.tenant_id)


def _trimmed(secret: Secret | None) -> tuple[Secret, ...]:
    """A signing secret without the blanks around it, as the contracts read it; blank is none."""
    return (Secret(secret.reveal().strip()),) if secret else ()


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("whatsapp", "WhatsApp", _whatsapp, has_handshake=True),
        Kind("linq", "Linq", _linq),
        Kind("nextcloud_talk", "Nextcloud Talk", _nextcloud_talk, path="nextcloud-talk"),
        Kind("wati", "WATI", _wati),
    )
}


def admitted(settings: Settings, name: str, identity: str, is_owner: bool) -> Settings:
    """The settings with somebody on a channel's allowlist, and among the owners when `is_owner`; the same when they are there already."""
    section = settings.channels_config
    own, key = getattr(section, name, None), ALLOWLIST_KEYS.get(name, "")
    if own is not None and key and not {identity, "*"} & {*getattr(own, key)}:
        section = replace(section, **{name: replace(own, **{key: (*getattr(own, key), identity)})})
    if is_owner and not {identity, "*"} & {*section.approval_owners}:
        section = replace(section, approval_owners=(*section.approval_owners, identity))
    return replace(settings, channels_config=section)


def build_channels(settings: Settings, reactor: IReactorTCP, clock: Clock, agent: IAgent | None = None) -> dict[str, Channel]:
    """The configured channels by name; no connection is made yet.

    Raises:
        Invalid: an API base is no URL.
    """
    workshop = Workshop(reactor, clock, agent)
    built = {name: kind.build(settings.channels_config, workshop) for name, kind in KINDS.items()}
    return {name: channel for name, channel in built.items() if channel is not None}
