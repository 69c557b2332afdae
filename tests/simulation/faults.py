"""
Faults that this package had, or could have: put back into the engine one at a time, each must break a rule.

Each is a context manager that patches the engine, or what it trusts, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.jobs import JobLook
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.runs.attempts import EARLIER, Attempts
from airflow_provider_air.runs.ends import Collecting
from airflow_provider_air.runs.killing import Kill
from airflow_provider_air.runs.ledger import Attempt, Ledger
from airflow_provider_air.runs.plan import Try
from airflow_provider_air.runs.run import Run
from airflow_provider_air.runs.sending import Sending
from airflow_provider_air.runs.settling import Settling
from airflow_provider_air.runs.stopping import Stopping
from airflow_provider_air.runs.watch import Watch
from tests.simulation.airflow import AirflowAwayError
from tests.simulation.engine import RealEngine
from tests.simulation.history import Shape
from tests.simulation.remote import Cluster, SimJobs


@contextmanager
def a_dead_trigger_stops_the_job() -> Iterator[None]:
    """Whatever killed the trigger, and however many tries are left, its job is stopped."""

    def trigger_failed(self: Run) -> Any:
        attempt = self._attempts.ledger.current
        if attempt is not None and attempt.is_open:
            self._attempts.stop_for_good(attempt, Outcome("STOPPED", "The trigger ended"))
        return None

    with patch.object(Run, "trigger_failed", trigger_failed):
        yield


@contextmanager
def a_clear_of_another_task_counts() -> Iterator[None]:
    """The run's clear number decides what a clear is."""
    right = Attempts.open_try

    def open_try(self: Attempts, this: Try, **more: Any) -> None:
        worker: Any = self._ports.store
        right(self, replace(this, max_tries=this.max_tries + 100 * worker.world.airflow.sibling_clears), **more)

    with patch.object(Attempts, "open_try", open_try):
        yield


@contextmanager
def a_strangers_404_is_believed() -> Iterator[None]:
    """What a gateway says of a job counts as Ray's word; and known jobs are no strays."""
    answer, look, strays = Cluster.answer, SimJobs._look, SimJobs._alive

    def answers(self: Cluster) -> None:
        until, self.strange_until = self.strange_until, 0.0
        try:
            answer(self)
        finally:
            self.strange_until = until

    def looks(cluster: Cluster, submission_id: str) -> JobLook:
        strange = cluster.strange_until > cluster.world.kernel.now
        return JobLook(None, cluster.incarnation) if strange else look(cluster, submission_id)

    def seen(self: SimJobs, cluster: Cluster, following: Any) -> Any:
        if cluster.strange_until > cluster.world.kernel.now:
            return None, [], [], False, cluster.incarnation
        return follows(self, cluster, following)

    def none_of_ours(cluster: Cluster) -> Any:
        return [job for job in strays(cluster) if not cluster.world.rules.attempts().get(job.submission_id)]

    follows = SimJobs._seen
    with ExitStack() as stack:
        stack.enter_context(patch.object(Cluster, "answer", answers))
        stack.enter_context(patch.object(SimJobs, "_look", staticmethod(looks)))
        stack.enter_context(patch.object(SimJobs, "_seen", seen))
        stack.enter_context(patch.object(SimJobs, "_alive", staticmethod(none_of_ours)))
        yield


@contextmanager
def a_cluster_that_is_gone_forbids_all() -> Iterator[None]:
    """What was left on a cluster that cannot be asked must be settled first, also after a clear."""

    def end_earlier(self: Run, attempt: Any) -> None:
        self._attempts.stop(attempt, EARLIER)

    with patch.object(Settling, "_end_earlier", end_earlier):
        yield


@contextmanager
def a_job_is_built_to_be_collected() -> Iterator[None]:
    """The code and the cluster's definition are needed where the job has run already."""
    right = Collecting.finish

    def finish(self: Collecting, attempt: Any, job: Any) -> Any:
        self._plan.target()
        self._plan.build(None)  # type: ignore[arg-type]
        return right(self, attempt, job)

    with patch.object(Collecting, "finish", finish):
        yield


@contextmanager
def a_result_is_not_kept() -> Iterator[None]:
    """It is left where the job ran until Airflow has it."""
    with patch.object(Collecting, "_keep_result", lambda self, attempt, value: False):
        yield


@contextmanager
def a_failed_start_leaves_its_cluster() -> Iterator[None]:
    """Only what has run is cleaned up after."""
    right = Attempts.leave

    def leave(self: Attempts, attempt: Any) -> Any:
        return right(self, attempt) if attempt.is_sent and attempt.phase == "SUCCEEDED" else attempt

    with patch.object(Attempts, "leave", leave):
        yield


@contextmanager
def a_starting_cluster_has_no_deadline() -> Iterator[None]:
    """The task's time does not count while its cluster starts."""
    with patch.object(Attempt, "starts_until", property(lambda attempt: attempt.cluster_until)):
        yield


@contextmanager
def the_last_try_leaves_its_job() -> Iterator[None]:
    """An error ends the try, and nothing else."""
    with patch.object(Run, "_stop_all", lambda self, outcome: None):
        yield


