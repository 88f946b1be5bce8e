"""Text out of files: text, Markdown, HTML, CSV, JSON, PDF. Ring: system edge. Implements `ports.knowledge.Extractor`. Source: rantaiclaw.md §14.

Runs in a thread of a small pool. What is read is bounded by the body's cap, what comes out by `MOST_TEXT_CHARS`; a PDF is read page by page and given up when
its time is over. One page that never ends keeps its thread (nothing can stop a thread), and whoever waits is told in time by the service.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import msgspec
from twisted.internet.defer import Deferred, execute, fail
from twisted.python.failure import Failure

from clawgate.domain.errors import ExtractionFailed, Overloaded, UnsupportedFile
from clawgate.domain.knowledge import MOST_TEXT_CHARS, Extracted, Reading, reading
from clawgate.ports.threads import InThread

EXTENSIONS = {
    "txt": "txt",
    "text": "txt",
    "log": "txt",
    "md": "md",
    "markdown": "md",
    "html": "html",
    "htm": "html",
    "csv": "csv",
    "json": "json",
    "pdf": "pdf",
}
MEDIA = {
    "text/plain": "txt",
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "application/json": "json",
    "application/pdf": "pdf",
}
PDF_SECONDS = 60.0
HTML_SECONDS = 20.0
_HTML_SLICE_CHARS = 16_384
_MOST_OPEN_CHARS = 64 * 1024
"""Of a tag that has not ended: the parser reads it anew with each slice, in time that grows with its square."""
MOST_PAGES = 5_000
_MOST_WAITING = 8
_INLINE = re.compile(r"data:[\w/+.-]{0,100};base64,[A-Za-z0-9+/=]+")
"""Pictures inside a page: long, and nobody's text."""
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt"),
        *("figcaption", "footer", "form", "header", "hr", "li", "main", "nav", "ol"),
        *("p", "pre", "section", "table", "td", "th", "tr", "ul"),
    )
)
_UNSEEN = frozenset(("script", "style", "template", "noscript", "head"))


class FileExtractor:
    """Reads files in threads.

    Args:
        run: calls a function in a thread of a pool kept for this.
    """

    def __init__(self, run: InThread = execute) -> None:
        self._run = run
        self._waiting = 0

    def kind(self, filename: str, media: str) -> str:
        """`ports.knowledge.Extractor.kind`: the name's extension decides, else the content type."""
        extension = filename.rpartition(".")[2].lower() if "." in filename else ""
        found = EXTENSIONS.get(extension) or ("" if extension else MEDIA.get(media.partition(";")[0].strip().lower(), ""))
        if not found:
            raise UnsupportedFile("only .txt, .md, .html, .csv, .json and .pdf can be read")
        return found

    def extract(self, kind: str, data: bytes) -> Deferred[Reading]:
        """`ports.knowledge.Extractor.extract`."""
        if self._waiting >= _MOST_WAITING:
            return fail(Overloaded(detail="too many files are being read"))
        self._waiting += 1
        return self._run(lambda: reading(extracted(kind, data))).addBoth(self._left)

    def _left(self, result: Reading | Failure) -> Reading | Failure:
        self._waiting -= 1
        return result


def extracted(kind: str, data: bytes) -> Extracted:
    """The text of a file.

    Raises:
        ExtractionFailed: it is broken, encrypted, or more than the bounds allow.
    """
    try:
        found = _READERS[kind](data)
    except ExtractionFailed:
        raise
    except Exception as problem:  # parsers of other people's files raise anything
        raise ExtractionFailed(f"the {kind} file cannot be read", detail=f"{type(problem).__name__}: {problem}"[:500]) from problem
    if len(found.text) > MOST_TEXT_CHARS:
        raise ExtractionFailed(f"the file holds more than {MOST_TEXT_CHARS} characters of text")
    clean = found.text.replace("\0", "").encode("utf-8", "replace").decode()
    return msgspec.structs.replace(found, text=clean, title=" ".join(found.title.split())[:200])


