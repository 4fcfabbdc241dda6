from heygemd.weights import bundled


def test_shipped_files_are_sound() -> None:
    for name in bundled.SHA256:
        assert bundled.asset(name).is_file()
