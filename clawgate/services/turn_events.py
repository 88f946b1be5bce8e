"""What turns tell the bus. Ring: services. Source: construct-realtime.md §7 (kinds and fields).

A turn is the hot path: while nobody watches, telling costs one look.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.inbox import Item
from clawgate.services.events import Events


class TurnEvents(msgspec.Struct):
    """Tells of turns while somebody watches."""

    events: Events

    def started(self, item: Item, provider: str, model: str) -> None:
        """An agent takes up a message."""
        if self.events.is_watched:
            self.events.publish("agent_start", {"item": item.id, "source": item.source, "provider": provider, "model": model}, item.principal)

    def asked(self, item: Item, provider: str, model: str) -> None:
        """The agent is asked; several times in a turn that calls tools."""
        if self.events.is_watched:
            self.events.publish("llm_request", {"item": item.id, "provider": provider, "model": model}, item.principal)

    def ended(self, item: Item, provider: str, model: str, seconds: float, tokens: int) -> None:
        """The agent has answered; `tokens` 0 = nobody counted."""
        if self.events.is_watched:
            data = {
                "item": item.id,
                "provider": provider,
                "model": model,
                "duration_ms": _ms(seconds),
                "tokens_used": tokens or None,
                "cost_usd": None,
            }
            self.events.publish("agent_end", data, item.principal)

    def failed(self, item: Item, code: str) -> None:
        """The turn ended without an answer; what the vendor said stays in the log."""
        if self.events.is_watched:
            component = "ws_chat" if item.source == "chat" else "gateway"
            self.events.publish("error", {"item": item.id, "component": component, "message": f"the turn failed ({code})"}, item.principal)

    def tool_started(self, item: Item, tool: str) -> None:
        """A tool is called."""
        if self.events.is_watched:
            self.events.publish("tool_call_start", {"item": item.id, "tool": tool}, item.principal)

    def tool_ended(self, item: Item, tool: str, seconds: float, *, ok: bool) -> None:
        """A tool has answered."""
        if self.events.is_watched:
            data = {"item": item.id, "tool": tool, "duration_ms": _ms(seconds), "success": ok}
            self.events.publish("tool_call", data, item.principal)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
