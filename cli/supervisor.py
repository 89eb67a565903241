"""Keeps the service's processes alive and ends them in order: one thread that waits for descriptors."""

from __future__ import annotations

import gc
import logging
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from cli.embedded.child import Service, close_to_others
from cli.parts import HANDLED, Part, Stage
from cli.places import Place, Running, part_place, service_place, watch
from cli.restarts import Deaths
from cli.roll import Roll

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that each stage has to end by itself
MERCY = 2.0  # seconds more for what was killed with less than SIGKILL
GARBAGE = 20_000  # objects between two looks of a part's collector


class Supervisor:
    """Runs services while it is entered, and parts within `run`.

    `descriptors` are what parts must not keep (the data folder's lock; the listener, which only web gets).
    `roll` is for who has the data folder to itself.
    Use it in the main thread, before any thread or connection exists.
    """

    def __init__(
        self, *, services: Sequence[Service] = (), descriptors: Iterable[int] = (), roll: Roll | None = None
    ) -> None:
        self._services = services
        self._roll = roll
        self._descriptors = tuple(descriptors)
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._handlers: dict[signal.Signals, Any] = {}
        self._stages: list[list[Place]] = []  # in the order in which they are stopped
        self._processes: list[subprocess.Popen[bytes]] = []  # the services' first ones
        self._asked = 0  # how often we were asked to stop

    def __enter__(self) -> Supervisor:
        """Starts the services; `wait_ready` returns once they answer."""
        close_to_others()
        self._take_signals()
        try:
            self._start_services()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def wait_ready(self) -> None:
        """Returns once all services answer. Raises StartError for one that does not."""
        for service, process in zip(self._services, self._processes, strict=True):
            service.wait_ready(process)

    def run(self, parts: Sequence[Part]) -> None:
        """Forks the parts and keeps everything alive. Returns when asked to stop, or when no part is left."""
        gc.collect()
        gc.freeze()  # so that the children's collectors do not copy the pages that all share
        # What a request or a run makes is gone with it: looking through it after every 700 objects finds nothing.
        gc.set_threshold(GARBAGE)
        stages = [
            [
                part_place(part, self._private, self._roll)
                for part in parts
                if part.stage is stage
                for _ in range(part.count)
            ]
            for stage in Stage
        ]
        self._stages[:0] = stages
        places = [place for stage in stages for place in stage]
        self._take_over(stages[Stage.WORK])
        for place in places:
            self._start(place)
        while not self._asked and not all(place.settled for place in places):
            self._wait(self._next_due())
            self._start_due()

    def _take_over(self, workers: Sequence[Place]) -> None:
        """The first worker frees the runs of those that a crash of everything left behind."""
        if self._roll is not None and workers:
            workers[0].deaths = Deaths(owed=self._roll.left_behind())

    def _start_services(self) -> None:
        for service in self._services:
            place, process = service_place(service), service.spawn()
            self._stages.insert(0, [place])  # the last to start is the first to stop
            self._follow(place, watch(process))
            self._processes.append(process)

    def _start(self, place: Place) -> None:
        place.due = None
        try:
            self._follow(place, place.start(place.deaths))
        except OSError as error:  # such as no memory for another process just now
            place.deaths = place.deaths.and_now(None, 0.0)
            place.due = time.monotonic() + place.deaths.delay
            log.error("process_not_started", extra={"part": place.name, "error": str(error)})  # noqa: TRY400

    def _follow(self, place: Place, running: Running) -> None:
        place.running = running
        self._selector.register(running.descriptor, selectors.EVENT_READ, place)
        log.info("process_started", extra={"part": place.name, "pid": running.pid})

    def _next_due(self) -> float | None:
        due = [place.due for place in self._places() if place.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places():
            if place.due is not None and place.due <= now and not self._asked:
                self._start(place)

    def _wait(self, timeout: float | None) -> None:
        """Takes note of who ended, waiting `timeout` seconds (None: for ever) for the first to."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._woken.recv(64)
            else:
                self._bury(key.data)

    def _bury(self, place: Place) -> None:
        running = place.running
        assert running is not None, "only a running process has a descriptor that we wait for"
        self._selector.unregister(running.descriptor)
        place.running = None
        code = running.bury()
        if self._roll is not None and running.worker_id is not None:
            self._roll.strike(running.worker_id)
        if self._asked or place.once:
            log.info("process_ended", extra={"part": place.name, "pid": running.pid, "end": end_of(code)})
            return
        lived = time.monotonic() - running.started
        place.deaths = place.deaths.and_now(running.worker_id, lived)
        place.due = time.monotonic() + place.deaths.delay
        fields = {"part": place.name, "pid": running.pid, "end": end_of(code), "lived": round(lived, 3)}
        log.error("process_died", extra=fields | {"restart_in": place.deaths.delay})

    def _end(self) -> None:
        """Stops stage after stage; asked a second time, kills all that is left at once."""
        self._asked = max(self._asked, 1)
        for place in self._places():
            place.due = None
        for stage in list(self._stages):
            self._end_stage(stage)
        self._give_signals_back()
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _end_stage(self, stage: Sequence[Place]) -> None:
        if self._asked < 2:
            _signal(stage, [place.stop_signal for place in stage])
            self._await_end(stage, time.monotonic() + PATIENCE)
        everyone = self._places() if self._asked > 1 else stage
        _signal(everyone, [place.kill_signal for place in everyone])
        deadline = time.monotonic() + MERCY
        while _alive(stage) and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        _signal(stage, [signal.SIGKILL for _ in stage])
        while _alive(stage):
            self._wait(None)

    def _await_end(self, stage: Sequence[Place], deadline: float) -> None:
        """Returns when the stage has ended, its time is up, or we are asked to stop once more."""
        while _alive(stage) and self._asked < 2 and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())

    def _places(self) -> list[Place]:
        return [place for stage in self._stages for place in stage]

    def _private(self) -> Iterator[int]:
        """The descriptors that are ours alone."""
        yield from (self._selector.fileno(), self._woken.fileno(), self._waker.fileno(), *self._descriptors)
        yield from (place.running.descriptor for place in self._places() if place.running is not None)

    def _take_signals(self) -> None:
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def _give_signals_back(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1


def _alive(stage: Sequence[Place]) -> bool:
    return any(place.running is not None for place in stage)


def _signal(places: Sequence[Place], numbers: Sequence[signal.Signals]) -> None:
    for place, number in zip(places, numbers, strict=True):
        if place.running is not None:
            place.running.send(number)


def end_of(code: int) -> str:
    """How a process ended, for people: `exit code 1` or `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
