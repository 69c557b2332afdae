"""
What must hold, whatever happens. The exceptions are stated where they are made: they are the promise's small print.

1. *One live job.* When a cluster takes a job of the task, each other live job of it has been sent a stop (it is dying,
   or PENDING and cannot be stopped: Ray's own limit) or is recorded ABANDONED, or one of the two was submitted by a
   process to which Airflow no longer listens (it was frozen, and nobody can fence it).
2. *Side effects.* An entrypoint starts at most as often as clusters accepted its attempt; what a cluster took knowingly
   is not sent again under the same id; and no attempt is sent while an earlier one of the same generation has succeeded
   with a result that can still be had. The last try does not fail beside such a success.
3. *Results.* What a successful task returns is what a succeeded job of this very generation reported; the ledger says
   so, and has it before the cluster goes. Where the task does not wait, it is the id of a job that a cluster took.
4. *Log.* In one try, the lines of one job begin at its first and have no gap; they repeat only after a watcher was
   killed or doubled, from an earlier point, once each time.
5. *Nothing is left.* Minutes after the task's end no job of it runs without a stop having reached it, and no cluster of
   its own lives, unless that is recorded (ABANDONED, stop-pending; DETACHED after a success; kept, because the last
   attempt failed), or Airflow gave nobody a chance to run to its end: a lost worker with no try left, a mark while no
   process ran or the remote side was silent. Clusters have an expiry.
6. *Attachments.* Each attempt that an attachment knows of is told its end, or the ledger says that it is not; with the
   same exception, and but for one whose maker died before it could write it down.
7. *An end is reached*, and within ``execution_timeout``.
8. *A try fails for a reason*: something went wrong within it that no patience helps against. So a clear runs again.
   One such thing is a deletion that was on its way when its process was frozen: clusters are named, not fenced.
9. *A stop has a cause*: a person, a deadline, a newer generation, a newer attempt, no try left; and the job goes by the
   same deadline as its task. Others' jobs are never stopped.
10. *No bugs*: what comes out of the engine is an AirError; its signal handler asks nothing of Airflow.
"""

from __future__ import annotations

import itertools
import math
import re
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_air.errors import DeadlineExceededError
from airflow_provider_air.runs.attached import NOT_YET
from airflow_provider_air.runs.ledger import DETACHED
from airflow_provider_air.runs.watch import AGAIN
from tests.simulation.airflow import FINAL, AirflowAwayError, Worker
from tests.simulation.remote import FOR_EVER

if TYPE_CHECKING:
    from tests.simulation.remote import Cluster, Job, TrackerRun
    from tests.simulation.world import World

DOUBLED = 1000
LEDGER_KEY = "air_ledger"
CUT_OFF = "a host was cut off"
GRACE_SECONDS = 300.0
LINE = re.compile(r"^([0-9a-f]{8}):(\d+)\s*$")


