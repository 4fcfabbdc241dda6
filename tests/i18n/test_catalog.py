import ast
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from babel.messages import pofile

import heygemd
from heygemd.config.schema import AudioLonger, AudioShorter, NotifyEvent, Quality
from heygemd.daemon.intake import left_out
from heygemd.daemon.intake.job_record import UNUSABLE
from heygemd.daemon.jobs.retry_policy import GIVEN_UP
from heygemd.errors import FOLDER_CODES, printable
from heygemd.i18n import catalog
from heygemd.protocol import Phase
from heygemd.render.analysis import OF_A_PHOTO
from heygemd.render.engines.wav2lip.checkpoint import OTHER_CHECKPOINTS
from heygemd.storage.availability import FOLDER_MISSING
from heygemd.weights.file_type import Unusable
from heygemd.weights.registry import RECOGNISED

PACKAGE = Path(heygemd.__file__).parent
SOURCES = [path for path in PACKAGE.rglob("*.py") if path != Path(catalog.__file__)]
FAULTS = {"InputError", "EngineError", "InfrastructureError", "NotReady", "WorkerLost", "DeadlineExceeded",
          "ConfigError", "Finding", "ShareError", "LocalDiskError", "NotInstalled", "HeygemdError"}  # fmt: skip
TOLD = {"Problem", "Notice"}
COMPUTED = {
    "errors.py: FOLDER_CODES[error.code]": list(FOLDER_CODES.values()),
    "retry_policy.py: code": list(GIVEN_UP.values()),
    "share_paths.py: code": ["no_permission", "held_open", "not_a_file"],
    "analysis.py: OF_A_PHOTO.get(error.code, error.code)": list(OF_A_PHOTO.values()),
    "service.py: code": ["state_not_writable", "cache_not_writable", "log_not_writable"],
    "best_effort.py: code": ["notifications_failing", "status_not_writable", "metrics_failing"],
    "availability.py: FOLDER_MISSING": [FOLDER_MISSING],
    "job_record.py: UNUSABLE[error.code]": list(UNUSABLE.values()),
    "claim.py: code": ["unexpected_error", "folder_no_permission", "folder_open"],
    "file_type.py: found": list(get_args(Unusable)),
    "registry.py: kind": list(RECOGNISED),
    "checkpoint.py: code": ["weights_code", "weights_damaged", "weights_other", *OTHER_CHECKPOINTS.values()],
    "left_out.py: reason": list(left_out.REASONS),
    "misplaced.py: code": ["loose_shortcut", "loose_archive", "loose_files"],
    "cancel.py: code": ["cancelled", "removed"],
    "inbox.py: left_out.reason_unreadable(entry.name, problem.code)": ["left_out_format", "left_out_not_media"],
    "inbox.py: code": ["media_unreadable", "file_incomplete"],
}
"""The codes that an expression, in a file, may make beside those that come with their fields from another fault."""
PASSED_ON = {
    "batch.py: problems[0].code",
    "retry_policy.py: error.code", "inbox.py: error.code", "inbox.py: reason.code", "analysis.py: code",
    "load.py: code", "landmark_smoothing.py: code", "pipeline.py: finding.code", "track.py: error.code",
    "protocol.py: error.code",
}  # fmt: skip
"""Codes that come with their fields from another fault, or from the cache."""
CARRIED = {"service.py": "disk_unavailable"}
"""Where a fault takes its fields from one of another code."""
LATE = {"name"}
"""Fields that are added where the message is shown."""
JARGON = re.compile(r"traceback|exception|codec|stderr|stdout|null|CUDA|errno|mutex|i/o", re.I)


SETTINGS = {
    f"{name}_{value}"
    for name, values in (("quality", Quality), ("audio_longer", AudioLonger), ("audio_shorter", AudioShorter))
    for value in get_args(values)
}
"""Codes that the report makes from settings."""


def read(language):
    with (catalog.LOCALE_FOLDER / f"{language}.po").open("rb") as source:
        return pofile.read_po(source, locale=language)


