from heygemd.config.schema import InboxSettings
from heygemd.daemon.intake import classify
from heygemd.daemon.intake.settle import WatchedFolder, settle_s
from heygemd.daemon.queue_state import PendingFolder
from heygemd.storage.mounts import Mount
from heygemd.storage.share_fs import Entry, Folder


def scan(size):
    return classify.sort_members(Folder("j", (Entry("a.mp4", "file", size, size),), 1))


def test_any_change_of_a_member_restarts_the_clock():
    folder = WatchedFolder(PendingFolder("j", 0), 100.0)
    folder.observe(scan(1), 100.0)
    folder.observe(scan(1), 110.0)
    assert folder.unchanged_s(112.0) == 12.0
    folder.observe(scan(2), 113.0)
    assert folder.unchanged_s(113.0) == 0.0
    assert folder.pending.state == "copying"


def test_the_kind_of_mount_picks_the_time():
    inbox = InboxSettings()
    assert settle_s(inbox, None) == inbox.settle_local_s
    assert settle_s(inbox, Mount(1, True, False, 0)) == inbox.settle_network_s
    assert settle_s(inbox, Mount(1, True, True, 0)) == inbox.settle_nfs_cached_s
