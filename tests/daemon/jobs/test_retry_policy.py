import pytest

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import Attempts
from heygemd.daemon.jobs import retry_policy
from heygemd.errors import InfrastructureError, InputError, NotInstalled, NotReady
from heygemd.job import Job, Media, Video


@pytest.fixture
def job():
    shown = Video(source=Media(name="a.mp4", size=3, mtime_ns=4), output="a.mp4", attempts=1)
    return Job(id="1", name="j", arrived=1.0, folder="j", voice=Media(name="v", size=1, mtime_ns=2), videos=[shown])


@pytest.mark.parametrize("code", ["held_open", "no_permission"])
def test_a_file_that_somebody_holds_is_tried_again_and_costs_no_attempt(job, code):
    with pytest.raises(NotReady):
        retry_policy.conclude(Attempts(), job, job.videos[0], NotReady(code))
    assert (job.videos[0].state, job.videos[0].attempts) == ("waiting", 0)


@pytest.mark.parametrize("error", [NotReady("changed_after_claim"), FileNotFoundError("a.mp4"), InputError("no_face")])
def test_a_file_that_is_wrong_fails_its_video(job, error):
    retry_policy.conclude(Attempts(), job, job.videos[0], error)
    assert job.videos[0].state == "failed"
    assert job.videos[0].problem.code == ("no_face" if isinstance(error, InputError) else "file_changed")


def test_what_is_not_installed_pauses_the_queue_and_costs_no_attempt(job):
    with pytest.raises(NotInstalled):
        retry_policy.conclude(Attempts(), job, job.videos[0], NotInstalled("wav2lip_missing", fix=""))
    assert (job.videos[0].state, job.videos[0].attempts) == ("waiting", 0)


def test_what_only_this_folder_asked_for_lets_the_others_go_on(job):
    job.settings = JobSettings(engine="wav2lip")
    with pytest.raises(NotReady, match="wav2lip_missing"):
        retry_policy.conclude(Attempts(), job, job.videos[0], NotInstalled("wav2lip_missing", fix=""))
    with pytest.raises(InfrastructureError, match="scratch_low"):
        retry_policy.conclude(Attempts(), job, job.videos[0], InfrastructureError("scratch_low"))
    assert (job.videos[0].state, job.videos[0].attempts) == ("waiting", 0)
