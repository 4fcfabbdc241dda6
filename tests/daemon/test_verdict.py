import pytest

from heygemd.config import Attempts
from heygemd.daemon import verdict
from heygemd.errors import InputError, NotReady
from heygemd.job import Job, Media, Video


@pytest.fixture
def job():
    shown = Video(source=Media(name="a.mp4", size=3, mtime_ns=4), output="a.mp4", attempts=1)
    return Job(id="1", name="j", arrived=1.0, folder="j", voice=Media(name="v", size=1, mtime_ns=2), videos=[shown])


@pytest.mark.parametrize("code", ["held_open", "no_permission"])
def test_a_file_that_somebody_holds_is_tried_again_and_costs_no_attempt(job, code):
    with pytest.raises(NotReady):
        verdict.conclude(Attempts(), job, job.videos[0], NotReady(code))
    assert (job.videos[0].state, job.videos[0].attempts) == ("waiting", 0)


@pytest.mark.parametrize("error", [NotReady("changed_after_claim"), FileNotFoundError("a.mp4"), InputError("no_face")])
def test_a_file_that_is_wrong_fails_its_video(job, error):
    verdict.conclude(Attempts(), job, job.videos[0], error)
    assert job.videos[0].state == "failed"
