"""
What an ended job has left: its result, made safe before its cluster goes, or an error that says who is to blame.

Its records are read by the schema that is defined once, in the drivers' ``wire`` folder; its history and the rest of
its log come home, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.history import MOST_BYTES
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import (
    AirError,
    ConfigurationError,
    ProtocolError,
    ResultLostError,
)
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.asking import refused_now
from airflow_provider_air.runs.failures import exit_code_of, failure_of_end, find_end
from airflow_provider_air.runs.keeping import Keeping
from airflow_provider_air.runs.ledger import GOOD_PHASES, SKIPPED, Attempt, keep, kept
from airflow_provider_air.runs.lines import log_entries
from airflow_provider_air.runs.plan import Collected, Plan

if TYPE_CHECKING:
    from airflow_provider_air.runs.attempts import Attempts
    from airflow_provider_air.runs.ports import Ports

RESULT_KEY = "air_result"
REST_OF_LOG_SECONDS = 45.0
RERUN_HINT = "A retry runs the job again, or resumes it where the workload can"


class Collecting:
    """What one try collects; runs in the worker."""

    def __init__(self, plan: Plan, attempts: Attempts, ports: Ports) -> None:
        self._plan = plan
        self._attempts = attempts
        self._ports = ports
        self.keeping = Keeping(plan, attempts, ports)

    def finish(self, attempt: Attempt, job: JobDetails) -> Done:
        """
        End an attempt whose job has ended, and give its result.

        :raises AirError: the job failed, or its result cannot be had
        """
        attempts, name = self._attempts, attempt.submission_id
        if not is_good(attempt, job):
            raise self.fail(attempt, job)
        if job.status is not JobStatus.SUCCEEDED:
            records = self._records_at_hand(attempt, job)
            attempt = self.keeping.ended(attempt, job, records)
            return self._skip(attempt, records, f"The job ended with the exit code {exit_code_of(job)}")
        try:
            records = self._records(attempt, job)
            attempt = self.keeping.ended(attempt, job, records)
            end = find_end(records) or {}
            if end.get("status") == "skipped":
                return self._skip(attempt, records, str(end.get("message") or ""))
            value = encoded_result_of(records, where=name) if attempt.expects_result else name
            result = self._read(attempt, value)
        except ResultLostError as error:
            attempts.end(attempt, "RESULT_LOST", Outcome("LOST", str(error)))
            raise
        self.keeping.keep(attempt, records)
        attempt = attempts.put(attempt, result_kept=self._keep_result(attempt, value))
        attempt = attempts.end(attempt, "SUCCEEDED", Outcome("SUCCEEDED", result=result), records)
        self.keeping.leave_report(attempt, value if attempt.expects_result else None)
        return Done(result, facts=self.keeping.facts(attempt))

    def or_pause(self, step: Wait | Done) -> Wait | Done:
        """
        Give the pause before the next attempt in the place of a result that is not the last one.

        :raises AirError: it is, and not what the task waits for
        """
        attempt = self._attempts.ledger.current
        if attempt is None or not isinstance(step, Done) or step.skipped is not None:
            return step
        seconds = self._plan.again(step.result)
        return step if seconds is None else attempt.wait("pause", self._ports.clock.now() + seconds)

    def collect(self, attempt: Attempt, job: JobDetails | None) -> Done | None:
        """
        Collect what has ended while nobody looked; None after a failure, where this try begins the next attempt.

        :raises ConfigurationError: it says that no retry can help
        """
        assert job is not None
        if is_good(attempt, job):
            return self.finish(attempt, job)
        failure = self.fail(attempt, job)
        if isinstance(failure, ConfigurationError):
            raise failure
        self._ports.log.warning("Its next attempt begins, since job %s has failed: %s", job.submission_id, failure)
        return None

    def _skip(self, attempt: Attempt, records: list[dict[str, Any]], why: str) -> Done:
        self.keeping.keep(attempt, records)
        self.keeping.leave_report(self._attempts.end(attempt, SKIPPED, Outcome(SKIPPED, why), records))
        return Done(None, skipped=why)

    def _read(self, attempt: Attempt, value: Any) -> Any:
        ref = attempt.cluster_ref
        try:
            return self._plan.read_result(value, Collected(ref, self._attempts.backend(ref)))
        except Exception as error:
            if isinstance(error, AirError) and not isinstance(error, ProtocolError):
                raise
            # Whatever is wrong with it will be wrong each time: only another run makes another result.
            raise ResultLostError(
                f"The job's result cannot be read: {error}", where=attempt.submission_id, hint=RERUN_HINT
            ) from error

    def _keep_result(self, attempt: Attempt, value: Any) -> bool:
        """Make the result safe before its cluster may go; one that is too large for that stays where it is."""
        told = {"submission_id": attempt.submission_id, "value": value}
        if not attempt.expects_result or len(json.dumps(told)) > MOST_BYTES:
            return False
        keep(self._ports.store, RESULT_KEY, told)
        return True

    def collect_again(self, attempt: Attempt) -> Done | None:
        """
        Give a good end once more, of which Airflow has not heard; None where it cannot be read any more.

        What whoever wrote the end down has not come to is done now.
        """
        done = self._read_again(attempt)
        if done is None:
            self._attempts.close(self._attempts.put(attempt, phase="RESULT_LOST", outcome="LOST"))
            return None
        closed = self._attempts.close(attempt, done.result)
        if closed is not attempt:
            self.keeping.leave_report(closed, (self._kept_result(attempt) or {}).get("value"))
        return done

    def close(self, attempt: Attempt, *, is_last: bool) -> None:
        """
        Do for an attempt whose end is written down what whoever wrote it may not have come to; asks no cluster for it.

        :param is_last: nobody will collect it again, so its attachments are told of a good end without its result, too
        """
        is_good_end, done = attempt.phase in GOOD_PHASES, None
        if is_good_end and not self._attempts.is_told(attempt):
            with self._ports.contained(f"The result of {attempt.submission_id} cannot be read for its attachments"):
                done = self._at_hand(attempt)
        if is_good_end and done is None and not is_last:
            self._attempts.leave(attempt)
        else:
            self._attempts.close(attempt, None if done is None else done.result)

    def _at_hand(self, attempt: Attempt) -> Done | None:
        """
        Give a good end by what is kept of it; None where its result is not.

        :raises AirError: it cannot be read
        """
        if attempt.phase == SKIPPED:
            return Done(None, skipped=attempt.message)
        if not attempt.expects_result:
            return Done(self._read(attempt, attempt.submission_id))
        told = self._kept_result(attempt)
        return None if told is None else Done(self._read(attempt, told["value"]), facts=self.keeping.facts(attempt))

    def _kept_result(self, attempt: Attempt) -> Mapping[str, Any] | None:
        told = kept(self._ports.store, RESULT_KEY) if attempt.result_kept else None
        is_its_own = isinstance(told, Mapping) and told.get("submission_id") == attempt.submission_id
        return told if is_its_own else None

    def _read_again(self, attempt: Attempt) -> Done | None:
        try:
            if (done := self._at_hand(attempt)) is not None:
                return done
            look = self._attempts.look(attempt)
            if look is not None and look.job is not None:
                records = self._records(attempt, look.job)
                return Done(self._read(attempt, encoded_result_of(records, where=attempt.submission_id)))
        except ResultLostError as error:
            self._ports.log.warning("%s", error)
        self._ports.log.warning("Job %s succeeded, but its result is gone: running it again", attempt.submission_id)
        return None

    def _records(self, attempt: Attempt, job: JobDetails) -> list[dict[str, Any]]:
        if not attempt.has_records:
            return []
        jobs = self._attempts.jobs(attempt)
        return self._attempts.patiently(lambda: jobs.records(job))

    def fail(self, attempt: Attempt, job: JobDetails) -> AirError:
        """End an attempt whose job has failed, and give the error, by its records where they can be read."""
        records = self._records_at_hand(attempt, job)
        attempt = self.keeping.ended(attempt, job, records)
        failure = self._plan.read_failure(failure_of_end("ended", job.submission_id, job, "", records))
        self.keeping.keep(attempt, records)
        outcome = Outcome(job.status.value, str(failure))
        self.keeping.leave_report(self._attempts.end(attempt, job.status.value, outcome, records))
        return failure

    def _records_at_hand(self, attempt: Attempt, job: JobDetails) -> list[dict[str, Any]]:
        """Give the records of a job that did not succeed, which is judged without them, too."""
        try:
            return self._records(attempt, job)
        except AirError as error:
            self._ports.log.warning("The records of job %s cannot be read: %s", job.submission_id, error)
            return []

    def take(self, attempt: Attempt, event: Mapping[str, Any]) -> None:
        """
        Take from the event of a job's end what people want to see of it.

        That is what only its watch has seen, and what the triggerer left of the log, which a worker shows far faster;
        conveniences.
        """
        self.keeping.take(event.get("seen"))
        offset = event.get("log_rest")
        if not isinstance(offset, int):
            return
        settings = FollowSettings(
            attempt.submission_id,
            accepted_on=attempt.accepted_on,
            unreachable_seconds=REST_OF_LOG_SECONDS,
            log_offset=offset,
            log_limit_bytes=attempt.log_limit_bytes,
        )
        with self._ports.contained(f"The rest of the log of {attempt.submission_id} cannot be shown"):
            self._ports.clock.run(self._show_log(attempt, settings))

    async def _show_log(self, attempt: Attempt, settings: FollowSettings) -> None:
        async with aclosing(self._attempts.jobs(attempt).follow(settings, self._ports.clock)) as seen_of_it:
            async for seen in seen_of_it:
                if isinstance(seen, FollowEnd):
                    return
                for entry in log_entries(seen.lines):
                    self._ports.log.info("%s", entry)

    @contextmanager
    def as_it_is_now(self) -> Iterator[None]:
        """A mistake is known before the work begins; what cannot be asked of a job that was taken may be, later on."""
        try:
            yield
        except ConfigurationError as error:
            current = self._attempts.ledger.current
            if current is not None and current.phase == "submitted":
                raise refused_now(current.submission_id, "unknown", str(error)) from error
            raise

    def kept_success(self, attempt: Attempt) -> Done | None:
        """Make the result of a job that has ended well meanwhile safe before its cluster goes; else None."""
        if not attempt.is_open:
            return None
        with self._ports.contained(f"Job {attempt.submission_id} could not be asked"):
            look = self._attempts.look(attempt)
            if look is not None and look.job is not None and is_good(attempt, look.job):
                return self.finish(attempt, look.job)
        return None


def is_good(attempt: Attempt, job: JobDetails) -> bool:
    """Whether an ended job has not failed: it succeeded, or its exit code tells of nothing to do."""
    is_skip = job.status is JobStatus.FAILED and exit_code_of(job) in attempt.skip_on_exit_code
    return job.status is JobStatus.SUCCEEDED or is_skip


def encoded_result_of(records: Sequence[dict[str, Any]], *, where: str) -> Any:
    """
    Give the value that a succeeded driver reported, as it travelled: plain JSON.

    :param where: the submission id, for the error
    :raises ResultLostError: the closing record or the result is missing or says something else
    """
    end = find_end(records)
    if end is None:
        raise ResultLostError("The job succeeded but its records end before the end", where=where, hint=RERUN_HINT)
    if end.get("status") != "succeeded":
        raise ResultLostError("The job succeeded but its records say that it failed", where=where, hint=RERUN_HINT)
    results = [record for record in records if record["kind"] == "result"]
    if not results or "value" not in results[-1]:
        raise ResultLostError("The job succeeded but reported no result", where=where, hint=RERUN_HINT)
    return results[-1]["value"]
