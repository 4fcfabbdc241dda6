"""What README says is so: codes, settings, files and statuses exist, its job.toml is read."""

from __future__ import annotations

import re
from pathlib import Path

from heygemd.config import job_toml
from heygemd.daemon.intake import filename_rules
from heygemd.exit_codes import Exit
from heygemd.i18n import catalog

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_message_codes_exist() -> None:
    rows = [line for line in section("What the messages mean").splitlines() if line.startswith("| `")]
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(codes) > 20
    assert all(catalog.known(code) for code in codes)


def test_job_toml_is_read_and_complete() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    settings = job_toml.load_job(text.encode())
    assert set(settings.model_dump(exclude_unset=True)) == set(job_toml.JobSettings.model_fields)


def test_exit_statuses() -> None:
    (line,) = re.findall(r"Exit status: .*?\n\n", README, re.S)
    assert {int(number) for number in re.findall(r"\b(\d+) ", line)} == {status.value for status in Exit}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def test_words_that_staff_use() -> None:
    for word in ("READY", "CANCEL", "PAUSE"):
        assert filename_rules.control(word) == word.lower()
        assert f"`{word}`" in README
    for name in ("_a", "a.part", "a.tmp", "a-wip"):
        assert filename_rules.is_a("held", name)


CHINESE = (CHECKOUT / "README.zh-CN.md").read_text("utf-8")


def shape(text: str) -> list[str]:
    """What two languages of one text must share: the order of headings, tables, lists and code."""
    kinds = {"#": "heading", "|": "row", "-": "item", "`": "code"}
    lines = [line for line in text.splitlines() if line]
    return [kinds[line[0]] + str(line.split(" ")[0].count("#")) for line in lines if line[0] in "#|"] + [
        kinds[line[0]] for line in lines if line.startswith(("- **", "```"))
    ]


def test_the_chinese_readme_is_kept_equal() -> None:
    assert shape(CHINESE) == shape(README)
    for pattern in (r"`(heygemd [a-z]+[^`]*)`", r"`(\w+_\w+)`", r"\]\(([^)]+)\)", r"`(python -m [^`]+)`"):
        english, chinese = (re.findall(pattern, text) for text in (README, CHINESE))
        assert sorted(set(english) - {"README.zh-CN.md"}) == sorted(set(chinese) - {"README.md"}), pattern
    blocks = (
        [re.sub(r"(?m) +#.*$", "", b) for b in re.findall(r"```\w*\n(.*?)```", t, re.S)] for t in (README, CHINESE)
    )
    english, chinese = (found[1:-1] for found in blocks)  # the first and the last are trees with words
    assert english == chinese
