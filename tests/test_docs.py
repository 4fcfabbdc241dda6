"""What README and docs/ say is so: links, commands, settings, message codes, exit statuses and module paths exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from heygemd.cli import main
from heygemd.config import job_toml, schema
from heygemd.daemon.intake import filename_rules
from heygemd.exit_codes import Exit
from heygemd.i18n import catalog

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
TWINS = [(CHECKOUT / "README.md", CHECKOUT / "README.zh-CN.md")] + [
    (DOCS / page.name, page) for page in sorted((DOCS / "zh").glob("*.md"))
]
FOR_STAFF_AND_ADMINISTRATORS = {"install", "operate", "configuration", "messages", "engines", "security"}
EVERY_PAGE = [
    path for path in sorted(CHECKOUT.rglob("*.md")) if not any(part.startswith(".") for part in path.parts[1:])
]
GUIDES = [path for path in EVERY_PAGE if path.parent in (CHECKOUT, DOCS, DOCS / "zh") and path.name != "CHANGELOG.md"]
ON_PAGES_ONLY = re.compile(r"(page|report|quality|audio_longer|audio_shorter|howto|notify)_|try_again$")
"""Entries of the catalogue that are no message about a folder, a file or a command."""


def text(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(CHECKOUT).as_posix() for path in paths]


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every table row."""
    for line in page.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"(?m)^#+ (.*)$", page)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", names(EVERY_PAGE))
def test_links_lead_somewhere(name: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text(name)):
        path = (CHECKOUT / name).parent / target if target else CHECKOUT / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text("utf-8")), f"{target}#{anchor}"


def test_message_codes_are_those_of_the_catalogue() -> None:
    codes = [code for row in rows(text("docs/messages.md")) for code in re.findall(r"`(\w+)`", row[0])]
    assert all(catalog.has_message(code) for code in codes)
    assert len(codes) == len(set(codes))
    known = re.findall(r'(?m)^msgid "(\w+)"$', text("heygemd/i18n/locale/en.po"))
    assert {code for code in known if not ON_PAGES_ONLY.match(code)} == set(codes)


def test_job_toml_is_read_and_complete() -> None:
    examples = re.findall(r"```toml\n(.*?)```", text("docs/configuration.md"), re.S)
    read = [job_toml.load_job(example.encode()).model_dump(exclude_unset=True) for example in examples]
    assert {key for settings in read for key in settings} == set(job_toml.JobSettings.model_fields)


def test_every_section_of_the_settings_is_described() -> None:
    described = {name for row in rows(text("docs/configuration.md")) for name in re.findall(r"^`\[(\w+)", row[0])}
    assert described == set(schema.Config.model_fields)


def setting(model: type[BaseModel], path: list[str]) -> bool:
    """Whether `path` leads from a section to a setting in it."""
    if path[0] not in model.model_fields:
        return False
    kind: Any = model.model_fields[path[0]].annotation
    return len(path) == 1 or (isinstance(kind, type) and issubclass(kind, BaseModel) and setting(kind, path[1:]))


@pytest.mark.parametrize("name", names(GUIDES))
def test_settings_exist(name: str) -> None:
    sections = "|".join(schema.Config.model_fields)
    for path in re.findall(rf"`((?:{sections})(?:\.\w+)+)\b(?:`| =)", text(name)):
        if not path.endswith((".md", ".py", ".log", ".json")):
            assert setting(schema.Config, path.split(".")), path


def test_exit_statuses() -> None:
    page = text("docs/operate.md").split("\n## Exit status\n", 1)[1].split("\n## ", 1)[0]
    assert {int(row[0]) for row in rows(page) if row[0].isdigit()} == {status.value for status in Exit}


def commands(command: Any, name: str) -> Iterator[str]:
    """The names of a command and of all below it."""
    yield name
    for verb, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {verb}")


COMMANDS = set(commands(typer.main.get_command(main.app), "heygemd"))


@pytest.mark.parametrize("name", names(GUIDES))
def test_commands_exist(name: str) -> None:
    page = text(name)
    blocks = "\n".join(re.findall(r"```\n(.*?)```", page, re.S))
    for verb, below in re.findall(r"`heygemd ([a-z]+)(?: ([a-z]+))?", page) + re.findall(
        r"(?m)^heygemd ([a-z]+)(?: ([a-z]+))?", blocks
    ):
        assert f"heygemd {verb}" in COMMANDS
        if any(command.startswith(f"heygemd {verb} ") for command in COMMANDS) and below:
            assert f"heygemd {verb} {below}" in COMMANDS


