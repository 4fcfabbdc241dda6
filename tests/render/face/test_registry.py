from pathlib import Path

import pytest

from heygemd.errors import EngineError, NotInstalled
from heygemd.render.face.registry import create_tracker


def test_tracker_names(tmp_path: Path) -> None:
    assert create_tracker("auto", tmp_path).name == create_tracker("facemesh", tmp_path).name == "facemesh"
    create_tracker("auto", tmp_path).check()
    with pytest.raises(EngineError, match="tracker_unknown"):
        create_tracker("dlib", tmp_path)
    with pytest.raises(NotInstalled) as missing:
        create_tracker("face-alignment", tmp_path).check()
    assert missing.value.code == "tracker_weights_missing" and len(missing.value.fields["files"]) == 2
