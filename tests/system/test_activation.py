"""The listening socket that systemd passed (sd_listen_fds(3))."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawgate.system.activation import activated_socket


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ("A=b\0LISTEN_PID={pid}\0LISTEN_FDS=1\0", 3),
        ("LISTEN_FDS=2\0LISTEN_PID={pid}", 3),
        ("LISTEN_PID={pid}\0LISTEN_FDS=0\0", None),
        ("LISTEN_PID={pid}\0", None),
        ("LISTEN_PID={pid}\0LISTEN_FDS=x\0", None),
        ("LISTEN_PID={other}\0LISTEN_FDS=1\0", None),
        ("LISTEN_FDS=1\0", None),
        ("", None),
        ("=\0==\0\0\xff\0", None),
    ],
)
def test_only_what_was_passed_to_this_process_counts(tmp_path: Path, environ: str, expected: int | None) -> None:
    file = tmp_path / "environ"
    named = environ.replace("{pid}", str(os.getpid())).replace("{other}", str(os.getpid() + 1))
    file.write_bytes(named.encode("latin-1"))
    assert activated_socket(str(file)) == expected


def test_without_proc_the_environment_of_now_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert activated_socket(str(tmp_path / "missing")) == 3