def test_every_command_is_described() -> None:
    page = text("docs/operate.md")
    for command in COMMANDS - {"heygemd"}:
        *_, verb = command.split()
        assert f"`{command}" in page or (command.startswith("heygemd models ") and f"`{verb}" in page), command


CARDS = ("models/lips.md", "models/mouth.md", "models/vad.md", "models/sync.md")


@pytest.mark.parametrize("name", [*names(GUIDES), *CARDS])
def test_python_modules_exist(name: str) -> None:
    for module in re.findall(r"python -m ((?:heygemd|tests)[\w.]*)", text(name)):
        assert importlib.util.find_spec(module), module


def test_training_verbs_exist() -> None:
    done = subprocess.run([sys.executable, "-m", "heygemd.training", "--help"], capture_output=True, text=True)
    (known,) = re.findall(r"\{([a-z,-]+)\}", done.stdout)[:1]
    for name in names(EVERY_PAGE):
        used = set(re.findall(r"python -m heygemd\.training ([a-z-]+)", text(name)))
        assert used <= set(known.split(",")), name


def test_architecture_names_modules_that_exist() -> None:
    page = text("docs/architecture.md")
    paths = set(re.findall(r"`((?:[\w-]+/)+(?:[\w.-]+)?)`", page))
    assert len(paths) > 80
    paths |= set(re.findall(r"`([a-z_]+\.py)`", page))
    places = CHECKOUT / "heygemd", CHECKOUT
    assert [path for path in sorted(paths) if not any((place / path).exists() for place in places)] == []


def test_architecture_names_every_folder() -> None:
    page = text("docs/architecture.md")
    package = CHECKOUT / "heygemd"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")} - {"."}
    assert all(f"{folder}/" in page for folder in folders)


def test_words_that_staff_use() -> None:
    readme = text("README.md")
    for word in ("READY", "CANCEL", "PAUSE"):
        assert filename_rules.control(word, "file") == word.lower()
        assert f"`{word}`" in readme
    for name in ("_a", "a.part", "a.tmp", "a-wip"):
        assert filename_rules.is_a("held", name)


def shape(page: str) -> list[str]:
    """What two languages of one text must share: the order of headings, tables, lists and code."""
    kinds = {"#": "heading", "|": "row", "-": "item", "`": "code"}
    lines = [line for line in page.splitlines() if line]
    return [kinds[line[0]] + str(line.split(" ")[0].count("#")) for line in lines if line[0] in "#|"] + [
        kinds[line[0]] for line in lines if line.startswith(("- **", "```"))
    ]


def test_pages_for_staff_and_administrators_are_chinese_too() -> None:
    assert {page.stem for _, page in TWINS} >= FOR_STAFF_AND_ADMINISTRATORS


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=names([page for _, page in TWINS]))
def test_chinese_pages_are_kept_equal(english: Path, chinese: Path) -> None:
    pages = english.read_text("utf-8"), chinese.read_text("utf-8")
    assert shape(pages[1]) == shape(pages[0])
    for pattern in (r"`(heygemd [a-z]+[^`]*)`", r"`(\w+_\w+)`", r"`(python -m [^`]+)`"):
        first, second = (sorted(set(re.findall(pattern, page))) for page in pages)
        assert first == second, pattern
    assert chinese in linked(english) and english in linked(chinese)
    in_english = {chinese: english for english, chinese in TWINS}
    first, second = ({in_english.get(path, path) for path in linked(page)} for page in (english, chinese))
    assert first == second
    blocks = [re.findall(r"```\w*\n(.*?)```", page, re.S) for page in pages]
    for first, second in zip(*blocks, strict=True):
        if "<-" not in first:  # the tree of the share has words in it
            assert without_comments(first) == without_comments(second)


def linked(page: Path) -> set[Path]:
    """The files that a page links to."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text("utf-8"))
    return {(page.parent / target).resolve() for target in targets}


def without_comments(block: str) -> str:
    return re.sub(r"(?m) +#.*$", "", block)
