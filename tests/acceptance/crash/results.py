"""The table of `make crash`: a file with what the long run found, and the rows of `docs/explanation/promises.md`."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.acceptance.crash.house import ROOT

RESULTS = ROOT / "docs" / "explanation" / "promises-results.json"
PAGE = RESULTS.with_name("promises.md")
BEGIN, END = "<!-- the table of promises-results.json, written by `make crash` -->", "<!-- end of the table -->"
_HERE = "tests/acceptance/crash"
_KILLS = f"`{_HERE}/test_kills.py::test_nothing_acknowledged_is_lost_or_done_twice_under_kill_9`"
_HEAD = "| promise | test | rounds | looked at | lost | duplicated |\n|---|---|---|---|---|---|\n"


def table(found: dict[str, Any]) -> str:  # Any: the file's JSON
    """The rows, with the run that they are of."""
    count = {name: len(value) if isinstance(value, list) else value for name, value in found.items()}
    rows = (
        ("What was acknowledged has its one outcome", f"{count['acknowledged']:,} messages", count["lost"] + count["untrue"], count["twice"]),
        ("A copy gets the outcome of the first", f"{count['replayed']:,} copies", 0, count["replays"]),
        ("A reply goes out once, or is `uncertain`", f"{count['deliveries']:,} parts taken", count["unsent"], count["sent_twice"]),
        ("A tool call is made once, or is `uncertain`", f"{count['calls']:,} calls", count["uncalled"], count["called_twice"]),
        ("An outcome is told to subscribers, in order", f"{count['events']:,} events", count["unheard"], count["misheard"]),
        ("The audit log is whole", f"{count['entries']:,} entries", f"{count['unrecorded']} missing", 0),
        ("Conversations keep their order", f"{count['lines']:,} conversations and chats", f"{count['disorder']} out of order", 0),
        ("Devices stay paired, or revoked", f"{count['devices']:,} devices", f"{count['credentials']} wrong", 0),
    )
    lines = [f"| {promise} | {_KILLS} | {found['rounds']:,} | {looked_at} | {lost} | {twice} |" for promise, looked_at, lost, twice in rows]
    return f"{_HEAD}" + "\n".join(lines) + f"\n\n{_about(found)}\n"


def _about(found: dict[str, Any]) -> str:  # Any: as above
    return (
        f"Commit `{found['commit']}`, {found['date']}: {found['kills']:,} kills in {found['rounds']:,} rounds and {found['minutes']} minutes. "
        f"Stopped for a person to decide: {found['uncertain_sends']:,} replies and {found['uncertain_calls']:,} tool calls. "
        f"Events that were told again: {found['events_again']:,}. "
        f"Turns that the model was asked for again: {found['repeated_turns']:,}."
    )


def read() -> dict[str, Any]:  # Any: as above
    return dict(json.loads(RESULTS.read_text()))


def write(found: dict[str, Any]) -> None:  # Any: as above
    """Keeps what was found, and puts its rows into the page."""
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    page = PAGE.read_text()
    PAGE.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n\n{table(found)}\n{END}", page, flags=re.DOTALL))
