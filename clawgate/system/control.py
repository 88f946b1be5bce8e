"""A client of the live daemon on this machine: HTTP/1.1 over its 0600 unix socket. Ring: system (edge). Source: design §4.8, §3 (no second writing process).

The daemon serves its normal routes there and takes the peer for the operator, so no token is needed: whoever may open the socket owns the state directory.
Blocking; for the command line, never for the daemon itself.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from clawgate.domain.errors import Invalid, Unavailable

CONTROL_SOCKET = "control.sock"
DAEMON_FILE = "daemon.json"
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ADDRESS_BYTES = 107
"""`sockaddr_un.sun_path` less its final zero (unix(7))."""


class NotRunning(Unavailable):
    """No daemon listens on the control socket; the text carries the remedy."""


class Reply(NamedTuple):
    """One answer.

    Attributes:
        body: the decoded value of a JSON answer, else the text.
        headers: by lower-case name; the last of several wins.
    """

    status: int
    body: object
    headers: Mapping[str, str]


class RunningDaemon(msgspec.Struct, frozen=True):
    """`daemon.json`: what a running daemon says of itself; `started_at` in seconds since the epoch."""

    pid: int
    url: str
    public_url: str | None = None
    started_at: float | None = None


def running_daemon(state_dir: str) -> RunningDaemon | None:
    """What `daemon.json` says; None when there is none or it cannot be read. A daemon that was killed leaves it behind: ask the socket whether it lives."""
    try:
        with open(os.path.join(state_dir, DAEMON_FILE), "rb") as file:
            return msgspec.json.decode(file.read(65_536), type=RunningDaemon)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


@contextlib.contextmanager
def short_address(path: str) -> Iterator[str]:
    """A name for a socket that fits into an address, however long `path` is: the directory is opened and named through /proc.

    Raises:
        OSError: the directory cannot be opened.
    """
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield path
        return
    directory, name = os.path.split(path)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


class ControlClient:
    """Asks the daemon whose control socket is `path`.

    Attributes:
        timeout_seconds: the longest silence; of connecting and of each read.
        prefix: `gateway.path_prefix` of the daemon, put before every path.
    """

    def __init__(self, path: str, timeout_seconds: float = 30.0, prefix: str = "") -> None:
        self.path, self.timeout_seconds, self.prefix = path, timeout_seconds, prefix

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, object]:
        """Status and decoded answer; as `exchange`."""
        reply = self.exchange(method, path, body, headers)
        return reply.status, reply.body

    def exchange(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """The whole answer, whatever its status.

        Args:
            path: with its query, percent-encoded.
            body: sent as JSON, bytes as they are; None sends none.

        Raises:
            NotRunning: nobody listens.
            Invalid: this user may not open the socket.
            Unavailable: no answer in time, or none that is HTTP; whether the request was carried out is unknown.
        """
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Accept": "application/json"} | ({} if content is None else {"Content-Type": "application/json"}) | dict(headers or {})
        connection = _UnixConnection(self.path, self.timeout_seconds)
        try:
            connection.connect()
            connection.request(method, self.prefix + path, content, sent)
            return read_reply(connection.getresponse())
        except TimeoutError:
            raise Unavailable(f"the daemon did not answer within {self.timeout_seconds:g} s") from None
        except (OSError, http.client.HTTPException) as problem:
            raise Unavailable(f"the daemon's answer broke off ({problem or type(problem).__name__})") from None
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path, self._seconds = path, timeout_seconds

    def connect(self) -> None:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connecting.settimeout(self._seconds)
        try:
            with short_address(self._path) as address:
                connecting.connect(address)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            connecting.close()
            raise NotRunning(f"no daemon is running on {os.path.dirname(self._path)}: start it with `clawgate run`") from None
        except PermissionError:
            connecting.close()
            raise Invalid(self._path, "this user may not open it", "Run the command as the user who runs the daemon") from None
        except OSError:
            connecting.close()
            raise
        self.sock = connecting


def read_reply(response: http.client.HTTPResponse) -> Reply:
    """The whole answer. Raises Unavailable when it is too large, `OSError` and `http.client.HTTPException` when it breaks off."""
    content = response.read(MAX_ANSWER_BYTES + 1)
    if len(content) > MAX_ANSWER_BYTES:
        raise Unavailable("the daemon's answer is too large")
    if response.length:  # a read with a bound does not complain about what is missing
        raise http.client.IncompleteRead(content, response.length)
    headers = {name.lower(): value for name, value in response.getheaders()}
    if headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Reply(response.status, msgspec.json.decode(content), headers)
    return Reply(response.status, content.decode("utf-8", "replace"), headers)