CATALOGUES = {language: read(language) for language in catalog.languages()}
CODES = [message.id if isinstance(message.id, str) else message.id[0] for message in CATALOGUES["en"] if message.id]


def forms(language, code):
    """The message of a code: one text, or one for each plural form."""
    words = CATALOGUES[language][code].string
    return [words] if isinstance(words, str) else list(words)


def fields(template):
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize("language", catalog.languages())
def test_every_language_has_all_messages_with_the_same_fields(language):
    catalogue = CATALOGUES[language]
    assert {m.id if isinstance(m.id, str) else m.id[0] for m in catalogue if m.id} == set(CODES)
    for code in CODES:
        words, english = forms(language, code), forms("en", code)
        several = isinstance(catalogue[code].id, tuple)
        assert several == isinstance(CATALOGUES["en"][code].id, tuple), code
        assert len(words) == (catalogue.num_plurals if several else 1), code
        for template in words:
            assert template, f"{code} has no message in {language}"
            assert fields(template) <= fields(english[-1]), code
            assert template.count("\n") == english[-1].count("\n") <= 1, code
        assert fields(words[-1]) == fields(english[-1]), code


def test_every_setting_and_phase_in_the_report_has_a_message():
    assert set(CODES) >= SETTINGS | {f"report_time_{phase}" for phase in get_args(Phase)}


def test_chinese_is_chinese():
    same = {"page_language", "page_gib", "page_named"}
    assert [c for c in CODES if c not in same and not re.search(r"[一-鿿]", forms("zh", c)[0])] == []


@pytest.mark.parametrize("language", catalog.languages())
def test_no_jargon(language):
    assert [(c, w) for c in CODES for w in forms(language, c) if JARGON.search(w)] == []


def raised():
    """(code, fields given, where) wherever a fault or what is said of a file is made."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in FAULTS | TOLD:
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                code = keywords["code"] if node.func.id in TOLD else node.args[0]
                for each in codes_of(code, path.name):
                    if node.func.id == "Problem" and each in left_out.REASONS:
                        continue  # said with the names of all such files, by `left_out.notices`
                    yield each, fields_of(node, path.name), f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"


def fields_of(call, file):
    """The names of the fields that a call gives literally, or takes from the code in CARRIED."""
    names = {keyword.arg for keyword in call.keywords}
    given = [keyword.value for keyword in call.keywords if keyword.arg in (None, "fields")] + call.args[1:]
    names |= {getattr(key, "value", None) for facts in given if isinstance(facts, ast.Dict) for key in facts.keys}
    return names | (fields(forms("en", CARRIED[file])[-1]) if None in names and file in CARRIED else set())


def codes_of(argument, file):
    """The codes that an argument may be: literals, all that fit an f-string, those of COMPUTED, none if passed on."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value]
    if isinstance(argument, ast.IfExp):
        return codes_of(argument.body, file) + codes_of(argument.orelse, file)
    if isinstance(argument, ast.JoinedStr):
        pattern = "".join(re.escape(v.value) if isinstance(v, ast.Constant) else r"\w+" for v in argument.values)
        found = [code for code in CODES if re.fullmatch(pattern, code)]
        assert found, f"no message fits {ast.unparse(argument)}"
        return found
    computed = f"{file}: {ast.unparse(argument)}"
    return [] if computed in PASSED_ON else COMPUTED[computed]


def test_a_code_that_is_computed_is_known():
    """Else its fields would not be checked."""
    with pytest.raises(KeyError):
        codes_of(ast.parse("brand_new.code", mode="eval").body, "service.py")


def test_every_fault_has_a_message_and_the_fields_that_it_needs():
    found = list(raised())
    assert len(found) > 60
    assert {code for code, _, _ in found} - set(CODES) - set(catalog.ALIASES) == set()
    short = [
        (where, code, missing)
        for code, given, where in found
        if (missing := fields(forms("en", catalog.ALIASES.get(code, code))[-1]) - given - LATE)
    ]
    assert short == []


