"""The last lines of the log, for whoever reads along."""

from __future__ import annotations

import io
import threading

from clawgate.domain.redaction import Redactor
from clawgate.domain.secret import Secret
from clawgate.system.logs import LogTail, log_observer


def test_the_tail_has_the_lines_as_they_were_written() -> None:
    stream, tail, redactor = io.StringIO(), LogTail(), Redactor()
    redactor.register(Secret("very-secret-value"))
    assert not tail.is_fed
    observer = log_observer(stream, redactor=redactor, tail=tail)
    observer({"log_format": "using {what}", "what": "very-secret-value", "log_time": 1_800_000_000.5, "log_namespace": "x"})
    observer({"log_format": "half a pair \ud800", "log_time": float("nan"), "log_namespace": "x"})
    first, second = tail.after(0)
    assert tail.is_fed
    assert (first.number, first.at_ms) == (1, 1_800_000_000_500)
    assert "very-secret-value" not in first.text
    assert [first.text, second.text] == stream.getvalue().splitlines()
    assert second.text.encode()


def test_the_tail_is_bounded_in_lines_and_characters() -> None:
    tail = LogTail(lines=3, chars=20)
    for number in range(5):
        tail.add(f"{number}", 0)
    assert [line.number for line in tail.after(0)] == [3, 4, 5]
    tail.add("x" * 19, 0)
    assert [line.number for line in tail.after(0)] == [5, 6]
    tail.add("y" * 21, 0)
    assert tail.after(0) == ()
    assert tail.after(7) == ()


def test_lines_of_many_threads_are_all_numbered() -> None:
    tail = LogTail(lines=10_000)

    def write() -> None:
        for _ in range(500):
            tail.add("x", 0)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tail.after(0)
    for thread in threads:
        thread.join(10)
    assert [line.number for line in tail.after(0)] == list(range(1, 2001))
