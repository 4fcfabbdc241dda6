from heygemd.storage import heartbeat, share_layout
from heygemd.storage.heartbeat import GONE_AFTER, Heartbeat, _beat, parse
from heygemd.storage.share_layout import MARKER


def test_two_daemons_see_each_other_and_a_dead_one_is_forgotten(tmp_path):
    share_layout.create(tmp_path)
    first_line = (tmp_path / MARKER).read_text().splitlines()[0]
    mine = Heartbeat(tmp_path, None, "a")

    def turn(other):
        if other:
            _beat(tmp_path, "b", set())
        mine._look(_beat(tmp_path, "a", mine._ended()))
        return bool(mine.other)

    assert [turn(True), turn(True)] == [False, True], "the first beat may be of one that has ended"
    assert [turn(False) for _ in range(GONE_AFTER)] == [True] * (GONE_AFTER - 1) + [False]
    turn(False)
    assert list(heartbeat.read(tmp_path)) == ["a"]
    assert (tmp_path / MARKER).read_text().splitlines()[0] == first_line


def test_garbage_in_the_marker_is_no_beat():
    assert parse(b"") == parse(b"id\n\xff\n \n  x\na b\n") == {}
    assert parse(b"id\na b \x1b[2Jhost\n")["a"].host == "\\x1b[2Jhost"


def test_the_marker_is_never_made(tmp_path):
    try:
        _beat(tmp_path, "a", set())
    except FileNotFoundError:
        assert not list(tmp_path.iterdir())
    else:
        raise AssertionError("a share that is not mounted has no marker")
