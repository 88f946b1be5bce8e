"""Public tools for tests: an in-memory gateway, fakes, and the contract suites they pass. Ring: testing.

MemoryGateway, GateClient      a whole gateway without sockets, and a client for it
ScriptedAgent, ListSink        an agent that says what a test tells it
RecordingChannel               a messaging platform in memory
ManualClock, FixedEntropy, …   time, chance and ids that a test decides
InlineStore                    the real SQLite store without threads
BackendContract, ChannelContract, STORE_CONTRACT    what every backend, channel and store has to keep
"""

from __future__ import annotations

from clawgate.testing.agents import BackendContract, Hang, ListSink, Pieces, ScriptedAgent, prompt
from clawgate.testing.case import TestCase
from clawgate.testing.channels import ChannelContract, RecordingChannel, Sent
from clawgate.testing.clock import CountingIds, FixedEntropy, ManualClock
from clawgate.testing.gateway import GateClient, MemoryGateway, Pending, RecordingMirror, Response
from clawgate.testing.platforms import BrokenAgent, Platform
from clawgate.testing.store import InlineStore
from clawgate.testing.store_builders import OpenStore
from clawgate.testing.store_contract import CONTRACT as STORE_CONTRACT
from clawgate.testing.store_contract import name_of

__all__ = [
    "STORE_CONTRACT",
    "BackendContract",
    "BrokenAgent",
    "ChannelContract",
    "CountingIds",
    "FixedEntropy",
    "GateClient",
    "Hang",
    "InlineStore",
    "ListSink",
    "ManualClock",
    "MemoryGateway",
    "OpenStore",
    "Pending",
    "Pieces",
    "Platform",
    "RecordingChannel",
    "RecordingMirror",
    "Response",
    "ScriptedAgent",
    "Sent",
    "TestCase",
    "name_of",
    "prompt",
]