def _decoded(data: bytes) -> str:
    """Bytes as text: UTF-8, or what a byte order mark says; else Latin-1, which is never wrong and seldom right."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(data: bytes) -> Extracted:
    if b"\0" in data[:1024] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ExtractionFailed("the file is not text")
    return Extracted(text=_decoded(data))


def _markdown(data: bytes) -> Extracted:
    text = _text(data).text
    title = next((line.lstrip("#").strip() for line in text.splitlines() if line.startswith("# ")), "")
    return Extracted(text=text, title=title, has_headings=True)


def _html(data: bytes) -> Extracted:
    reader, text, until = _Page(), _INLINE.sub("data:,", _decoded(data)), time.monotonic() + HTML_SECONDS
    for start in range(0, len(text), _HTML_SLICE_CHARS):
        if time.monotonic() > until:
            raise ExtractionFailed("the page takes too long to read")
        reader.feed(text[start : start + _HTML_SLICE_CHARS])
        if len(reader.rawdata) > _MOST_OPEN_CHARS:
            raise ExtractionFailed("the page holds a tag that does not end")
    reader.close()
    return Extracted(text=reader.text(), title="".join(reader.title), has_headings=True)


def _csv(data: bytes) -> Extracted:
    """Each row as `column: value` lines, so that a passage makes sense by itself."""
    csv.field_size_limit(1_000_000)
    rows = csv.reader(io.StringIO(_text(data).text))
    names = next(rows, [])
    return Extracted(text=_joined("\n\n", (_row(names, row) for row in rows if any(row))) or ", ".join(names))


def _joined(between: str, pieces: Iterator[str]) -> str:
    """The pieces in one text: names stand before every value, so a small file can hold a text without end. Raises ExtractionFailed beyond the cap."""
    kept: list[str] = []
    chars = 0
    for piece in pieces:
        kept.append(piece)
        chars += len(piece) + len(between)
        if chars > MOST_TEXT_CHARS:
            raise ExtractionFailed(f"the file holds more than {MOST_TEXT_CHARS} characters of text")
    return between.join(kept)


def _row(names: list[str], row: list[str]) -> str:
    padded = [*names[: len(row)], *("" for _ in row[len(names) :])]  # as long as the row, however many columns the head names
    return "\n".join(
        f"{name.strip()}: {value.strip()}" if name.strip() else value.strip() for name, value in zip(padded, row, strict=False) if value.strip()
    )


def _json(data: bytes) -> Extracted:
    """Each scalar with its path."""
    return Extracted(text=_joined("\n", _scalars("", msgspec.json.decode(data))))


def _scalars(path: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _scalars(f"{path}.{name}" if path else str(name), below)
    elif isinstance(value, list):
        for below in value:
            yield from _scalars(path, below)
    elif value is not None:
        yield f"{path}: {value}" if path else str(value)


def _pdf(data: bytes) -> Extracted:
    from pypdf import PdfReader  # a third of a second of imports that only uploads of PDFs pay for

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractionFailed("the PDF is encrypted")
    count = len(reader.pages)
    if count > MOST_PAGES:
        raise ExtractionFailed(f"the PDF has more than {MOST_PAGES} pages")
    until = time.monotonic() + PDF_SECONDS
    pages: list[str] = []
    chars = 0
    for page in reader.pages:
        if time.monotonic() > until:
            raise ExtractionFailed("the PDF takes too long to read")
        pages.append(page.extract_text())
        chars += len(pages[-1])
        if chars > MOST_TEXT_CHARS:
            raise ExtractionFailed(f"the file holds more than {MOST_TEXT_CHARS} characters of text")
    title = reader.metadata.title if reader.metadata is not None else None
    return Extracted(text="\n\n".join(pages), title=title or "", pages=count)


class _Page(HTMLParser):
    """Gathers what a reader of a page sees; headings become lines with #."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._pieces: list[str] = []
        self._unseen = 0
        self._is_title = False

    def text(self) -> str:
        """Everything gathered, blank lines where blocks end."""
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        joined = "\n".join(lines)
        while "\n\n\n" in joined:
            joined = joined.replace("\n\n\n", "\n\n")
        return joined.strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A heading begins with its marks, a block on a line of its own."""
        if tag == "title":
            self._is_title = True
        elif tag in _UNSEEN:
            self._unseen += 1
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._pieces.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag in _BLOCKS:
            self._pieces.append("\n\n" if tag not in ("br", "td", "th") else "\n" if tag == "br" else " ")

    def handle_endtag(self, tag: str) -> None:
        """What began ends."""
        if tag == "title":
            self._is_title = False
        elif tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _BLOCKS or (len(tag) == 2 and tag[0] == "h"):
            self._pieces.append("\n\n" if tag not in ("td", "th") else " ")

    def handle_data(self, data: str) -> None:
        """Text counts unless it is in a part that nobody sees."""
        if self._is_title:
            self.title.append(data)
        elif not self._unseen:
            self._pieces.append(data.replace("\n", " "))


_READERS: dict[str, Callable[[bytes], Extracted]] = {
    "txt": _text,
    "md": _markdown,
    "html": _html,
    "csv": _csv,
    "json": _json,
    "pdf": _pdf,
}