@contextmanager
def a_kill_is_lost_in_doubt() -> Iterator[None]:
    """Where Airflow does not say whether it was a person, nothing is stopped."""

    async def watch_kill(self: RealEngine, run: Any) -> None:
        if run.state() != "deferred":
            await (run.watch or self.open_watch(run)).kill()

    with patch.object(RealEngine, "watch_kill", watch_kill):
        yield


@contextmanager
def nobodys_kill_counts() -> Iterator[None]:
    """A signal handler leaves all to the next try, also where a person has stopped the task."""
    with patch.object(RealEngine, "is_wanted", staticmethod(lambda worker: False)):
        yield


@contextmanager
def a_kill_while_airflow_is_away_counts() -> Iterator[None]:
    """Who gets no answer takes the kill for a person's."""
    right = RealEngine.is_wanted

    def is_wanted(worker: Any) -> bool:
        return right(worker) or worker.told_state is None

    with patch.object(RealEngine, "is_wanted", staticmethod(is_wanted)):
        yield


@contextmanager
def a_frozen_workers_kill_counts() -> Iterator[None]:
    """Any answer is taken for a person's act: also that another try has the task by now."""

    def is_wanted(worker: Any) -> bool:
        try:
            worker.state()
        except AirflowAwayError:
            return False
        return True

    with patch.object(RealEngine, "is_wanted", staticmethod(is_wanted)):
        yield


@contextmanager
def the_last_try_asks_too() -> Iterator[None]:
    """Where no person has stopped it, its job is left to a try that never comes."""
    right = Kill.__init__

    def init(self: Kill, *ports: Any, has_next: bool) -> None:
        right(self, *ports, has_next=True)

    with patch.object(Kill, "__init__", init):
        yield


@contextmanager
def an_adopting_try_counts_anew() -> Iterator[None]:
    """Who adopts a job shows a deadline that the job does not know of."""
    right = Settling._adopted

    def adopted(self: Settling, attempt: Any, job: Any, look: Any) -> Any:
        if attempt.deadline is not None:
            given = attempt.deadline - attempt.steps["intended"]
            attempt = self._attempts.put(attempt, deadline=self._ports.clock.now() + given)
        return right(self, attempt, job, look)

    with patch.object(Settling, "_adopted", adopted):
        yield


# Not of the review


@contextmanager
def silence_means_gone() -> Iterator[None]:
    """A cluster that does not answer has lost the job."""
    right = Attempts.look

    def look(self: Attempts, attempt: Any, *more: Any) -> Any:
        try:
            return right(self, attempt, *more)
        except UnavailableError:
            return None

    with patch.object(Attempts, "look", look):
        yield


@contextmanager
def sent_before_it_is_written_down() -> Iterator[None]:
    """The ledger hears of a submission once there was a reply."""
    right = Attempts.put

    def put(self: Attempts, attempt: Any, **changes: Any) -> Any:
        return right(self, attempt, **{k: v for k, v in changes.items() if k != "steps" or "sent" not in v})

    with patch.object(Attempts, "put", put):
        yield


@contextmanager
def a_lost_reply_is_a_failure() -> Iterator[None]:
    """What was not confirmed is taken for not sent: the attempt ends, and the next one has another id."""

    def submit(self: Sending, attempt: Any, prepared: Any) -> Any:
        try:
            return self._attempts.jobs(attempt).submit(prepared)
        except AirError:
            self._attempts.end(attempt, "FAILED", Outcome("FAILED", "not submitted"))
            raise

    with patch.object(Sending, "_submit", submit), patch.object(Attempts, "stop_strays", lambda self, attempt: None):
        yield


@contextmanager
def shown_lines_are_forgotten() -> Iterator[None]:
    """A triggerer that shuts down does not say how far it came."""

    async def cleanup(self: Watch) -> None:
        pass

    with patch.object(Watch, "cleanup", cleanup):
        yield


@contextmanager
def losses_are_not_told() -> Iterator[None]:
    """Attachments hear of successes and failures only."""
    right = Attempts.tell

    def tell(self: Attempts, attempt: Any, outcome: Any, *more: Any) -> Any:
        return attempt if outcome.status in ("LOST", "STOPPED") else right(self, attempt, outcome, *more)

    with patch.object(Attempts, "tell", tell):
        yield


@contextmanager
def a_clear_is_a_retry() -> Iterator[None]:
    """What a person cleared is given the result that there is."""
    right = Ledger.open_try

    def open_try(self: Ledger, this: Try, **more: Any) -> Ledger:
        return right(self, replace(this, max_tries=self.max_tries or this.max_tries, clear_number=None), **more)

    with patch.object(Ledger, "open_try", open_try):
        yield


@contextmanager
def a_clear_is_told_by_max_tries_alone() -> Iterator[None]:
    """Retries that were edited so that a clear leaves ``max_tries`` as it was hide the clear."""
    right = Try.is_cleared_since

    def is_cleared_since(self: Try, numbers: Mapping[str, Any]) -> bool:
        return right(replace(self, clear_number=None), numbers)

    with patch.object(Try, "is_cleared_since", is_cleared_since):
        yield


