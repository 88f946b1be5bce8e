"""What is run, where, and how a terminal ends (construct-realtime.md §10)."""

from __future__ import annotations

import itertools

import pytest

from clawgate.domain.terminals import TOOLS, Effect, Event, Exit, Size, State, Terminal, environment_of, folder_of, shell_of, step

NEW = Terminal(id="t", principal="device", client="c", program="/bin/sh", cwd="/", opened_ms=1)


@pytest.mark.parametrize(
    ("cols", "rows", "size"), [(0, 0, Size(80, 24)), (120, 0, Size(120, 24)), (0, 40, Size(80, 40)), (1, 1, Size(1, 1)), (99_999, 2, Size(65_535, 2))]
)
def test_a_side_that_is_nought_stays_as_it_is(cols: int, rows: int, size: Size) -> None:
    assert Size().changed(cols, rows) == size


def test_only_four_tools_are_known_and_their_case_counts() -> None:
    assert {name: TOOLS.get(name) for name in ("claude", "codex", "opencode", "gemini")} == {name: name for name in TOOLS}
    assert [TOOLS.get(name) for name in ("", "Claude", "bash", "../claude")] == [None] * 4


@pytest.mark.parametrize(
    ("cwd", "folder"),
    [("", "/home/me"), ("~", "/home/me"), ("~/src", "/home/me/src"), ("/etc", "/etc"), ("src", "/home/me/src"), ("~you", "/home/me/~you")],
)
def test_a_cwd_means_a_path(cwd: str, folder: str) -> None:
    assert folder_of(cwd, "/home/me") == folder


def test_the_shell_is_the_settings_then_the_environments_then_sh() -> None:
    assert shell_of("/bin/fish", {"SHELL": "/bin/zsh"}) == "/bin/fish"
    assert shell_of("", {"SHELL": "/bin/zsh"}) == "/bin/zsh"
    assert (shell_of("", {}), shell_of("", {"SHELL": ""})) == ("/bin/sh", "/bin/sh")


def test_of_the_daemons_variables_only_the_published_ones_are_seen() -> None:
    passed = {name: name.lower() for name in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "USER", "LOGNAME", "SHELL", "TZ")}
    seen = environment_of(passed | {"TERM": "dumb", "API_KEY": "sk", "HOME": "/elsewhere", "LD_PRELOAD": "x"}, "/home/me")
    assert seen == passed | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": "/home/me"}
    assert environment_of({}, "/h") == {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": "/h"}


@pytest.mark.parametrize(
    ("end", "text"), [(Exit(3), "exited with code 3"), (Exit(0), "exited with code 0"), (Exit(None, 9), "ended by signal 9"), (Exit(), "ended")]
)
def test_an_end_is_told_in_words(end: Exit, text: str) -> None:
    assert str(end) == text


def test_a_program_that_ends_by_itself_is_told_closed_and_recorded() -> None:
    over, effects = step(NEW, Event.EXITED)
    assert (over.state, over.reason, effects) == (State.OVER, "exited", (Effect.SAY_EXIT, Effect.CLOSE, Effect.RECORD))


@pytest.mark.parametrize("events", list(itertools.product(Event, repeat=4)))
def test_every_history_terminates_once_records_once_and_keeps_its_first_reason(events: tuple[Event, ...]) -> None:
    terminal, done = NEW, list[Effect]()
    for event in (*events, Event.EXITED):
        terminal, effects = step(terminal, event)
        done += effects
    assert (terminal.state, terminal.reason) == (State.OVER, events[0].value)
    assert done.count(Effect.RECORD) == 1
    assert done.count(Effect.TERMINATE) == (events[0] is not Event.EXITED)
    assert done.count(Effect.CLOSE) == (events[0] is not Event.LEFT)
    assert done[-1] is Effect.RECORD
