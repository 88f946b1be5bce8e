"""The documentation says what is there: generated pages equal their generators, and links, commands, settings and code in the prose exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest
import tomli

from clawgate import Gateway, banner
from clawgate.cli import cli
from clawgate.domain import errors, metrics
from clawgate.domain.settings import findings
from clawgate.domain.settings.parse import build
from clawgate.domain.settings.schema import keys

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(page for page in DOCS.rglob("*.md") if "newsfragments" not in page.parts)])
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:clawgate|tests|docs)/[\w./-]+\.(?:py|md|toml|sql|service)|tests/[\w/]+)(?:::(\w+))?`")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        for indent, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
            lines = [line.removeprefix(indent) for line in text.splitlines()]
            found.append(Block(relative(page), language, "\n".join(lines) + "\n"))
    return [block for block in found if block.language in languages]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = generator()


# --- generated pages


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_a_generated_page_equals_its_generator(name: str) -> None:
    assert generate.PAGES[name]() == (DOCS / "reference" / name).read_text(encoding="utf-8"), "write it anew: make docs"


def reference(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    assert [key.path for key in keys().values() if f"| `{key.name}` |" not in reference("settings.md")] == []


def test_every_route_is_documented_with_a_summary() -> None:
    routes = generate.all_routes()
    assert [route.endpoint for route in routes if f"| `{route.method}` | `{route.path}` |" not in reference("routes.md")] == []
    assert [route.endpoint for route in routes if not route.summary] == []


def test_every_metric_is_documented() -> None:
    assert [family.name for family in metrics.FAMILIES if f"`clawgate_{family.name}`" not in reference("metrics.md")] == []


def test_every_command_is_documented() -> None:
    names = [name for name, _ in generate.commands()]
    assert [name for name in names if f"## `{name}`\n" not in reference("cli.md")] == []
    assert {f"clawgate {name}" for name in cli.commands} < set(names)


def test_every_exit_code_is_documented() -> None:
    assert [code for code, _ in generate.exit_codes()] == ["0", "1", "2", "64", "69", "75", "78"]


def test_every_finding_is_provoked_and_documented() -> None:
    source = Path(findings.__file__).read_text(encoding="utf-8")
    ids = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and re.fullmatch(r"CG\d{3}", str(node.value))}
    assert ids == {finding.id for finding in generate.provoked()}
    assert [one for one in sorted(ids) if f"| {one} |" not in reference("findings.md")] == []


def test_every_error_that_is_answered_is_documented() -> None:
    def below(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from below(inner)

    answered = {kind for root in (errors.Refusal, errors.Unavailable) for kind in below(root) if kind.__module__ == errors.__name__}
    assert answered - {type(sample) for sample in generate.SAMPLES} == {errors.Refusal}


# --- links and names in the prose


def anchors(page: Path) -> set[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_file_and_test_that_is_named_exists(page: Path) -> None:
    missing = []
    for path, test in _PATH.findall(page.read_text(encoding="utf-8")):
        target = ROOT / path
        if not target.exists() or (test and f"def {test}(" not in target.read_text(encoding="utf-8")):
            missing.append(f"{path}::{test}" if test else path)
    assert missing == []


def test_every_setting_in_the_prose_exists() -> None:
    sections = {path.rpartition(".")[0] for path in keys()} - {""}
    named = re.compile(r"`((?:" + "|".join(sorted(re.escape(section) for section in sections)) + r")\.[a-z_]+)\b[^`]*`")
    known = set(keys()) | sections | {f"gateway.{name}" for name in dir(Gateway)}
    unknown = {(relative(page), path) for page in PAGES for path in named.findall(prose(page)) if path not in known}
    assert {pair for pair in unknown if not pair[1].endswith((".py", ".md", ".sock"))} == set()


def test_every_metric_in_the_prose_exists() -> None:
    known = {f"clawgate_{family.name}" for family in metrics.FAMILIES}
    named = {name for page in PAGES for name in re.findall(r"`(clawgate_\w+)", prose(page))}
    assert named - known - {"clawgate_"} == set()


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.is_dir():
            waiting += page.glob("*.md")
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link))
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert [relative(page) for page in PAGES if page not in seen] == []


# --- code in the prose


def commands_of(block: Block) -> Iterator[list[str]]:
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in ("make", "clawgate"):
            yield [Path(words[0]).name, *words[1:]]


def said() -> list[tuple[str, list[str]]]:
    return [(block.page, words) for block in blocks("sh") for words in commands_of(block)]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    calls = [(page, words[1:]) for page, words in said() if words[0] == "make"]
    assert len(calls) > 5
    wrong = [
        (page, word) for page, words in calls for word in words if (word.partition("=")[0] not in variables if "=" in word else word not in targets)
    ]
    assert wrong == []


def test_every_clawgate_command_and_option_exists() -> None:
    calls = [(page, words[1:]) for page, words in said() if words[0] == "clawgate"]
    assert len(calls) > 5
    assert [(page, words, problem) for page, words in calls if (problem := problem_of(words))] == []


def problem_of(words: list[str]) -> str:
    """What click would say of a command line; nothing is run."""
    command: click.Command = cli
    context = click.Context(cli, info_name="clawgate", resilient_parsing=False)
    while isinstance(command, click.Group) and words:
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        if found is None:
            return f"there is no command {name}"
        command, context = found, click.Context(found, info_name=name, parent=context)
    try:
        command.parse_args(context, list(words))
    except click.UsageError as problem:
        return problem.format_message()
    return ""


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page)
def test_every_toml_block_is_a_configuration_that_works(block: Block) -> None:
    settings = build(
        tomli.loads(block.text),
        environ=dict.fromkeys(re.findall(r'"env:(\w+)"', block.text), "4f1c9b7ae2d0835ee6"),
        dotenv={},
        config_path="config.toml",
        state_dir="state",
    )
    assert settings.unknown == ()


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_every_python_block_compiles_and_examples_in_memory_run(block: Block) -> None:
    code = compile(block.text, block.page, "exec", dont_inherit=True)
    if "MemoryGateway(" in block.text:
        exec(code, {"__name__": "example"})


def test_some_python_blocks_are_run() -> None:
    assert sum("MemoryGateway(" in block.text for block in blocks("python")) >= 2


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial/first-answer.md"])
def test_the_lines_to_try_are_those_that_the_daemon_prints(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    base = "http://127.0.0.1:3000"
    lines = [banner.pair_line(base, "123456"), banner.ask_line(base), banner.health_line(base)]
    assert [line for line in lines if f"\n{line}\n" not in text] == []


def test_the_systemd_unit_promises_only_what_the_daemon_does() -> None:
    unit = (DOCS / "howto" / "clawgate.service").read_text(encoding="utf-8")
    daemon = (ROOT / "clawgate" / "daemon.py").read_text(encoding="utf-8")
    assert "Type=notify\n" in unit
    assert ("Heartbeat(" in daemon) == ("WatchdogSec=" in unit)
