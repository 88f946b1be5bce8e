"""The calendar, by cronsim and zoneinfo. Ring: system (edge). Implements `ports.cron.Schedules`. Source: rantaiclaw.md §12; design §3 (cronsim: DST-correct).

5 fields   minute hour day month weekday (0-7, names, ranges, steps, lists, L, #). A job at a fixed time that the clocks jump over runs right after the
           jump; at a time that comes twice it runs once. Jobs every few minutes or hours follow the real time.
6 fields   seconds first; always real time: a second that does not exist is passed over
7 fields   … and a year last, which must be *
@hourly @daily @weekly @monthly @yearly (also @midnight, @annually)

Calendars are imported when a job asks for one: zones bring half a MiB along.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from clawgate.domain.cron import AtSchedule, CronSchedule, EverySchedule, Schedule
from clawgate.domain.errors import BadRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_CHARS = 256
_YEAR_FIELDS = 7
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class SystemSchedules:
    """Real calendars; keeps no state."""

    def next_ms(self, schedule: Schedule, after_ms: int) -> int | None:
        """`ports.cron.Schedules.next_ms`."""
        match schedule:
            case AtSchedule(at_ms=at_ms):
                return at_ms if at_ms > after_ms else None
            case EverySchedule(every_ms=every_ms):
                return after_ms + every_ms
            case CronSchedule(expr=expr, tz=tz):
                return _next_of(_normal(expr), _zone(tz or "UTC"), after_ms)


def _next_of(expr: str, zone: tzinfo, after_ms: int) -> int | None:
    from cronsim import CronSim, CronSimError

    try:
        moment = (_EPOCH + timedelta(milliseconds=after_ms)).astimezone(zone)
        found = next(CronSim(expr, moment))
    except CronSimError as problem:
        raise BadRequest(f"schedule.expr: {str(problem).lower()}") from None
    except (StopIteration, OverflowError):
        return None
    except (ValueError, AssertionError):
        raise BadRequest("schedule.expr is no cron expression") from None
    return round((found.astimezone(UTC) - _EPOCH) / timedelta(milliseconds=1))


def _normal(expr: str) -> str:
    text = expr.strip()
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise BadRequest(f"schedule.expr: use one of {', '.join(_ALIASES)}")
        return _ALIASES[text.lower()]
    fields = text.split()
    if len(text) > _MOST_CHARS or not text.isascii() or not 5 <= len(fields) <= _YEAR_FIELDS:
        raise BadRequest("schedule.expr: write 5 fields (minute hour day month weekday), or 6 with seconds first")
    if len(fields) == _YEAR_FIELDS and fields[-1] != "*":
        raise BadRequest("schedule.expr: the year must be *")
    return " ".join(fields[:6])


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a KeyError; a name that is a directory is an OSError
        raise BadRequest("schedule.tz: use an IANA zone, such as Europe/Berlin") from None
