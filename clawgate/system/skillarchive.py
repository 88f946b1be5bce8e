"""Archives and directories that become skills, read with suspicion. Ring: system edge. Source: rantaiclaw.md §10 (install); design §6 (bounded everything).

Whatever it comes in, a skill is a bounded number of regular files with plain relative names. Links, devices, absolute names, `..`, names twice, encryption,
sparse files, and headers that promise less than they hold are refused, never skipped. Everything is in memory before anything is on disk.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator

import msgspec

from clawgate.domain.errors import BadRequest, GatewayError, TooLarge
from clawgate.domain.skills import SKILL_FILE
from clawgate.system.regular import open_regular

MOST_FILES = 2_000
MOST_DEPTH = 16
_MOST_NAME_BYTES = 240
_CHUNK = 64 * 1024
_TAR_BLOCKS_PER_FILE = 8 * 512
_END_OF_ZIP, _ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_MOST_DIRECTORY_BYTES = 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """One file of a skill; `parts` is its relative path, checked."""

    parts: tuple[str, ...]
    content: bytes
    is_executable: bool = False


def read_archive(content: bytes, max_bytes: int) -> tuple[Entry, ...]:
    """The files of a .zip or .tar.gz, without the one directory around them, if there is one.

    Args:
        max_bytes: unpacked, all files together.

    Raises:
        BadRequest: it is no such archive, or holds what no skill may hold.
        TooLarge: too many bytes or files.
    """
    if content.startswith(b"PK"):
        read = _from_zip
    elif content.startswith(b"\x1f\x8b"):
        read = _from_tar
    else:
        raise BadRequest("a skill comes as a .zip or a .tar.gz archive")
    try:
        entries = tuple(read(content, max_bytes))
    except GatewayError:
        raise
    except Exception as problem:  # parsers of the standard library raise many things over hostile bytes
        raise BadRequest("the archive cannot be read", detail=repr(problem)) from None
    return _checked(entries)


def read_directory(path: str, max_bytes: int) -> tuple[Entry, ...]:
    """The files of a directory of this machine; `.git` is left out.

    Raises:
        BadRequest: it holds links or devices. TooLarge: too many bytes or files. OSError: it cannot be read.
    """
    entries: list[Entry] = []
    for parts, full in _walk(path, ()):
        max_bytes, content, mode = _read_one(full, parts, max_bytes)
        entries.append(Entry(parts, content, bool(mode & 0o100)))
        if len(entries) > MOST_FILES:
            raise TooLarge(f"more than {MOST_FILES} files")
    return _checked(tuple(entries))


def read_file(path: str, most_bytes: int) -> bytes:
    """A regular file, no link at its end.

    Raises:
        BadRequest: it is no regular file. TooLarge: over the cap. OSError: it cannot be read.
    """
    return _read_one(path, (os.path.basename(path),), most_bytes)[1]


def _from_zip(content: bytes, budget: int) -> Iterator[Entry]:
    _check_zip_directory(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > MOST_FILES:
            raise TooLarge(f"more than {MOST_FILES} files")
        for member in members:
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadRequest("the archive holds a link or a device")
            parts = safe_parts(member.orig_filename.removesuffix("/"))
            if member.is_dir():
                continue
            if member.flag_bits & 0x1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadRequest("the archive is encrypted, or packed in a way that is not read")
            with archive.open(member) as file:
                data = _taken(file.read, budget)
            budget -= len(data)
            yield Entry(parts, data, bool(mode & 0o100))


def _check_zip_directory(content: bytes) -> None:
    """Refuses a table of contents so large that reading it would be the attack; looks where `zipfile` looks."""
    at = len(content) - 22
    if content[at : at + 4] != _END_OF_ZIP or content[-2:] != b"\0\0":
        at = content.rfind(_END_OF_ZIP, max(0, len(content) - 65_557))
    if at < 0:
        raise BadRequest("the archive cannot be read")
    size = int.from_bytes(content[at + 12 : at + 16], "little")
    if size > _MOST_DIRECTORY_BYTES or content[max(0, at - 20) : max(0, at - 16)] == _ZIP64_LOCATOR:
        raise TooLarge("the archive's table of contents is too large")


def _from_tar(content: bytes, budget: int) -> Iterator[Entry]:
    import tarfile  # only who installs one

    plain = _gunzipped(content, budget + MOST_FILES * _TAR_BLOCKS_PER_FILE)
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
        for count, member in enumerate(archive):
            if count >= MOST_FILES:
                raise TooLarge(f"more than {MOST_FILES} files")
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise BadRequest("the archive holds a link or a device")
            name = member.name.removeprefix("./")
            if member.isdir() and name in (".", ""):
                continue
            parts = safe_parts(name)
            if member.isdir():
                continue
            file = archive.extractfile(member)
            data = _taken(file.read, budget) if file is not None else b""
            budget -= len(data)
            yield Entry(parts, data, bool(member.mode & 0o100))


def _gunzipped(content: bytes, most_bytes: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    plain = unpacking.decompress(content, most_bytes + 1)
    if len(plain) > most_bytes:
        raise TooLarge("the archive is too large when unpacked")
    if not unpacking.eof:
        raise BadRequest("the archive is cut off")
    return plain


def _taken(read: Callable[[int], bytes], budget: int) -> bytes:
    """Reads until the end, counting what really comes."""
    chunks, left = [], budget
    while chunk := read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise TooLarge("the skill is too large when unpacked")
        chunks.append(chunk)
    return b"".join(chunks)


def safe_parts(name: str) -> tuple[str, ...]:
    """The components of a relative path out of an archive.

    Raises:
        BadRequest: it is absolute, climbs, is too deep or too long, or has characters that mean something elsewhere.
    """
    parts = tuple(name.split("/"))
    is_bad = len(parts) > MOST_DEPTH or any(part in ("", ".", "..") for part in parts)
    if is_bad or any(character in "\\:" or not character.isprintable() for character in name):
        raise BadRequest("the archive holds a name that no skill may have")
    try:
        is_long = any(len(part.encode()) > _MOST_NAME_BYTES for part in parts)
    except UnicodeEncodeError:
        is_long = True
    if is_long:
        raise BadRequest("the archive holds a name that no skill may have")
    return parts


def _checked(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The files below the directory that holds SKILL.md: the top, or the one directory there.

    Raises:
        BadRequest: no SKILL.md there, or one name twice, or once as a file and once as a directory.
    """
    tops = {entry.parts[0] for entry in entries}
    if (SKILL_FILE,) not in {entry.parts for entry in entries} and len(tops) == 1:
        entries = tuple(Entry(entry.parts[1:], entry.content, entry.is_executable) for entry in entries if len(entry.parts) > 1)
    names = [entry.parts for entry in entries]
    if (SKILL_FILE,) not in names:
        raise BadRequest(f"there is no {SKILL_FILE}")
    directories = {name[:depth] for name in names for depth in range(1, len(name))}
    if len(set(names)) < len(names) or directories & set(names):
        raise BadRequest("the archive holds one name twice")
    return entries


def _walk(path: str, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Files below a directory, links and devices refused."""
    with os.scandir(path) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if len(entries) > MOST_FILES:
        raise TooLarge(f"more than {MOST_FILES} files")
    for entry in entries:
        parts = safe_parts("/".join((*above, entry.name)))
        if entry.is_dir(follow_symlinks=False):
            if entry.name != ".git":
                yield from _walk(entry.path, parts)
        elif entry.is_file(follow_symlinks=False):
            yield parts, entry.path
        else:
            raise BadRequest("the directory holds a link or a device")


def _read_one(path: str, parts: tuple[str, ...], budget: int) -> tuple[int, bytes, int]:
    """What is left of the budget, the content, the mode."""
    file = open_regular(path, is_followed=False)
    if file is None:
        raise BadRequest(f"{'/'.join(parts)} is no regular file")
    with file:
        mode = os.fstat(file.fileno()).st_mode
        content = file.read(budget + 1)
    if len(content) > budget:
        raise TooLarge("the skill is too large")
    return budget - len(content), content, mode
