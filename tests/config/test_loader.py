"""Settings: the example matches the schema, all mistakes are reported at once, nothing is configured from the share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomli

from heygemd import package_data
from heygemd.config import job_toml, loader, schema
from heygemd.config.schema import Ray
from heygemd.errors import ConfigError, InputError


def uncommented() -> dict[str, Any]:
    return tomli.loads(re.sub(r"(?m)^#(\w+ = )", r"\1", package_data.example_config()))


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        loader.load(write(folder, text))
    assert raised.value.code == "config_invalid"
    found: list[str] = raised.value.fields["mistakes"]
    return found


def test_example_documents_every_key_with_its_default() -> None:
    example = uncommented()
    assert schema.Config.model_validate(example) == schema.Config()
    assert list(example) == list(schema.Config.model_fields)
    for section, table in schema.Config():
        assert list(example[section]) == [key for key in keys(table) if key != "command"], section
    assert list(example["render"]["wav2lip"]) == keys(schema.Wav2Lip())


def keys(table: Any) -> list[str]:
    """The keys of a table, plain settings before tables, as TOML requires."""
    return sorted(type(table).model_fields, key=lambda key: isinstance(getattr(table, key), schema.Section))


def test_engines_are_named_by_the_administrator_only(tmp_path: Path) -> None:
    text = '[render]\nengine = "mine"\n[render.command.mine]\nargv = ["sync", "{video}", "{audio}", "{output}"]\n'
    settings = loader.load(write(tmp_path, text))
    assert settings.render.command["mine"].argv[0] == "sync"
    assert job_toml.load_job(b'engine = "mine"', settings.render.command).engine == "mine"
    with pytest.raises(InputError) as raised:
        job_toml.load_job(b'engine = "mine"')
    assert "allowed" in str(raised.value.fields) or "'mesh', 'wav2lip'" in str(raised.value.fields)
    for job in (b'[command.mine]\nargv = ["sh"]', b"[wav2lip]\ncompat = true", b'checkpoint = "/etc/passwd"'):
        with pytest.raises(InputError):
            job_toml.load_job(job, settings.render.command)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('argv = ["sync", "{video}"]', "must contain {audio}, {output}"),
        ('argv = ["sync", "{audio}"]\noutput = "made/*.mp4"\nprogress = "("', "not a regular expression"),
        ('argv = ["sync", "{audio}"]\noutput = "made/*.mp4"\nprogress = "x"', "one group"),
        ('argv = ["sync", "{audio}", "{output}"]\nshell = true', "unknown setting"),
        ("argv = []", "at least 1 item"),
    ],
)
def test_mistakes_in_a_command(tmp_path: Path, lines: str, words: str) -> None:
    (line,) = mistakes(tmp_path, f"[render.command.mine]\n{lines}\n")
    assert words in line and line.startswith("render.command.mine")


def test_a_command_cannot_take_the_name_of_an_engine(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, '[render.command.mesh]\nargv = ["sync", "{audio}", "{output}"]\n')
    assert "ships with heygemd" in line


def test_every_key_of_the_example_has_a_comment_above() -> None:
    lines = package_data.example_config().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#\w+ = ", line):
            above = next(text for text in reversed(lines[:number]) if not re.match(r"#\w+ = ", text))
            assert above.startswith("# "), line


def test_example_as_shipped_changes_nothing(tmp_path: Path) -> None:
    assert loader.load(write(tmp_path, package_data.example_config())) == schema.Config()


def test_all_mistakes_are_reported_at_once_with_help(tmp_path: Path) -> None:
    text = """
    [render]
    engine = "mash"
    crf = 99
    qualty = "high"
    [inbox]
    poll_s = 0
    [pathes]
    share = "/x"
    """
    found = mistakes(tmp_path, text)
    assert len(found) == 5, found
    by_key = {line.split(":")[0].split(" = ")[0]: line for line in found}
    assert "did you mean 'mesh'" in by_key["render.engine"]
    assert "less than or equal to 40" in by_key["render.crf"]
    assert "did you mean 'quality'" in by_key["render.qualty"]
    assert "allowed: command, engine, tracker" in by_key["render.qualty"]
    assert "greater than 0" in by_key["inbox.poll_s"]
    assert "did you mean 'paths'" in by_key["pathes"]


def test_allowed_values_are_named(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, '[render]\naudio_longer = "bounce"\n')
    for value in ("pingpong", "loop", "hold", "trim"):
        assert value in line


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, "[render]\ncrf = \n")
    assert "line 2" in line


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[render]\r\ncrf = 20\r\n")
    assert loader.load(path).render.crf == 20


@pytest.mark.parametrize("key", ["state", "cache", "log", "models"])
def test_local_folders_must_be_outside_the_share(tmp_path: Path, key: str) -> None:
    (line,) = mistakes(tmp_path, f'[paths]\nshare = "{tmp_path}/share"\n{key} = "{tmp_path}/share/x"\n')
    assert line.startswith(f"paths.{key}:")


def test_a_configuration_inside_the_share_is_refused(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, f'[paths]\nshare = "{tmp_path}"\n')
    assert "config.toml: must lie outside the share" in line


def test_missing_file_is_not_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loader.load(tmp_path / "nowhere.toml")
    assert raised.value.code == "config_missing"


def test_effective_settings_name_their_origin(tmp_path: Path) -> None:
    path = write(tmp_path, "[render]\ncrf = 20\n")
    rows = {key: (value, origin) for key, value, origin in loader.effective(loader.load(path), path)}
    assert rows["render.crf"] == (20, str(path))
    assert rows["render.preset"] == ("superfast", "default")
    assert rows["render.wav2lip.lead_ms"] == (40, "default")
    plain = sum(len(type(table).model_fields) for _, table in schema.Config()) - len(
        ("command", "wav2lip", "templates", "ray")
    )
    assert len(rows) == plain + len(schema.Wav2Lip.model_fields) + len(Ray.model_fields)


def test_config_for_sets_the_paths_and_nothing_else(tmp_path: Path) -> None:
    share = tmp_path / 'a "quoted" \\ share'
    loaded = loader.load(write(tmp_path, package_data.config_for(share=share, cache=tmp_path / "缓存")))
    assert loaded.paths == schema.Paths(share=share, cache=tmp_path / "缓存")
    assert loaded.model_copy(update={"paths": schema.Paths()}) == schema.Config()


def test_the_executor_ray_needs_the_package_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.config.schema.find_spec", lambda _: None)
    (line,) = mistakes(tmp_path, '[work]\nexecutor = "ray"\n')
    assert "pip install 'heygemd[ray]'" in line


def test_a_numbered_gpu_conflicts_with_per_gpu_workers(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, '[work]\nworkers = "per-gpu"\n[render]\ndevice = "cuda:1"\n')
    assert line.startswith("render.device")
