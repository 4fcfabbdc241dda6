from heygemd.config.schema import InboxSettings
from heygemd.daemon.intake import filename_rules
from heygemd.daemon.intake.settle import WatchedFolder, settle_s
from heygemd.daemon.queue_state import PendingFolder
from heygemd.storage.mounts import Mount
from heygemd.storage.share_fs import Entry, Folder


def scan(size):
    return Folder("j", (Entry("a.mp4", "file", size, size),), 1)


def test_any_change_of_a_member_restarts_the_clock():
    folder = WatchedFolder(PendingFolder("j", 0), 100.0)
    folder.observe(scan(1), 100.0)
    folder.observe(scan(1), 110.0)
    assert folder.unchanged_s(112.0) == 12.0
    sorted_once = folder.members
    folder.observe(scan(1), 112.0)
    assert folder.members is sorted_once
    folder.observe(scan(2), 113.0)
    assert folder.unchanged_s(113.0) == 0.0
    assert folder.pending.state == "copying"


def test_the_kind_of_mount_picks_the_time():
    inbox = InboxSettings()
    assert settle_s(inbox, None) == inbox.settle_local_s
    assert settle_s(inbox, Mount(1, True, False, 0)) == inbox.settle_network_s
    assert settle_s(inbox, Mount(1, True, True, 0)) == inbox.settle_nfs_cached_s


def test_a_copy_under_way_holds_the_folder_back_until_it_is_junk_or_users_say_ready():
    inbox = InboxSettings(settle_zero_tail_s=100, incomplete_fail_after_h=1)
    entries = (Entry(".zoe.mp4.CzpYz0", "file", 9, 9), Entry("READY", "file", 0, 9))
    folder = WatchedFolder(PendingFolder("j", 0), 0.0)

    def said_at(now, *seen):
        folder.observe(Folder("j", seen, 1), 0.0)
        return folder.is_settled(False, 15, inbox, now) or (folder.pending.reason.code, folder.pending.reason.fields)

    assert said_at(50.0, entries[0]) == ("still_copying", {"name": "zoe.mp4"})
    assert said_at(150.0, entries[0]) == ("copy_stopped", {"name": "zoe.mp4"})
    assert said_at(3601.0, entries[0]) is True
    assert said_at(0.0, *entries) is True


def test_hidden_files_count_only_when_they_grow():
    folder = WatchedFolder(PendingFolder("j", 0), 100.0)
    for now, size in ((100.0, 1), (110.0, 1), (120.0, 2)):
        junk = Entry(".goutputstream-1", "file", size, int(now)), Entry(".DS_Store", "file", int(now), 1)
        folder.observe(Folder("j", junk, 1), now)
        assert folder.since == (120.0 if size == 2 else 100.0)


def test_many_unfinished_copies_are_looked_at_a_few_times_each(monkeypatch):
    """Each of them asked anew whether the folder is a batch, which looks at all: a full folder took minutes a scan."""
    copies = tuple(Entry(f"{n % 9}/{n}.wav.part", "file", 1, 1) for n in range(300))
    folder, looks = WatchedFolder(PendingFolder("j", 0), 0.0), []
    copied_as = filename_rules.copied_as
    monkeypatch.setattr(filename_rules, "copied_as", lambda name: looks.append(name) or copied_as(name))
    folder.observe(Folder("j", copies, 1), 0.0)
    assert not folder.is_settled(False, 15, InboxSettings(), 100.0)
    assert len(looks) < 5 * len(copies)
