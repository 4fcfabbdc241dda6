import re
from pathlib import Path
from string import Formatter

import pytest

from heygemd import messages, screen

PACKAGE = Path(messages.__file__).parent


@pytest.mark.parametrize("code", messages.WORDS)
def test_both_languages_say_something_about_the_same_facts(code):
    english, chinese = messages.WORDS[code]
    facts = [{n for _, n, _, _ in Formatter().parse(t) if n} for t in (english, chinese)]
    assert facts[0] == facts[1]
    assert re.search(r"[一-鿿]", chinese)
    assert "Traceback" not in english


def codes_raised() -> set[str]:
    pattern = re.compile(
        r'(?:InputError|EngineError|InfrastructureError|NotReady|WorkerLost|DeadlineExceeded|Finding)\(\s*"(\w+)"'
    )
    return {c for p in PACKAGE.rglob("*.py") for c in pattern.findall(p.read_text())}


def test_every_code_that_is_raised_has_words():
    assert codes_raised() - set(messages.WORDS) - set(screen.ADMIN_WORDS) == set()


def test_no_words_are_left_over():
    sources = [p.read_text() for p in PACKAGE.rglob("*.py") if p.name != "messages.py"]
    assert [code for code in messages.WORDS if not any(f'"{code}"' in s for s in sources)] == []


def test_missing_facts_and_unknown_codes_still_say_something():
    assert "?" in messages.text("file_too_big", {})
    assert messages.text("brand_new", {"a": 1}, "zh") == "brand_new (a: 1)"


def test_names_cannot_break_lines_or_terminals():
    assert "\n" not in messages.text("shortcut", {"name": "a\nb\x1b[31m"})
    messages.note("shortcut", {"name": "caf\udce9"}, ("en", "zh"))


def test_spans_read_as_times():
    assert "0:12–0:14" in messages.text("no_face_ranges", {"ranges": [[12.0, 14.2]]})
