"""The metric families, as one table. Ring: domain. Source: zeroclaw.md A3 (/metrics), rantaiclaw.md §18, design §4.14.

Names stand here without their namespace: `clawgate_` by default, `observability.metrics_namespace` to keep an old dashboard alive. The families upstream
publishes keep their names, labels and buckets; the others are ours.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(msgspec.Struct, frozen=True):
    """One metric family; a family without labels exists at 0 from the start."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AGENT = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TOOL = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

FAMILIES: tuple[Family, ...] = (
    Family("agent_starts_total", _C, "Total agent invocations", ("provider", "model")),
    Family("agent_duration_seconds", _H, "Agent invocation duration", ("provider", "model"), _AGENT),
    Family("llm_requests_total", _C, "Requests sent to model providers", ("provider", "model")),
    Family("tool_calls_total", _C, "Total tool calls", ("tool", "success")),
    Family("tool_duration_seconds", _H, "Tool call duration", ("tool",), _TOOL),
    Family("channel_messages_total", _C, "Channel messages", ("channel", "direction")),
    Family("heartbeat_ticks_total", _C, "Total heartbeat ticks"),
    Family("errors_total", _C, "Total errors by component", ("component",)),
    Family("request_latency_seconds", _H, "Time from a message at the door to its answer", (), _LATENCY),
    Family("tokens_used_last", _G, "Tokens used by the last turn"),
    Family("tokens_total", _C, "Tokens counted by providers", ("provider", "direction")),
    Family("active_sessions", _G, "Conversations with an open item"),
    Family("queue_depth", _G, "Accepted messages without an outcome yet"),
    Family("http_requests_total", _C, "HTTP requests answered", ("status",)),
    Family("http_connections", _G, "Open HTTP connections"),
    Family("sockets_open", _G, "Open WebSockets"),
    Family("http_refused_total", _C, "Connections and requests refused by a bound", ("reason",)),
    Family("inbox_items_total", _C, "Inbox items by where they ended or went", ("state",)),
    Family("inbox_duplicates_total", _C, "Messages recognised as a copy of an earlier one", ("source",)),
    Family("inbox_stopped_items", _G, "Accepted messages that wait for a person to decide", ("state",)),
    Family("inbox_oldest_seconds", _G, "Age of the oldest accepted message without an outcome"),
    Family("turn_attempts_total", _C, "Turns ended, by outcome; `lost` are counted at the start after the loss", ("outcome",)),
    Family("turns_running", _G, "Turns in progress"),
    Family("sends_total", _C, "Replies handed to channels by how it ended", ("channel", "state")),
    Family("subscription_deliveries_total", _C, "Attempts to deliver events to subscribers, by what came of it", ("outcome",)),
    Family("subscription_missed_total", _C, "Events that subscribers missed: their line was full, or the store refused"),
    Family("subscription_queue_depth", _G, "Events in the lines of subscribers"),
    Family("store_commits_total", _C, "Store transactions committed"),
    Family("store_failures_total", _C, "Store transactions failed"),
    Family("store_queue_depth", _G, "Writes waiting for the store's writer"),
    Family("pairing_failures_total", _C, "Wrong pairing codes"),
    Family("auth_failures_total", _C, "Requests with a bad or missing credential", ("surface",)),
    Family("audit_entries_total", _C, "Entries given to the audit log", ("action",)),
    Family("audit_failures_total", _C, "Entries that the audit log did not take"),
    Family("audit_left_out_total", _C, "Entries left out because strangers set off too many of their kind"),
    Family("clock_steps_total", _C, "Times that the wall clock was set while the gateway ran"),
    Family("reactor_lag_seconds", _G, "How late the reactor's timers fire"),
    Family("unhandled_errors_total", _C, "Deferreds that failed with nobody listening"),
)
