"""Write logs: one JSON object per line, on standard error (where Ray's dashboard shows it) and in ``<data-dir>/logs``.

Guarantees: a line names its process and the requests it is about; no line holds a key, a password, one of our tokens or
an e-mail address, whatever was logged; a log and its predecessor each hold about :data:`MAX_FILE_BYTES` at most. Leaves
to others: what is worth logging. A setting (``logs.json``) chooses text instead of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actors.telemetry import tracing

MAX_FILE_BYTES = 32 << 20
MAX_TEXT_CHARS = 16_000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

HIDDEN = "[hidden]"
_SECRETS = (
    re.compile(r"\b(?:wk|sk|op)_[A-Za-z0-9_-]{8,}"),  # keys and the operator's token
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/=_-]{4,}|(?<=\bbearer )[^\s\"',;]{4,}"),  # Authorization
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),  # user:password of a URL
    re.compile(r"(?i)(?<=password=)[^\s&'\",;]+|(?<=secret=)[^\s&'\",;]+|(?<=token=)[^\s&'\",;]+"),
    re.compile(r"/m/[ocu]/[A-Za-z0-9._~-]{16,}"),  # signed links in messages: whoever has one can unsubscribe
    re.compile(r"(?<=/callbacks/)[a-z]{1,20}/[A-Za-z0-9._~-]{16,}"),  # providers' secret addresses
    re.compile(
        r"[^\s@\"'<>(){}\[\]:,;=/\\]{1,64}(?:@|%40)[^\s@\"'<>(){}\[\]:,;/\\]{1,255}\.[^\s@\"'<>(){}\[\]:,;./\\]{2,}"
    ),  # e-mail
)


def without_secrets(text: str) -> str:
    """Return ``text`` with everything hidden that no log may hold, cut to a bounded length."""
    n_chars, text = len(text), text[: 2 * MAX_TEXT_CHARS]  # the time it takes is bounded too
    for pattern in _SECRETS:
        text = pattern.sub(HIDDEN, text)
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}… (of {n_chars} characters)"


class _Fields:
    """The fields of a record's line, in the order in which they are written."""

    def __init__(self, process: str, more: dict[str, Any]) -> None:
        self._process = {"process": process, "pid": os.getpid(), **more}

    def of(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **self._process,
            **_requests(tracing.current()),
        }
        for name, value in vars(record).items():  # of `extra=`: tenant, partition, shard
            if name not in _STANDARD and not name.startswith("_"):
                plain = value is None or isinstance(value, bool | int | float)
                fields.setdefault(name, value if plain else without_secrets(str(value)))
        return fields


def _requests(traces: tuple[tracing.Trace, ...]) -> dict[str, Any]:
    if not traces:
        return {}
    if len(traces) == 1:
        return {"request_id": traces[0].request_id, "trace_id": traces[0].trace_id}
    return {"request_ids": [t.request_id for t in traces], "trace_ids": [t.trace_id for t in traces]}


class JsonLines(logging.Formatter):
    """Format records as JSON objects, one per line."""

    def __init__(self, process: str, **more: Any) -> None:
        super().__init__()
        self._fields = _Fields(process, more)

    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields.of(record)
        if record.exc_info:
            fields["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """Format the same for people: a line of words, then the traceback."""

    def __init__(self, process: str, **more: Any) -> None:
        super().__init__()
        self._fields = _Fields(process, more)

    def format(self, record: logging.LogRecord) -> str:
        line = as_text(self._fields.of(record))
        if record.exc_info:
            line += "\n" + without_secrets(self.formatException(record.exc_info))
        return line


def as_text(fields: dict[str, Any]) -> str:
    """Return a JSON line's object as a line for people."""
    told = ("time", "level", "logger", "message", "process", "pid", "exception")
    more = " ".join(f"{name}={value}" for name, value in fields.items() if name not in told)
    line = f"{fields['time']} {fields['level']:<8} {fields['process']} {fields['logger']}: {fields['message']}"
    return f"{line} ({more})" if more else line


class _Lines(logging.Handler):
    """One of our handlers, so that a second :func:`configure` knows what to replace."""


class _StandardError(_Lines):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class _File(_Lines):
    """Append lines to a file that is opened for every line.

    Lines are few; so several processes can share a file, a folder may come and go, and a forked child holds nothing
    open.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size > MAX_FILE_BYTES:
                    self._path.replace(self._path.with_suffix(".log.1"))
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError:  # a full or missing disk must not bring down code that only wanted to log it
            return
        except Exception:
            self.handleError(record)


def configure(process: str, *, folder: Path | None, as_json: bool = True, debug: bool = False, **more: Any) -> None:
    """Send everything logged in this process to standard error and to ``folder/<process>.log``.

    ``more``, such as ``shard=0``, is added to every line. Without a folder, or where it does not exist (another node),
    lines go to standard error only.
    """
    formatter = JsonLines(process, **more) if as_json else TextLines(process, **more)
    handlers: list[_Lines] = [_StandardError()]
    if folder is not None and folder.is_dir():
        handlers.append(_File(folder / f"{process}.log"))
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _Lines)]:
        root.removeHandler(handler)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("httpx", "httpcore", "asyncio", "aiosqlite", "alembic", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)


class Seldom:
    """Log at most one line per kind and interval, with the number of those left out since the one before."""

    def __init__(
        self, logger: logging.Logger, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def log(self, level: int, kind: str, message: str, *args: object, **extra: Any) -> None:
        """Log a line, or count it for the next of its ``kind``; kinds must be few, because they are remembered."""
        now = self._clock()
        at, n_untold = self._told.get(kind, (-float("inf"), 0))
        if now - at < self._every_s:
            self._told[kind] = (at, n_untold + 1)
            return
        self._told[kind] = (now, 0)
        if n_untold:
            extra["untold"] = n_untold
        self._logger.log(level, message, *args, extra=extra)