@contextmanager
def a_kill_keeps_the_cluster() -> Iterator[None]:
    """Only the job is stopped."""

    async def stop(self: Stopping, *, is_taken: bool = False) -> None:
        if self._attempt.ref is not None and self._what == "end":
            await self._stop()

    with patch.object(Stopping, "stop", stop):
        yield


@contextmanager
def whoever_has_the_id_is_ours() -> Iterator[None]:
    """A job of the id that the author chose is taken for the task's own."""
    with patch.object(Attempt, "is_strangers", lambda self, metadata: False):
        yield


@contextmanager
def kept_clusters_add_up() -> Iterator[None]:
    """A cluster that was kept for people is nobody's any more."""
    with patch.object(Attempts, "release_kept", lambda self: None):
        yield


@contextmanager
def what_is_not_waited_for_is_forgotten() -> Iterator[None]:
    """A job that was only submitted has ended for its task."""
    with patch.object(Attempt, "is_open", property(lambda self: self.phase in ("intended", "submitted"))):
        yield


@dataclass(frozen=True)
class Found:
    """
    How a fault shows.

    :param breaks: how what it breaks begins, one of these
    :param focus: events that make it likely
    :param asked: what the author has to ask for, as the fields of a shape; nobody else meets it
    """

    put_back: Callable[[], AbstractContextManager[None]]
    breaks: tuple[str, ...]
    focus: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)

    def concerns(self, shape: Shape) -> bool:
        """Whether an author of this shape can meet it."""
        return all(getattr(shape, name) == value for name, value in self.asked.items())


OF_THE_REVIEW = {
    "A2 a dead trigger stops the job": Found(a_dead_trigger_stops_the_job, ("9 a live job",), ("break trigger",)),
    "A3 a clear of another task counts": Found(
        a_clear_of_another_task_counts, ("9 a live job", "2 a succeeded"), ("clear sibling", "kill")
    ),
    "A4 a stranger's 404 is believed": Found(a_strangers_404_is_believed, ("1 ",), ("gateway",)),
    "A5 a cluster that is gone forbids all": Found(a_cluster_that_is_gone_forbids_all, ("8 ",), ("move",)),
    "A6 a job is built to be collected": Found(
        a_job_is_built_to_be_collected, ("2 a success was thrown away", "9 a live job"), ("edit:broken", "kill")
    ),
    "A7 a result is not kept before its cluster goes": Found(a_result_is_not_kept, ("3 a cluster was deleted",)),
    "A8 a failed start leaves its cluster": Found(a_failed_start_leaves_its_cluster, ("5 the task's own cluster",)),
    "A10 a starting cluster has no deadline": Found(a_starting_cluster_has_no_deadline, ("7 the execution_timeout",)),
    "A14 the last try leaves its job": Found(the_last_try_leaves_its_job, ("5 a job runs on",), ("break trigger",)),
    "A15 a kill is lost in doubt": Found(a_kill_is_lost_in_doubt, ("5 ",), ("airflow away", "mark")),
    "A15 a worker's kill is lost": Found(nobodys_kill_counts, ("5 a job runs on",), ("mark",)),
    "A15 a kill while Airflow is away counts": Found(
        a_kill_while_airflow_is_away_counts, ("9 a live job",), ("airflow away",)
    ),
    "A15 a frozen worker's kill counts": Found(a_frozen_workers_kill_counts, ("9 a live job",), ("freeze",)),
    "A15 the last try asks, too": Found(the_last_try_asks_too, ("5 a job runs on",), ("airflow away",)),
    "A17 an adopting try counts anew": Found(an_adopting_try_counts_anew, ("9 a job ended itself",), ("kill",)),
}
OURS = {
    "silence means gone": Found(silence_means_gone, ("1 ", "2 "), ("outage", "kill")),
    "sent before it is written down": Found(sent_before_it_is_written_down, ("1 ", "9 ")),
    "a lost reply is a failure": Found(a_lost_reply_is_a_failure, ("1 ", "2 "), ("lose message",)),
    "shown lines are forgotten": Found(shown_lines_are_forgotten, ("4 ",), ("restart triggerer",)),
    "losses are not told": Found(losses_are_not_told, ("6 ",)),
    "a clear is a retry": Found(a_clear_is_a_retry, ("3 a cleared",), ("clear",)),
    "a clear is told by max_tries alone": Found(
        a_clear_is_told_by_max_tries_alone, ("3 a cleared",), ("clear", "edit")
    ),
    "whoever has the id is ours": Found(whoever_has_the_id_is_ours, ("9 somebody else's", "3 "), ("others' job",)),
    "kept clusters add up": Found(
        kept_clusters_add_up, ("5 the task's own cluster",), asked={"keep_cluster": "on_failure"}
    ),
    "what is not waited for is forgotten": Found(
        what_is_not_waited_for_is_forgotten, ("1 ", "2 "), ("clear",), {"wait": False}
    ),
    "a kill keeps the cluster": Found(a_kill_keeps_the_cluster, ("5 the task's own cluster",), ("mark",)),
}
