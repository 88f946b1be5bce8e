"""The settings page is what the model says."""

from pathlib import Path

from clawgate.domain.settings.reference import markdown
from clawgate.domain.settings.schema import keys

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
REMEDY = "write the page anew: python -c 'from clawgate.domain.settings.reference import markdown; print(markdown(), end=str())' > docs/reference/settings.md"


def test_the_page_equals_the_generator() -> None:
    assert markdown() == PAGE.read_text(encoding="utf-8"), REMEDY


def test_the_page_names_every_key_and_its_variable() -> None:
    page = markdown()

    assert [key.path for key in keys().values() if f"| `{key.name}` |" not in page] == []
    assert "`CLAWGATE_GATEWAY__TLS__ENABLED`" in page
    assert "PAIRED_TOKENS" not in page
