"""The channels there are now. Ring: services. Source: design §6 (the new built beside the old); rantaiclaw.md §15 (PATCH /config/channels)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clawgate.ports.channels import Channel


class Channels(Mapping[str, Channel]):
    """Channels by name; whoever holds this sees the change."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = dict(channels)

    def replace(self, channels: Mapping[str, Channel]) -> None:
        """From now on, these."""
        self._channels = dict(channels)

    def __getitem__(self, name: str) -> Channel:
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)