def test_every_text_shown_by_its_code_has_the_fields_that_it_needs():
    shown = {"text", "texts", "note_file", "what_and_advice", "text_with_file_name"}
    nodes = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    calls = [node for node in nodes if getattr(node.func, "attr", "") in shown and len(node.args) > 1]
    literal = [(call, call.args[1]) for call in calls if isinstance(call.args[1], ast.Dict)]
    literal = [(call, facts) for call, facts in literal if isinstance(call.args[0], ast.Constant) and all(facts.keys)]
    assert literal
    for call, facts in literal:
        given = {getattr(key, "value", None) for key in facts.keys}
        assert fields(forms("en", call.args[0].value)[-1]) <= given, ast.unparse(call)


def test_every_message_is_used():
    sources = [p.read_text() for p in (*SOURCES, *PACKAGE.rglob("*.html"))]
    built = {code for code in CODES if code.startswith("page_")} | SETTINGS
    built |= {f"notify_{event}" for event in get_args(NotifyEvent)}
    built |= {f"report_time_{phase}" for phase in get_args(Phase)}
    assert [c for c in CODES if c not in built and not any(f'"{c}"' in s for s in sources)] == []


def test_counts_numbers_and_lists_are_formatted_for_the_language():
    assert "There are 2 audio files: a.wav and b.wav." in catalog.text(
        "too_many_audio", {"count": 2, "names": ["a.wav", "b.wav"]}
    )
    assert "interrupted 1 time while" in catalog.text("machine_stopped", {"count": 1})
    assert "2 次" in catalog.text("machine_stopped", {"count": 2}, "zh")
    assert "12.3%" in catalog.text("few_faces", {"share": 0.123})
    assert "0:12–0:14" in catalog.text("no_face_ranges", {"ranges": [[12.0, 14.2]]})
    assert catalog.text("audio_quiet", {}) == "The voice recording is very quiet."


def test_a_message_says_what_happened_and_what_to_do():
    assert catalog.what_and_advice("no_video", {}) == ("The file has no video track.", "Use a video file.")
    assert catalog.text("no_video", {}, "zh") == "文件没有视频轨。请使用视频文件。"


@pytest.mark.parametrize("language", catalog.languages())
def test_a_missing_field_leaves_no_gap(language):
    """A plug-in's error, or a record of another version."""
    needing = [code for code in CODES if fields(forms(language, code)[-1].partition("\n")[0])]
    assert len(needing) > 60
    for code in needing:
        what, advice = catalog.what_and_advice(code, {"other": 1}, language)
        assert what == f"{code} (other: 1)"
        known = [words.partition("\n")[2] for words in forms(language, code)]
        assert advice in ["" if fields(words) else words for words in known]


def test_unknown_codes_still_give_a_text():
    assert catalog.text("brand_new", {"a": 1}, "zh") == "brand_new (a: 1)"


def test_names_cannot_break_lines_or_terminals():
    said = catalog.text("shortcut", {"name": "a\nb\x1b[31m{name}"})
    assert said == printable(said)
    catalog.note_file([("shortcut", {"name": "caf\udce9"})], ("en", "zh"))


def test_another_language_is_one_file(tmp_path, monkeypatch):
    for path in catalog.LOCALE_FOLDER.glob("*.po"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    german = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "no_video"\nmsgstr "Kein Bild."\n'
    )
    (tmp_path / "de.po").write_text(german)
    monkeypatch.setattr(catalog, "LOCALE_FOLDER", tmp_path)
    catalog.languages.cache_clear()
    catalog.translations.cache_clear()
    try:
        assert catalog.languages() == ("de", "en", "zh")
        assert catalog.text("no_video", {}, "de") == "Kein Bild."
        assert "no audio track" in catalog.text("no_audio", {}, "de")
    finally:
        catalog.languages.cache_clear()
        catalog.translations.cache_clear()
