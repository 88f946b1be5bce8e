"""config.toml on disk: where it is, reading it into settings, and its one writer. Ring: system edge. Source: design §4.10–4.13, zeroclaw.md A4.

Reading takes config.toml, the overlay config.runtime.toml beside it, `.env` of the working directory, and `.secret_key` beside it. Writing goes through
`ConfigFile` alone: under a lock file, refusing when somebody else changed the file since it was read, keeping every byte that is not meant.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import msgspec
import tomli
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.settings.environment import parse_dotenv
from clawgate.domain.settings.findings import Facts
from clawgate.domain.settings.model import Settings
from clawgate.domain.settings.parse import Resolve, build, clear_text_secrets
from clawgate.domain.tokens import stored_hash
from clawgate.ports.threads import InThread
from clawgate.system.atomic import mode_of, replace_unchanged
from clawgate.system.mdns import has_package
from clawgate.system.regular import contents_of
from clawgate.system.secrets import KEY_FILE, SecretBox

MOST_CONFIG_BYTES = 4 * 1024 * 1024
_MOST_SECRET_BYTES = 64 * 1024
_MOST_DOTENV_BYTES = 256 * 1024
Document = MutableMapping[str, Any]
"""TOML with its comments, as `editor` reads it; Any: tomlkit's items."""


def editor() -> Any:  # Any: a module
    """tomlkit, which only who writes needs: it takes 10 ms of every start and a MiB."""
    import tomlkit
    import tomlkit.exceptions

    return tomlkit


def find_config(path: str | None, environ: Mapping[str, str]) -> str:
    """Absolute path of the config file to use; it need not exist, except where `path` or `CLAWGATE_CONFIG` names it.

    Asked in this order: `path` (`--config`), `CLAWGATE_CONFIG`, `CLAWGATE_CONFIG_DIR`; then, where the file is there already, `ZEROCLAW_CONFIG_DIR`,
    `ZEROCLAW_WORKSPACE` (that directory, or `.zeroclaw` beside it), `RANTAICLAW_CONFIG_DIR`, `RANTAICLAW_WORKSPACE`; then `~/.clawgate/config.toml`.

    Raises:
        Invalid: a file that was named does not exist.
    """
    for where, named in (("--config", path), ("CLAWGATE_CONFIG", environ.get("CLAWGATE_CONFIG", "").strip())):
        if named:
            full = os.path.abspath(os.path.expanduser(named))
            if not os.path.exists(full):
                raise Invalid(full, f"does not exist, and {where} names it", "Correct the name, or make one with: clawgate init")
            return full
    own = environ.get("CLAWGATE_CONFIG_DIR", "").strip()
    if own:
        return os.path.join(os.path.abspath(os.path.expanduser(own)), "config.toml")
    foreign = next((candidate for candidate in _foreign(environ) if os.path.isfile(candidate)), None)
    home = environ.get("HOME", "").strip() or os.path.expanduser("~")
    return foreign or os.path.join(os.path.abspath(home), ".clawgate", "config.toml")


def find_state_dir(config_path: str, environ: Mapping[str, str]) -> str:
    """Absolute path of the state directory: `CLAWGATE_STATE_DIR`, else `state` beside the config file."""
    named = environ.get("CLAWGATE_STATE_DIR", "").strip()
    return os.path.abspath(os.path.expanduser(named)) if named else os.path.join(os.path.dirname(config_path), "state")


def load_settings(path: str | None, environ: Mapping[str, str], *, cwd: str = ".") -> Settings:
    """The whole configuration as it stands now; blocking, a few milliseconds.

    Args:
        path: the config file named on the command line, if any.
        environ: the process environment.
        cwd: directory whose `.env` is read.

    Raises:
        Invalid: a file cannot be read or is no TOML; names the file and the line.
        InvalidSettings: naming every setting that cannot work.
    """
    config_path = find_config(path, environ)
    document, overlay = read_document(config_path), read_document(overlay_path(config_path))
    return settings_of(config_path, environ, document, overlay, cwd=cwd)


