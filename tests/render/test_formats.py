"""A container or codec of each family, rendered and measured; `make formats` does all of them."""

import pytest

from tests import formats

QUICK = [
    "video mp4 H.264, 10 bit", "video webm VP9, transparent", "video m2ts H.264",
    "voice wav 10 channels, voice on one", "voice amr AMR, 12.2 kbit/s",
]  # fmt: skip
IN_CI = [
    "video mov ProRes 4444, transparent", "video gif GIF", "video mxf MPEG-2", "video mp4 H.265, HLG",
    "voice wav stereo, one cable reversed", "voice caf ALAC", "voice weba Opus",
]  # fmt: skip
ROWS = {row.name: row for row in formats.ROWS}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> formats.Studio:
    return formats.Studio(tmp_path_factory.mktemp("formats"))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in IN_CI)])
def test_a_format_is_rendered_in_time_and_in_its_colours(studio: formats.Studio, name: str) -> None:
    outcome = studio.run(ROWS[name])
    assert outcome.wrong == [] and outcome.rendered and outcome.complete


def test_the_page_shows_every_row_and_all_are_right() -> None:
    table = [line for line in formats.PAGE.read_text("utf-8").splitlines() if line.startswith(("| video", "| voice"))]
    shown = [" ".join(cell.strip() for cell in line.split("|")[1:4]) for line in table]
    assert shown == list(ROWS) and len(ROWS) == len(formats.ROWS) >= 60
    assert all(line.split("|")[5].strip() == line.split("|")[6].strip() == "yes" for line in table)


def test_the_chinese_page_shows_the_same_rows() -> None:
    table = [line for line in formats.PAGE.read_text("utf-8").splitlines() if line.startswith(("| video", "| voice"))]
    assert formats.CHINESE_PAGE.read_text("utf-8") == formats.pages(table)[formats.CHINESE_PAGE]
