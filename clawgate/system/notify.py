"""Telling systemd how the daemon is. Ring: system (edge). Source: sd_notify(3), design §7.

One datagram to `$NOTIFY_SOCKET` per message. Never raises and never blocks: a service manager that does not listen must not stop the service.
"""

from __future__ import annotations

import os
import socket
import time

from twisted.internet.interfaces import IDelayedCall

from clawgate.domain.redaction import cut, escaped
from clawgate.ports.clock import Clock


class Notifier:
    """The service manager's ear; deaf when there is none."""

    def __init__(self, address: str | None = None) -> None:
        """
        Args:
            address: None = `$NOTIFY_SOCKET`; "" = nobody listens. A leading `@` names an abstract socket.
        """
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address

    def ready(self, status: str = "") -> bool:
        """The daemon serves. Returns whether somebody took the message, as all of these do."""
        return self._tell("READY=1", status)

    def stopping(self, status: str = "") -> bool:
        """The daemon drains."""
        return self._tell("STOPPING=1", status)

    def reloading(self) -> bool:
        """The daemon reads its configuration again; `ready` ends it."""
        return self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> bool:
        """The watchdog's sign of life."""
        return self._tell("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._tell("", text)

    def watchdog_seconds(self) -> float:
        """How often `alive` is due: half of what systemd allows; 0 = never."""
        try:
            if int(os.environ.get("WATCHDOG_PID") or os.getpid()) != os.getpid():
                return 0.0
            return max(0, int(os.environ.get("WATCHDOG_USEC") or 0)) / 2_000_000
        except ValueError:
            return 0.0

    def _tell(self, message: str, status: str = "") -> bool:
        if not self._address.startswith(("/", "@")):
            return False
        lines = [message] if message else []
        if status:
            lines.append("STATUS=" + cut(escaped(status), 200))
        target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.connect(target)
                sender.sendall("\n".join(lines).encode())
        except (OSError, ValueError):
            return False
        return True


class Heartbeat:
    """Sends `alive` from the reactor's own timers, as often as systemd asks: a reactor that stalls falls silent and is restarted."""

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier, self._clock = notifier, clock
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begins, if anybody asked."""
        seconds = self._notifier.watchdog_seconds()
        if seconds > 0:
            self._beat(seconds)

    def stop(self) -> None:
        """Falls silent."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _beat(self, seconds: float) -> None:
        self._notifier.alive()
        self._timer = self._clock.call_later(seconds, self._beat, seconds)
