from heygemd.storage import share_layout


def test_create_is_safe_to_repeat(tmp_path):
    assert share_layout.create(tmp_path / "s")
    marker = (tmp_path / "s" / share_layout.MARKER).read_bytes()
    assert share_layout.create(tmp_path / "s") == []
    assert (tmp_path / "s" / share_layout.MARKER).read_bytes() == marker
