"""The devices of a load, and for each user the one series whose verdicts are all read."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from signals import KINDS, Sample, Series

# Requests per second of one Locust user: a load of 500 requests/s is 50 users.
RATE_PER_USER = 10

# Nine of ten requests of a user are reports, one reads an analysis.
REQUESTS_PER_TURN = 10
METRICS = ("cpu", "rps")

# With ten devices, a user reads verdicts as fast as its watched series gets samples.
DEVICES_PER_USER = 10
REPORTS_PER_S = RATE_PER_USER * (REQUESTS_PER_TURN - 1) / REQUESTS_PER_TURN

# Receipts whose verdicts were not read yet. Bounds the memory if the service responds too slowly.
PENDING_MAX = 1000


@dataclass(frozen=True)
class Report:
    """The report of a device: one sample of each of its metrics."""

    device: str
    timestamp_ms: int
    samples: dict[str, Sample]

    def body(self) -> dict:
        metrics = {name: sample.value for name, sample in self.samples.items()}
        return {"device": self.device, "timestamp": self.timestamp_ms, "metrics": metrics}


class Device:
    def __init__(self, seed: int, number: int, kinds_from: int, interval_s: float):
        self.name = f"load-{number}"
        self.series = {
            metric: Series(seed, f"{self.name}/{metric}", KINDS[(kinds_from + i) % len(KINDS)], interval_s)
            for i, metric in enumerate(METRICS)
        }

    def report(self, now_ms: int) -> Report:
        return Report(self.name, now_ms, {metric: series.next() for metric, series in self.series.items()})


@dataclass(frozen=True)
class WatchedSample:
    """A sample of a watched series, with the receipt that leads to its verdict."""

    receipt: str
    sample: Sample
    timestamp_ms: int


class Watch:
    """The watched series of one user, with the samples whose verdicts were not read yet."""

    def __init__(self, series: Series, device: str, metric: str):
        self.series = series
        self.device = device
        self.metric = metric
        self.pending: deque[WatchedSample] = deque()
        self.dropped = 0
        # A receipt begins with its partition, and a report of two metrics may have two receipts. The first report has
        # this metric only, so that its receipt identifies the partition of the series.
        self._partition: str | None = None

    @property
    def key(self) -> str:
        return self.series.key

    def body(self, report: Report) -> dict:
        if self._partition is not None:
            return report.body()
        return {"key": self.key, "value": report.samples[self.metric].value, "timestamp": report.timestamp_ms}

    def accepted(self, report: Report, receipts: list[str]) -> None:
        """Records the receipts of a report of the watched device."""
        if self._partition is None:
            (receipt,) = receipts
            self._partition = receipt.partition(":")[0]
        receipt = next(one for one in receipts if one.partition(":")[0] == self._partition)
        if len(self.pending) >= PENDING_MAX:
            self.pending.popleft()
            self.dropped += 1
        self.pending.append(WatchedSample(receipt, report.samples[self.metric], report.timestamp_ms))

    def take(self, before_ms: int) -> WatchedSample | None:
        """Removes and returns the oldest sample, if it was sent before `before_ms`."""
        if self.pending and self.pending[0].timestamp_ms <= before_ms:
            return self.pending.popleft()
        return None


class Site:
    """The devices behind one Locust user."""

    def __init__(self, seed: int, number: int, devices: int = DEVICES_PER_USER):
        self.number = number
        interval_s = devices / REPORTS_PER_S
        # The kinds of signals rotate, so that each is watched by every fourth user.
        self.devices = [Device(seed, number * devices + i, number + i, interval_s) for i in range(devices)]
        watched = self.devices[0]
        self.watch = Watch(watched.series[METRICS[-1]], watched.name, METRICS[-1])
        self._requests = 0
        self._reports = 0

    def is_query_turn(self) -> bool:
        """Returns whether the next request reads a verdict. Otherwise it is a report."""
        self._requests += 1
        return self._requests % REQUESTS_PER_TURN == 0

    def report(self, now_ms: int) -> Report:
        device = self.devices[self._reports % len(self.devices)]
        self._reports += 1
        return device.report(now_ms)


class Fleet:
    """All sites. A new user continues the site of a user that left, so that no series starts again."""

    def __init__(self, seed: int, devices: int = DEVICES_PER_USER):
        self._seed = seed
        self._devices = devices
        self.sites: list[Site] = []
        self._free: list[int] = []

    def take(self) -> Site:
        if self._free:
            return self.sites[heapq.heappop(self._free)]
        self.sites.append(Site(self._seed, len(self.sites), self._devices))
        return self.sites[-1]

    def give_back(self, site: Site) -> None:
        heapq.heappush(self._free, site.number)
