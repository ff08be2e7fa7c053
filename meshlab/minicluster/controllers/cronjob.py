"""CronJobs: a Job at each time that a cron expression names.

Expressions have five fields (with names, ranges, steps and lists), or are one of ``@hourly`` and its kin; times are of
``timeZone``, UTC by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meshlab.minicluster.controllers.cache import CachedApi, thaw
from meshlab.minicluster.controllers.job import is_done
from meshlab.minicluster.controllers.ownership import controller_reference, is_being_deleted, owner_in_cache
from meshlab.minicluster.controllers.pods import condition
from meshlab.minicluster.controllers.runtime import Controller
from meshlab.minicluster.controllers.timestamps import format_time, parse_time
from meshlab.minicluster.events import EventRecorder
from meshlab.minicluster.informer import Key
from meshlab.minicluster.kubeapi import Obj, StatusError

RESOURCE, JOBS = "cronjobs.batch", "jobs.batch"
API_VERSION, KIND = "batch/v1", "CronJob"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
MAX_MISSED = 100
HORIZON = timedelta(days=366 * 5)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed cron expression."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both day fields are restricted: one of them is enough (crontab(5))."""

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Parse an expression.

        Raises:
            ValueError: it is not one.
        """
        fields = MACROS.get(text.strip(), text).split()
        if len(fields) != 5:
            raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {fields}")
        minute, hour, day, month, weekday = fields
        return cls(
            _field(minute, 0, 59, {}),
            _field(hour, 0, 23, {}),
            _field(day, 1, 31, {}),
            _field(month, 1, 12, MONTHS),
            frozenset(number % 7 for number in _field(weekday, 0, 7, DAYS)),
            day[0] not in "*?" and weekday[0] not in "*?",
        )

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, in its time zone."""
        current = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = moment + HORIZON
        while current < end:
            if current.month not in self.months or not self._day(current):
                current = current.replace(hour=0, minute=0) + timedelta(days=1)
            elif current.hour not in self.hours:
                current = current.replace(minute=0) + timedelta(hours=1)
            elif current.minute not in self.minutes:
                current += timedelta(minutes=1)
            else:
                yield current
                current += timedelta(minutes=1)

    def _day(self, moment: datetime) -> bool:
        by_day, by_weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either_day else by_day and by_weekday


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.lower().split(","):
        span, _, step_text = part.partition("/")
        step = int(step_text) if step_text else 1
        first_text, dash, last_text = span.partition("-")
        if first_text in ("*", "?"):
            first, last = low, high
        else:
            first = names.get(first_text) if first_text in names else int(first_text)  # type: ignore[assignment]
            last = (names[last_text] if last_text in names else int(last_text)) if dash else first
            if step_text and not dash:
                last = high
        if step < 1 or not low <= first <= last <= high:
            raise ValueError(f"{part!r} is not between {low} and {high}")
        numbers.update(range(first, last + 1, step))
    return frozenset(numbers)


class CronJobController(Controller):
    """Creates the Jobs of CronJobs when their time has come, and trims the history."""

    component = "cronjob-controller"

    def __init__(self, api: CachedApi, recorder: EventRecorder) -> None:
        super().__init__(api, recorder)
        self._crons = api.cache(RESOURCE)
        self._jobs = api.cache(JOBS)
        self._jobs.controlled_by("")
        self.watch(RESOURCE)
        self._jobs.subscribe(self._job_changed)

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        for job in (old, new):
            owner = owner_in_cache(self._crons, KIND, job) if job is not None else None
            if owner is not None:
                self.enqueue(owner)

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        cron = self._crons.get(name, namespace)
        if cron is None or is_being_deleted(cron):
            return
        jobs = self._jobs.controlled_by(cron["metadata"]["uid"])
        await self._trim(cron, jobs)
        spec, now = cron["spec"], self.api.now()
        status = {**(cron.get("status") or {})}
        if not spec.get("suspend"):
            try:
                schedule = Schedule.parse(spec["schedule"])
                zone: tzinfo = ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
            except (ValueError, ZoneInfoNotFoundError) as error:
                message = f"unparseable schedule: {spec['schedule']} : {error}"
                self.recorder.event(cron, "Warning", "UnparseableSchedule", message)
                return
            since = parse_time(status.get("lastScheduleTime")) or parse_time(cron["metadata"]["creationTimestamp"])
            due = self._due(cron, schedule, datetime.fromtimestamp(since, zone), now)
            if due is not None:
                await self._run(cron, due, jobs, status)
            upcoming = next(schedule.after(datetime.fromtimestamp(now, zone)), None)
            if upcoming is not None:
                self.queue.add_after(key, upcoming.timestamp() - now + 0.1)
        jobs = self._jobs.controlled_by(cron["metadata"]["uid"])
        active = [_job_reference(job) for job in sorted(jobs, key=_age) if not is_done(job)]
        status.pop("active", None)
        if active:
            status["active"] = active
        done = [end for job in jobs if (end := (job.get("status") or {}).get("completionTime"))]
        if done:
            status["lastSuccessfulTime"] = max(done)
        await self.api.update_status(RESOURCE, cron, status)

    def _due(self, cron: Obj, schedule: Schedule, since: datetime, now: float) -> float | None:
        """The latest time that has passed without a Job."""
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None:
            since = max(since, datetime.fromtimestamp(now - deadline, since.tzinfo))
        due: float | None = None
        missed = 0
        for moment in schedule.after(since):
            if moment.timestamp() > now:
                break
            due = moment.timestamp()
            missed += 1
        if missed > MAX_MISSED:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.recorder.event(cron, "Warning", "TooManyMissedTimes", message)
        return due

    async def _run(self, cron: Obj, due: float, jobs: list[Obj], status: Obj) -> None:
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        running = [job for job in jobs if not is_done(job)]
        if running and policy == "Forbid":
            self.recorder.event(
                cron,
                "Normal",
                "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid",
            )
            return
        if policy == "Replace":
            for job in running:
                await self.api.delete(JOBS, job, propagation="Background")
        metadata, template = cron["metadata"], thaw(cron["spec"]["jobTemplate"])
        template_metadata = template.get("metadata") or {}
        name = f"{metadata['name']}-{int(due) // 60}"
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": template_metadata.get("labels") or {},
                "annotations": {**(template_metadata.get("annotations") or {}), SCHEDULED_AT: format_time(due)},
                "ownerReferences": [controller_reference(cron, API_VERSION, KIND)],
            },
            "spec": template["spec"],
        }
        try:
            await self.api.create(JOBS, job, metadata["namespace"])
            self.recorder.event(cron, "Normal", "SuccessfulCreate", f"Created job {name}")
        except StatusError as error:
            if error.reason != "AlreadyExists":
                self.recorder.event(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
        status["lastScheduleTime"] = format_time(due)

    async def _trim(self, cron: Obj, jobs: list[Obj]) -> None:
        limits = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))
        for type_, field, default in limits:
            limit = cron["spec"].get(field, default)
            done = sorted((job for job in jobs if (condition(job, type_) or {}).get("status") == "True"), key=_age)
            for job in done[: max(0, len(done) - limit)]:
                await self.api.delete(JOBS, job, propagation="Background")
                self.recorder.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")


def _age(job: Obj) -> tuple[float, str]:
    return parse_time(job["metadata"].get("creationTimestamp")), job["metadata"]["name"]


def _job_reference(job: Obj) -> Obj:
    metadata = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }
