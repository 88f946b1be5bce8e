"""Text out of files. Source: rantaiclaw.md §14."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from twisted.internet.defer import Deferred

from clawgate.domain.errors import ExtractionFailed, Overloaded, UnsupportedFile
from clawgate.domain.knowledge import MOST_TEXT_CHARS
from clawgate.system import extraction
from clawgate.system.extraction import FileExtractor, extracted
from clawgate.testing.case import TestCase


def pdf(*pages: str, title: str = "") -> bytes:
    """A real PDF, written by hand: one line of Helvetica on each page."""
    streams = [f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() for text in pages]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(streams):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    objects.append(f"<< /Title ({title}) >>".encode())
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(objects), start)
    return bytes(out)


@pytest.mark.parametrize(
    ("name", "media", "kind"),
    [
        ("a.txt", "", "txt"),
        ("A.MD", "application/octet-stream", "md"),
        ("page.htm", "", "html"),
        ("x.tar.pdf", "text/plain", "pdf"),
        ("notes", "text/markdown; charset=utf-8", "md"),
        ("", "application/pdf", "pdf"),
    ],
)
def test_extension_decides_and_the_content_type_where_there_is_none(name: str, media: str, kind: str) -> None:
    assert FileExtractor().kind(name, media) == kind


@pytest.mark.parametrize(("name", "media"), [("a.exe", "text/plain"), ("a.docx", ""), ("noext", ""), ("noext", "image/png"), ("a.", "text/plain")])
def test_other_kinds_are_refused(name: str, media: str) -> None:
    if name == "a.":
        assert FileExtractor().kind(name, media) == "txt"
        return
    with pytest.raises(UnsupportedFile):
        FileExtractor().kind(name, media)


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("txt", b"\xef\xbb\xbfhello\r\nworld", "hello\nworld"),
        ("txt", "Größe".encode("latin-1"), "Größe"),
        ("txt", "Größe".encode("utf-16"), "Größe"),
        ("csv", b"name,town\nAnn,Rome\nBob,\n", "name: Ann\ntown: Rome\n\nname: Bob"),
        ("csv", b"a,b\n1,2,3\n", "a: 1\nb: 2\n3"),
        ("csv", b"only,names\n", "only, names"),
        ("json", b'{"a":{"b":[1,"x",null]},"c":true}', "a.b: 1\na.b: x\nc: True"),
        ("html", b"<p>a &amp; b<script>no()</script><br>c", "a & b\nc"),
    ],
)
def test_text_of_a_file(kind: str, data: bytes, text: str) -> None:
    assert extracted(kind, data).text == text


def test_page_keeps_its_title_and_headings_and_nothing_unseen() -> None:
    page = b"<html><head><title>My\n page</title><style>p{}</style></head><body><h2>Start</h2><p>One</p><ul><li>two<li>three</ul></body></html>"
    found = extracted("html", page)
    assert (found.title, found.text, found.has_headings) == ("My page", "## Start\n\nOne\n\ntwo\n\nthree", True)


def test_pdf_gives_its_text_pages_and_title() -> None:
    found = extracted("pdf", pdf("The first page tells of otters.", "The second of herons.", title="Animals"))
    assert found.pages == 2
    assert found.title == "Animals"
    assert "otters" in found.text
    assert found.text.index("otters") < found.text.index("herons")


def test_pdf_without_text_is_low() -> None:
    assert extracted("pdf", pdf("")).is_low_text


def test_encrypted_pdf_is_refused_and_one_with_an_empty_password_read() -> None:
    def locked(password: str) -> bytes:
        writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret otters"))))
        writer.encrypt(password, "owner", algorithm="RC4-128")
        out = io.BytesIO()
        writer.write(out)
        return out.getvalue()

    assert "otters" in extracted("pdf", locked("")).text
    with pytest.raises(ExtractionFailed, match="encrypted"):
        extracted("pdf", locked("pass"))


@pytest.mark.parametrize(
    ("kind", "data"),
    [("pdf", b"not a pdf"), ("pdf", b""), ("json", b"{"), ("json", b"[" * 100_000), ("txt", b"\x7fELF\0\0"), ("csv", b"a,b\n" + b"x" * 1_000_002)],
)
def test_broken_file_is_a_failed_extraction(kind: str, data: bytes) -> None:
    with pytest.raises(ExtractionFailed):
        extracted(kind, data)


def test_too_much_text_and_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "MOST_TEXT_CHARS", 10)
    monkeypatch.setattr(extraction, "MOST_PAGES", 1)
    with pytest.raises(ExtractionFailed, match="characters"):
        extracted("txt", b"x" * 11)
    with pytest.raises(ExtractionFailed, match="pages"):
        extracted("pdf", pdf("a", "b"))


@pytest.mark.parametrize(("kind", "setting", "data"), [("pdf", "PDF_SECONDS", pdf("a")), ("html", "HTML_SECONDS", b"<" * 20_000)])
def test_slow_file_is_given_up(kind: str, setting: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, setting, -1.0)
    with pytest.raises(ExtractionFailed, match="too long"):
        extracted(kind, data)


@pytest.mark.parametrize("piece", [b"<a ", b"<!--", b"<a x='", b"</a ", b"<![CDATA["])
def test_tag_that_never_ends_is_given_up_soon(piece: bytes) -> None:
    with pytest.raises(ExtractionFailed, match="does not end"):
        extracted("html", piece * 100_000)


def test_picture_inside_a_page_is_no_such_tag() -> None:
    page = b'<p>before<img src="data:image/png;base64,' + b"A" * 500_000 + b'==">after'
    assert extracted("html", page).text == "beforeafter"


def test_page_that_is_cut_into_slices_reads_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"<h1>One &amp; two</h1><p title='x>y'>three<script>if (a < b) no()</script> four"
    whole = extracted("html", page)
    monkeypatch.setattr(extraction, "_HTML_SLICE_CHARS", 1)
    assert extracted("html", page) == whole
    assert whole.text == "# One & two\n\nthree four"


@pytest.mark.parametrize("length", range(0, 700, 23))
def test_truncated_pdf_is_read_or_refused(length: int) -> None:
    with contextlib.suppress(ExtractionFailed):
        assert extracted("pdf", pdf("otters")[:length]).pages in (0, 1)


@given(st.sampled_from(["txt", "md", "html", "csv", "json"]), st.binary(max_size=400))
def test_any_bytes_give_text_or_a_failed_extraction(kind: str, data: bytes) -> None:
    with contextlib.suppress(ExtractionFailed):
        assert "\0" not in extracted(kind, data).text.encode().decode()


class Waiting(TestCase):
    def test_only_so_many_files_wait(self) -> None:
        held: list[Deferred[object]] = []

        def run(function: Callable[[], object], /) -> Deferred[object]:
            held.append(Deferred())
            return held[-1]

        extractor = FileExtractor(run)  # type: ignore[arg-type]  # Run is generic, this one gives what a test says
        waiting = [extractor.extract("txt", b"x") for _ in range(8)]
        self.failureResultOf(extractor.extract("txt", b"x"), Overloaded)
        held[0].errback(ExtractionFailed("no"))
        self.failureResultOf(waiting[0], ExtractionFailed)
        self.assertNoResult(extractor.extract("txt", b"x"))


@pytest.mark.parametrize(
    ("kind", "data"),
    [("csv", b"a" * 100_000 + b"\n" + b"x\n" * 1_000), ("json", b'{"' + b"a" * 100_000 + b'":[' + b"1," * 1_000 + b"1]}")],
)
def test_names_that_stand_before_every_value_make_no_text_beyond_the_cap(kind: str, data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ExtractionFailed, match="more than 12000000 characters"):
            extracted(kind, data)
        assert tracemalloc.get_traced_memory()[1] < 2 * MOST_TEXT_CHARS
    finally:
        tracemalloc.stop()