@dataclass
class Rules:
    """Judges a run while it goes on, and at its end."""

    world: World
    violations: list[str] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    accepts: dict[str, int] = field(default_factory=dict)

    def broken(self, what: str) -> None:
        """Note that a rule does not hold."""
        self.world.kernel.note("RULE", what.replace("%", "%%"))
        if what not in self.violations:
            self.violations.append(what)

    def bug(self, error: BaseException) -> None:
        """Note what should never come out of the engine."""
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames)), "?")
        self.broken(f"10 bug: {error!r} at {place}"[:400])

    # What the ledger says

    def attempts(self) -> dict[str, dict[str, Any]]:
        """Give the stored attempts by their ids."""
        ledger = self.world.airflow.stored(LEDGER_KEY) or {}
        return {item["submission_id"]: item for item in ledger.get("attempts", ())}

    def _recorded(self, submission_id: str) -> bool:
        attempt = self.attempts().get(submission_id) or {}
        return attempt.get("phase") == "ABANDONED" or bool(attempt.get("stop_pending"))

    # While it goes on

    def on_accept(self, job: Job) -> None:
        """A cluster takes a job."""
        name = job.submission_id
        self.accepts[name] = self.accepts.get(name, 0) + 1
        attempt = self.attempts().get(name)
        if attempt is None:
            self.broken("2 a job was submitted that the ledger does not know")
        elif self.accepts[name] > 1 and attempt.get("phase") == "submitted" and not job.stale:
            self.broken("2 what a cluster had taken was sent again under the same id")
        for other in self.world.jobs:
            if other is job or other.stale or job.stale:
                continue
            self._check_pair(job, other)

    def _check_pair(self, job: Job, other: Job) -> None:
        if other.is_live and other.stop_at is None and not self._abandoned(other):
            self.broken("1 a second job was submitted beside a live one")
        same = other.epoch == job.epoch and other.submission_id != job.submission_id
        same = same and not self.world.airflow.may_mean_a_clear
        if same and not self.world.scenario.shape.wait and self._is_there(other):
            self.broken("2 a job that is not waited for was sent again")
        if same and other.has_result and other.stop_at is None and other.cluster.exists and not self._told_lost(other):
            self.broken("2 a succeeded attempt of this generation was run again")

    @staticmethod
    def _is_there(job: Job) -> bool:
        """Whether its cluster tells of it, and nobody has stopped it."""
        return job.cluster.exists and not job.forgotten and job.stop_at is None

    def _abandoned(self, job: Job) -> bool:
        return (self.attempts().get(job.submission_id) or {}).get("phase") == "ABANDONED"

    def _told_lost(self, job: Job) -> bool:
        """Its node is dead, so its records cannot be read."""
        return job.node_dead

    def on_start(self, job: Job) -> None:
        """A cluster starts an entrypoint."""
        if job.is_others:
            return
        name = job.submission_id
        self.starts[name] = self.starts.get(name, 0) + 1
        if self.starts[name] > self.accepts.get(name, 0):
            self.broken("2 an entrypoint started more often than it was accepted")

    def on_job_end(self, job: Job) -> None:
        """A job has ended."""
        if job.is_others:
            return
        if job.status != "SUCCEEDED":
            self.world.reason(f"a job was {job.status}")
        elif job.script.loses_result:
            self.world.reason("a result was lost", seconds=FOR_EVER)
        deadline = (self.attempts().get(job.submission_id) or {}).get("deadline")
        if "not-after" in job.message and (deadline is None or deadline > self.world.kernel.now + 5.0):
            self.broken("9 a job ended itself before the deadline that its task goes by")

    def on_stop(self, job: Job) -> None:
        """A stop reaches a job."""
        if job.is_others:
            self.broken("9 somebody else's job was stopped")
            return
        if job.is_live and job.stop_at is None and not self._has_cause(job):
            self.broken("9 a live job was stopped without a cause")

    def _has_cause(self, job: Job) -> bool:
        airflow = self.world.airflow
        attempt = self.attempts().get(job.submission_id) or {}
        now = self.world.kernel.now
        deadline = attempt.get("deadline")
        current = list(self.attempts())[-1:] == [job.submission_id]
        return (
            job.epoch < airflow.epoch
            or airflow.may_mean_a_clear
            or job.stale
            or airflow.state in ("restarting", *FINAL)
            or airflow.is_excused(self.world.kernel.thread.group)
            or (deadline is not None and now >= deadline - 10.0)
            or self.had_a_deadline()
            or not current
            or job.cluster.refused_until > now - 120.0
            or bool(attempt.get("stop_pending"))
        )

    def on_delete(self, cluster: Cluster) -> None:
        """A cluster is to go."""
        if not cluster.owned:
            self.broken("5 a cluster was deleted that belongs to others")
        now = self.world.kernel.now
        silent = max(cluster.refused_until, cluster.down_until, cluster.strange_until) > now - 60.0
        nobody_reads = cluster.refused_until > now or (silent and self.had_a_deadline())
        if not self.world.scenario.shape.expects_result or nobody_reads or self._is_on_behalf_of_a_person():
            return
        for job in cluster.jobs.values():
            attempt = self.attempts().get(job.submission_id) or {}
            mine = (
                job.epoch == self.world.airflow.epoch and job.has_result and job.stop_at is None and not job.node_dead
            )
            if mine and not attempt.get("result_kept") and attempt.get("phase") != "RESULT_LOST":
                self.broken("3 a cluster was deleted before the result on it was safe")

    def _is_on_behalf_of_a_person(self) -> bool:
        airflow, group = self.world.airflow, self.world.kernel.thread.group
        is_told_so = airflow.state in ("restarting", *FINAL) or airflow.is_excused(group)
        return is_told_so or airflow.may_mean_a_clear

    def on_success(self, result: Any, worker: Worker) -> None:
        """The task returns."""
        world = self.world
        jobs = [job for job in world.jobs if job.status == "SUCCEEDED" and job.result == result]
        if world.scenario.shape.expects_result and not jobs:
            self.broken("3 the task returned what no job reported")
            return
        if not world.scenario.shape.expects_result:
            ends = (
                ("SUCCEEDED",)
                if world.scenario.shape.wait
                else ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED")
            )
            jobs = [job for job in world.jobs if job.status in ends and job.submission_id == result]
            if not jobs:
                self.broken("3 the task succeeded without a succeeded job")
                return
        if all(job.epoch < worker.group.epoch for job in jobs):
            self.broken("3 a cleared task returned an earlier generation's result")
        if (self.attempts().get(jobs[0].submission_id) or {}).get("phase") not in ("SUCCEEDED", DETACHED):
            self.broken("3 the ledger does not say that the returned attempt succeeded")

    def on_finish(self) -> None:
        """The task has ended, for now."""
        airflow = self.world.airflow
        if airflow.state == "failed" and airflow.cause == "error":
            self._check_waste(airflow.error)
        number = airflow.finishes
        self.world.kernel.after(GRACE_SECONDS, self._check_left, number)

    def _check_left(self, finish: int) -> None:
        airflow = self.world.airflow
        if airflow.finishes != finish or airflow.state not in FINAL or self._was_nobody_there():
            return
        until = airflow.finished_at + (60.0 if airflow.cause.startswith("marked") else 0.0)
        lately = airflow.finished_at - 120.0, until
        was_killed = airflow.cause.startswith("marked") or airflow.cause == "failed heartbeats"
        # A signal handler asks Airflow for nothing that it needs.
        hindered = ("remote", "harmless") if was_killed else ("airflow",)
        if airflow.cause == "marked running":
            # Where it answers no signal handler, that takes the mark for no person's act.
            hindered = (*hindered, "airflow")
        could_not_stop = self.world.reasons_within(*lately, *hindered)
        for job in () if could_not_stop else self.world.jobs:
            if self._came_too_late(job):
                continue
            if job.is_live and job.stop_at is None and not job.stale and not self._may_run(job.submission_id):
                self.broken(f"5 a job runs on after the task's end ({airflow.cause.split()[0]})")
        # Where it could not be deleted then, its expiry does it.
        could_not_delete = self.world.reasons_within(0.0, until, "control", *hindered)
        for cluster in self.world.clusters.values():
            lives = self.goes_with_the_task(cluster) and cluster.exists and cluster.state.value != "deleting"
            if lives and not could_not_delete and not self._kept(cluster):
                self.broken(f"5 the task's own cluster lives on after its end ({airflow.cause.split()[0]})")

    def goes_with_the_task(self, cluster: Cluster) -> bool:
        """Whether a cluster is nobody's once the task has ended."""
        return cluster.owned

    def _came_too_late(self, job: Job) -> bool:
        """It was on its way when a signal handler stopped what there was, and its worker had five seconds to live."""
        worker, cause = self.world.airflow.worker, self.world.airflow.cause
        handled_at = worker.handled_at if worker is not None and cause == "failed heartbeats" else None
        return handled_at is not None and job.accepted_at > handled_at

    def _may_run(self, submission_id: str) -> bool:
        """Whether it is recorded that it does, or the task has succeeded without waiting for it."""
        is_detached = (self.attempts().get(submission_id) or {}).get("phase") == DETACHED
        is_last = list(self.attempts())[-1:] == [submission_id]
        return self._recorded(submission_id) or (is_detached and is_last and self.world.airflow.cause == "result")

    def _kept(self, cluster: Cluster) -> bool:
        """Nobody was to know it, it holds what is recorded as not stopped, or the last attempt's failure keeps it."""
        if cluster.stale:
            return True
        for attempt in list(self.attempts().values())[-1:]:
            if attempt.get("cluster_kept") and attempt["cluster"]["name"] == cluster.name:
                airflow, deadline = self.world.airflow, attempt.get("deadline")
                # A person's mark can come in the very seconds in which the time ran out.
                timed_out = deadline is not None and deadline <= airflow.finished_at + 10.0
                return airflow.cause == "error" or timed_out
        return any(self._recorded(name) and job.is_live for name, job in cluster.jobs.items())

    def _was_nobody_there(self) -> bool:
        """Whether Airflow gave nobody a chance to clean up: nobody at all, or nobody who could read what there is."""
        cause = self.world.airflow.cause
        if cause in ("result", "error", "failed heartbeats"):
            return False
        return cause not in ("marked running", "marked deferred") or self.world.kill_was_hindered

    def on_failure(self, error: BaseException | None, cause: str) -> None:
        """A try fails: something must have gone wrong within it, and it must have ended in time."""
        airflow, world = self.world.airflow, self.world
        since, now = airflow.try_began_at, world.kernel.now
        why = world.reasons_within(since, now, "job", "worker", "remote", "control", "airflow", "tracker", "dag")
        if not why and not (isinstance(error, DeadlineExceededError) and self.had_a_deadline()):
            self.broken(f"8 a try failed without a reason: {error!r}"[:300])
        if cause == "error":
            self._check_time()

    def _check_waste(self, error: BaseException | None) -> None:
        """No success is thrown away that could be read, once nobody tries again."""
        airflow, world = self.world.airflow, self.world
        troubled = world.reasons_within(airflow.try_began_at, world.kernel.now, "remote", "airflow", "harmless")
        if troubled or isinstance(error, DeadlineExceededError):
            return
        for job in world.jobs:
            current = list(self.attempts())[-1:] == [job.submission_id]
            if current and job.epoch == airflow.epoch and job.has_result and job.stop_at is None and not job.node_dead:
                self.broken(f"2 a success was thrown away: {error!r}"[:200])

    def _check_time(self) -> None:
        airflow, world = self.world.airflow, self.world
        timeout = world.scenario.shape.timeout_seconds
        late = world.kernel.now - airflow.try_began_at - (timeout or 0.0)
        if timeout is not None and late > 200.0 and not world.reasons_within(airflow.try_began_at, world.kernel.now):
            self.broken("7 the execution_timeout was not kept")

    # At the end

    def judge(self) -> None:
        """Judge the world once nothing moves."""
        airflow = self.world.airflow
        if airflow.state not in FINAL:
            self.broken(f"7 no end is reached: {airflow.state}")
            return
        self._judge_attachments()
        self._judge_log()

    def had_a_deadline(self) -> bool:
        """Whether the time of the try, or of its cluster's start, is over."""
        timeout = self.world.scenario.shape.timeout_seconds
        if timeout is not None and self.world.kernel.now >= self.world.airflow.try_began_at + timeout - 1.0:
            return True
        last = list(self.attempts().values())[-1:]
        moments = [a.get(name) for a in last for name in ("deadline", "cluster_until")]
        return any(at is not None and at <= self.world.kernel.now + 1.0 for at in moments)

    def _judge_attachments(self) -> None:
        airflow, attempts = self.world.airflow, self.attempts()
        if isinstance(airflow.error, AirflowAwayError):
            return
        at = airflow.finished_at
        # A trigger can tell, but has no place to write down whom it could not tell.
        hindered = self.world.kill_was_hindered or self.world.reasons_within(at, at + 60.0, "tracker", "remote")
        hard = airflow.cause not in ("result", "error") and (airflow.cause != "marked deferred" or hindered)
        for server in self.world.trackers.values():
            for run in server.runs.values():
                if (
                    run.status == "RUNNING"
                    and not self._untold(run, attempts, server.kind)
                    and not (hard and run.submission_id == list(attempts)[-1])
                ):
                    self.broken("6 an attempt's end was never told to its attachment")

    def _untold(self, run: TrackerRun, attempts: dict[str, dict[str, Any]], kind: str) -> bool:
        attempt = attempts.get(run.submission_id)
        if attempt is None:
            return True
        if attempt["phase"] == "ABANDONED" or attempt.get("stop_pending"):
            return True
        entries = [entry for entry in attempt.get("attachments", ()) if entry["spec"].get("kind") == kind]
        airflow = self.world.airflow
        # Who dies, or is told to, after an end is written down leaves that it is untold.
        may_have_died = any(worker.terminated for worker in airflow.workers) or bool(
            self.world.reasons_within(0.0, math.inf, "worker", "airflow")
        )
        # Who reaches nobody at the end can neither tell nor write down that it could not.
        lately = self.world.reasons_within(airflow.finished_at - 120.0, airflow.finished_at, "remote")
        may_have_died = may_have_died or CUT_OFF in lately
        taken = (None,) if may_have_died else (None, NOT_YET)
        # Who died between making the run and writing it down leaves one that nobody can know of.
        return any(entry.get("untold") not in taken or entry.get("state") is None for entry in entries)

    def _judge_log(self) -> None:
        if self.world.scenario.shape.log_limit_bytes < 1_000_000:
            return
        shown: dict[tuple[int, str], list[int]] = {}
        marks: Counter[int] = Counter()
        for entry in self.world.airflow.entries:
            marks[entry.try_number] += entry.text == AGAIN
            for line in entry.text.split("\n"):
                found = LINE.match(line)
                if found:
                    shown.setdefault((entry.try_number, found.group(1)), []).append(int(found.group(2)))
        for (number, _), lines in shown.items():
            self._judge_lines(number, lines, marks[number])

    def _judge_lines(self, number: int, lines: list[int], marks: int) -> None:
        reached, backs = -1, 0
        for line in lines:
            if line > reached + 1:
                self.broken("4 the log has a gap")
                return
            reached = line if line > reached else reached
        for before, line in itertools.pairwise(lines):
            backs += line <= before
        # Two triggerers that show one log at once: who repeats what is nobody's to say.
        is_doubled = self.world.rough_ends(number) >= DOUBLED
        if backs > marks and not is_doubled:
            self.broken("4 log lines are repeated, and not marked so")
        if backs > self.world.rough_ends(number):
            self.broken("4 log lines are repeated without a reason")
