"""What a gateway says of itself in mDNS. Ring: system (wire: pure). Source: RFC 6763 §4.1, §6, §7; design §4 is silent, and so is every contract.

<name>._clawgate._tcp.local.   SRV  clawgate-<machine>.local. PORT
TXT  path=/prefix  tls=0|1  version=0.1.0
"""

from __future__ import annotations

import re

import msgspec

SERVICE_TYPE = "_clawgate._tcp.local."
_MOST_LABEL_BYTES = 63
_PREFIX = "clawgate-"
"""The host record is our own: the machine's may have another keeper, who takes a second one for a conflict."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway as others find it.

    Attributes:
        name: of the instance, one label.
        host: of the SRV record.
        addresses: IPs it can be reached under.
        text: of the TXT record.
    """

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    text: dict[str, str]

    @property
    def instance(self) -> str:
        """The name with the type."""
        return f"{self.name}.{SERVICE_TYPE}"


def announcement(name: str, machine: str, addresses: tuple[str, ...], port: int, *, path: str, is_secure: bool, version: str) -> Announcement:
    """What is announced.

    Args:
        name: as the operator wants it; blank = the machine's.
        machine: its host name.
        path: `gateway.path_prefix`; "" is shown as "/".
    """
    label = _label(name) or _label(machine) or "clawgate"
    host = re.sub(r"[^a-z0-9-]+", "-", machine.partition(".")[0].lower()).strip("-") or "gateway"
    text = {"path": path or "/", "tls": "1" if is_secure else "0", "version": version}
    return Announcement(name=label, host=f"{(_PREFIX + host)[:_MOST_LABEL_BYTES]}.local.", addresses=addresses, port=port, text=text)


def _label(text: str) -> str:
    """One label: without dots and control characters, at most 63 bytes of UTF-8."""
    shown = "".join("-" if char == "." else char for char in text if char.isprintable()).strip()
    return shown.encode()[:_MOST_LABEL_BYTES].decode(errors="ignore").strip()