def settings_of(
    config_path: str,
    environ: Mapping[str, str],
    document: Mapping[str, object],
    overlay: Mapping[str, object],
    *,
    cwd: str = ".",
    resolve: Resolve | None = None,
) -> Settings:
    """The configuration that these documents amount to, in the place of the files'; as `load_settings` otherwise.

    Args:
        resolve: reads stored and filed secrets; None = with the key beside the config file.
    """
    dotenv, complaint = _read_dotenv(os.path.join(cwd, ".env"))
    settings = build(
        document,
        environ=environ,
        dotenv=dotenv,
        config_path=config_path,
        state_dir=find_state_dir(config_path, environ),
        overlay=overlay,
        resolve=resolve or resolver(config_path),
    )
    return msgspec.structs.replace(
        settings,
        warnings=(*settings.warnings, *complaint),
        config_fingerprint=fingerprint_of(config_path),
    )


def fingerprint_of(path: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file's bytes, "none" when it cannot be read (rantaiclaw.md §10, GET /version)."""
    try:
        content = read_bytes(path)
    except Invalid:
        return "none"
    return "none" if content is None else _fingerprint(content).hex()[:16]


def overlay_path(config_path: str) -> str:
    """`config.runtime.toml` beside `config.toml`."""
    stem, extension = os.path.splitext(config_path)
    return f"{stem}.runtime{extension}"


def key_path(config_path: str) -> str:
    """`.secret_key` beside the config file."""
    return os.path.join(os.path.dirname(config_path), KEY_FILE)


def read_document(path: str) -> dict[str, object]:
    """What a TOML file says; {} when it does not exist.

    Raises:
        Invalid: it cannot be read, is larger than `MOST_CONFIG_BYTES`, or is no TOML; names the file and where in it.
    """
    return parsed(path, read_bytes(path))


def gather_facts(settings: Settings) -> Facts:
    """What `findings` needs to know of files and process.

    Raises:
        Invalid: as `read_document`.
    """
    key = key_path(settings.config_path)
    return Facts(
        config_mode=mode_of(settings.config_path),
        state_dir_mode=mode_of(settings.state_dir),
        key_file_mode=mode_of(key),
        key_path=key,
        is_root=os.geteuid() == 0,
        clear_text_secrets=clear_text_secrets(read_document(settings.config_path)),
        has_mdns=has_package(),
    )


def _nobody(before: bytes | None, after: bytes) -> None:
    """Nobody is told."""


class ConfigFile:
    """The one writer of config.toml.

    It remembers what was last seen of the file. A general edit is refused when anything in the file differs from that; the list of tokens is refused only when
    the list itself does, because its writer leaves all the rest as it finds it. After a refusal, `read` (or `acknowledge`) and decide again.
    """

    def __init__(self, path: str, written: Callable[[bytes | None, bytes], None] = _nobody) -> None:
        """
        Args:
            written: told what was there before and is now, in the thread that has written it.
        """
        self.path, self._written = path, written
        self._seen: bytes | None = None
        self._tokens: frozenset[str] | None = None

    def read(self) -> dict[str, object]:
        """What the file says now, {} when there is none; from here on this content counts as seen.

        Raises:
            Invalid: as `read_document`.
        """
        content = read_bytes(self.path)
        document = parsed(self.path, content)
        self._seen, self._tokens = _fingerprint(content), _tokens_in(document) or frozenset()
        return document

    def paired_tokens(self) -> frozenset[str] | None:
        """The hashes that `[gateway] paired_tokens` stands for; None when the key is absent. Reads the file.

        Raises:
            Invalid: as `read_document`.
        """
        return _tokens_in(self.read())

    def acknowledge(self, hashes: Iterable[str]) -> None:
        """Says which list the daemon has taken up from the file; one that differs when the next is to be written is a hand's work, not to be undone."""
        self._tokens = frozenset(hashes)

    def write_paired_tokens(self, hashes: frozenset[str]) -> None:
        """Makes `[gateway] paired_tokens` hold exactly these hashes; nothing is written when it does so already.

        Entries that stay keep their place, new ones follow in order. `[gateway]` is added when it is missing. Changes elsewhere in the file are kept.

        Raises:
            Conflict: the list changed since it was seen, or another process is writing the file.
            Invalid: the file is no TOML, or `gateway` is no table. OSError: it cannot be written.
        """
        with self._writing() as content:
            found = parsed(self.path, content)
            if self._tokens is not None and (_tokens_in(found) or frozenset()) != self._tokens:
                raise Conflict(f"[gateway] paired_tokens in {self.path} changed since it was read")
            after = _edited(self.path, content or b"", lambda document: _set_tokens(self.path, document, hashes), "gateway.paired_tokens")
            self._replace(content, after)
            self._tokens = hashes

    def edit(self, change: Callable[[Document], None], *, only: str = "", expected: Mapping[str, object] | None = None) -> None:
        """Applies `change` to the document and writes it, keeping comments, order, mode and owner.

        Args:
            change: alters the document in place; an exception of it ends the edit with nothing written.
            only: a dotted path; a result that differs anywhere else is not written. "" = anything may change.
            expected: what the file has to say afterwards; a result that says anything else is not written.

        Raises:
            Conflict: the file changed since it was read, or another process is writing it.
            Invalid: the file is no TOML, or the change would have spoilt it. OSError: it cannot be written.
        """
        with self._writing() as content:
            if self._seen is not None and _fingerprint(content) != self._seen:
                raise Conflict(f"{self.path} changed since it was read")
            after = _edited(self.path, content or b"", change, only)
            if expected is not None and parsed(self.path, after) != expected:
                raise Invalid(self.path, "could not be changed without altering other keys", "Change it by hand")
            self._replace(content, after)

    def follow(self, before: bytes | None, after: bytes) -> None:
        """Another of our own writers has changed the file: what was seen of it still counts as seen."""
        if self._seen == _fingerprint(before):
            self._seen = _fingerprint(after)

    def is_as_seen(self) -> bool:
        """Whether the file still says what was last read of it. Raises Invalid, as `read_document`."""
        return self._seen == _fingerprint(read_bytes(self.path))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[bytes | None]:
        """The content under the lock; None when there is no file."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        with locked(self.path):
            yield read_bytes(self.path)

    def _replace(self, before: bytes | None, after: bytes) -> None:
        if after == (before or b""):
            return
        if not replace_unchanged(self.path, after, before, mode=None):  # editors know nothing of our lock
            raise Conflict(f"{self.path} changed since it was read")
        self.follow(before, after)
        self._written(before, after)


class PairedTokensFile:
    """`ports.config.TokenMirror` on a `ConfigFile`.

    `run` calls a function in a thread and gives its result (a pool of our own, never the reactor's). Call `acknowledge` with the list of each configuration
    that the daemon takes up, at start and at reload: it is how a hash removed by hand stays removed.
    """

    def __init__(self, file: ConfigFile, run: InThread) -> None:
        self._file, self._run = file, run

    def acknowledge(self, hashes: Iterable[str]) -> None:
        """See `ConfigFile.acknowledge`."""
        self._file.acknowledge(hashes)

    def write(self, hashes: frozenset[str]) -> Deferred[None]:
        """See `TokenMirror.write`."""
        return self._run(lambda: self._file.write_paired_tokens(hashes))


def _foreign(environ: Mapping[str, str]) -> Iterator[str]:
    """Where installations of the other projects keep theirs (zeroclaw.md A4 and B1, rantaiclaw.md §2)."""
    for name in ("ZEROCLAW_CONFIG_DIR", "ZEROCLAW_WORKSPACE", "RANTAICLAW_CONFIG_DIR", "RANTAICLAW_WORKSPACE"):
        directory = environ.get(name, "").strip()
        if directory:
            full = os.path.abspath(os.path.expanduser(directory))
            yield os.path.join(full, "config.toml")
            if name.endswith("_WORKSPACE"):
                yield os.path.join(os.path.dirname(full), "." + name.partition("_")[0].lower(), "config.toml")


def resolver(config_path: str) -> Resolve:
    """Reads `enc2:`, `enc:` and `file:` texts, with the key beside the config file."""
    box = SecretBox(key_path(config_path))

    def resolve(path: str, text: str) -> str:
        if text.startswith("file:"):
            return _secret_from_file(path, os.path.join(os.path.dirname(config_path), os.path.expanduser(text.removeprefix("file:").strip())))
        return box.decrypt(path, text)

    return resolve


def _secret_from_file(path: str, file_path: str) -> str:
    try:
        text = (_read_regular(file_path, _MOST_SECRET_BYTES) or b"").decode("utf-8").strip()
    except OSError as problem:
        raise Invalid(
            path, f"the file {file_path} cannot be read ({problem.strerror})", "Correct the name, or give the daemon's user access"
        ) from None
    except UnicodeDecodeError:
        raise Invalid(path, f"the file {file_path} is not UTF-8 text", "Write the secret alone into it") from None
    if not text:
        raise Invalid(path, f"the file {file_path} does not exist or is empty", "Write the secret into it")
    return text


def _read_dotenv(path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Variables and complaints. A directory of that name (virtual environments are called so) is no `.env`."""
    if os.path.isdir(path):
        return {}, ()
    try:
        content = _read_regular(path, _MOST_DOTENV_BYTES)
    except OSError as problem:
        return {}, (f".env: not read ({problem.strerror})",)
    return parse_dotenv((content or b"").decode("utf-8", "replace")), ()


def read_bytes(path: str) -> bytes | None:
    """A TOML file as it is; None when it does not exist. Raises Invalid: it cannot be read, or is larger than `MOST_CONFIG_BYTES`."""
    try:
        return _read_regular(path, MOST_CONFIG_BYTES)
    except OSError as problem:
        raise Invalid(path, f"cannot be read ({problem.strerror})", "It must be a TOML file that the daemon's user may read") from None


def _read_regular(path: str, most_bytes: int) -> bytes | None:
    """The whole file; None when it does not exist; OSError for a directory, a pipe (which could block) or a file over the cap."""
    content = contents_of(path, most_bytes + 1)
    if content is not None and len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes} bytes", path)
    return content


def parsed(path: str, content: bytes | None) -> dict[str, object]:
    """What the bytes of a TOML file say, {} of None. Raises Invalid: they are no TOML; names the file and where in it."""
    if content is None:
        return {}
    try:
        return tomli.loads(content.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise Invalid(path, f"is not UTF-8 text (line {content[: problem.start].count(10) + 1})", "Save it as UTF-8") from None
    except tomli.TOMLDecodeError as problem:
        raise Invalid(path, f"is not TOML: {problem}", "Correct that line; texts need quotes, tables [brackets]") from None
    except RecursionError:
        raise Invalid(path, "is nested too deeply", "Write fewer brackets into one another") from None


def _fingerprint(content: bytes | None) -> bytes:
    return b"" if content is None else hashlib.sha256(content).digest()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Holds the lock file beside a config. It is never removed: a lock on a removed file would be held by nobody else."""
    target = os.path.realpath(path)
    lock = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another process is writing {path}") from None
        yield
    finally:
        os.close(descriptor)


def _edited(path: str, before: bytes, change: Callable[[Document], None], only: str) -> bytes:
    old = parsed(path, before)
    try:
        document = editor().parse(before)
        change(document)
        after = editor().dumps(document).encode()
    except editor().exceptions.TOMLKitError as problem:
        raise Invalid(path, f"cannot be changed ({problem})", "Change it by hand") from None
    new = parsed(path, after)
    if only and _without(old, only.split(".")) != _without(new, only.split(".")):
        raise Invalid(path, f"changing {only} would have altered other keys", f"Write {only} on a line of its own in its table")
    return before if new == old else after


def _without(document: Mapping[str, object], names: list[str]) -> dict[str, object]:
    """The document less one key; a table left empty by that is gone too."""
    result = dict(document)
    below = result.pop(names[0], None)
    if len(names) > 1 and isinstance(below, Mapping):
        rest = _without(below, names[1:])
        if rest:
            result[names[0]] = rest
    elif len(names) > 1 and below is not None:
        result[names[0]] = below
    return result


def _tokens_in(document: Mapping[str, object]) -> frozenset[str] | None:
    gateway = document.get("gateway")
    entries = gateway.get("paired_tokens") if isinstance(gateway, Mapping) else None
    if not isinstance(entries, list):
        return None
    return frozenset(stored_hash(entry.strip()) for entry in entries if isinstance(entry, str) and entry.strip())


def _set_tokens(path: str, document: Document, hashes: frozenset[str]) -> None:
    if "gateway" not in document:
        document["gateway"] = editor().table()
    gateway = document["gateway"]
    if not isinstance(gateway, dict):
        raise Invalid(path, "gateway is no table", "Write [gateway] on a line of its own")
    old = gateway.get("paired_tokens")
    if isinstance(old, editor().items.Array):
        _change_array(old, hashes)
    else:
        gateway["paired_tokens"] = sorted(hashes)


def _change_array(array: list[Any], hashes: frozenset[str]) -> None:
    missing = set(hashes)
    for index in reversed(range(len(array))):
        entry = array[index]
        text = str(entry).strip()
        if text in missing:
            missing.discard(text)
        else:
            del array[index]  # revoked, a repetition, or a token in clear text whose hash is appended below
    array.extend(sorted(missing))
