"""A database client at a steady rate: a row every so often, tried again until the database has confirmed it. Open loop, as the probe.

It writes Records (record.py): a confirmed row is a 200. It needs PyMySQL, and a table with one unsigned column `number` as its key.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .record import Record
from .settings import only_known

AGAIN = 0.05  # seconds between two tries of the same row
WORKERS = 128
MAX_TEXT = 160


@dataclass(frozen=True)
class Settings:
    """Seconds everywhere; `patience` is how long one row is tried, `timeout` how long one try may take."""

    user: str
    password: str
    database: str
    table: str = "writes"
    host: str = "127.0.0.1"
    port: int = 3306
    rate: float = 20.0
    seconds: float = 60.0
    patience: float = 15.0
    timeout: float = 2.0

    @classmethod
    def load(cls, given: dict[str, Any]) -> Settings:
        only_known(cls, given)
        settings = cls(**given)
        if not settings.table.isidentifier() or not 0.1 <= settings.rate <= 200 or not 0 < settings.seconds <= 86400:
            raise ValueError("writes need a table's name, a rate of 0.1 to 200 a second, and seconds up to 86400")
        return settings


class Writer:
    """`connect` is PyMySQL's, so that tests can have another."""

    def __init__(self, settings: Settings, sink: Callable[[Record], object], connect: Callable[..., Any]) -> None:
        self.settings, self.sink, self.connect = settings, sink, connect
        self.stopped = False
        self._epoch = time.time() - time.monotonic()
        self._mine, self._lock = threading.local(), threading.Lock()

    def run(self) -> None:
        start, number = time.monotonic() + AGAIN, 0
        with ThreadPoolExecutor(WORKERS) as workers:
            while not self.stopped and number < self.settings.rate * self.settings.seconds:
                due = start + number / self.settings.rate
                time.sleep(max(0.0, due - time.monotonic()))
                workers.submit(self._row, number, due)
                number += 1

    def _row(self, number: int, due: float) -> None:
        record = Record(number, "WRITE", due + self._epoch, sent=time.monotonic() + self._epoch)
        end = due + self.settings.patience
        while record.code is None and time.monotonic() < end:
            record.transmissions += 1
            try:
                self._write(number)
                record.answered, record.code = time.monotonic() + self._epoch, 200
            except Exception as error:
                record.error = f"{type(error).__name__}: {error}"[:MAX_TEXT]
                self._forget()
                time.sleep(AGAIN)
        with self._lock:
            self.sink(record)

    def _write(self, number: int) -> None:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            one = self.settings
            times = {"connect_timeout": max(1, round(one.timeout)), "read_timeout": one.timeout, "write_timeout": one.timeout}
            connection = self._mine.connection = self.connect(
                host=one.host, port=one.port, user=one.user, password=one.password, database=one.database, autocommit=True, **times
            )
        with connection.cursor() as cursor:
            # The same row again is no error: the first try may have been written and its answer lost.
            cursor.execute(f"INSERT IGNORE INTO {self.settings.table} (number) VALUES (%s)", (number,))  # noqa: S608 (checked above)

    def _forget(self) -> None:
        connection, self._mine.connection = getattr(self._mine, "connection", None), None
        if connection is not None:
            with contextlib.suppress(Exception):  # it was broken
                connection.close()
