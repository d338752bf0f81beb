"""Durations, counted in buckets of 0.1 ms: a soak of hours must not keep every value."""

from __future__ import annotations

from collections import Counter

BUCKETS_PER_MS = 10


class Histogram:
    """A histogram. Locust's own counts whole milliseconds, too coarse for response times of two."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.sum_ms = 0.0
        self.max_ms = 0.0

    def add(self, ms: float) -> None:
        self._buckets[int(ms * BUCKETS_PER_MS)] += 1
        self.count += 1
        self.sum_ms += ms
        self.max_ms = max(self.max_ms, ms)

    def merge(self, other: Histogram) -> None:
        self._buckets.update(other._buckets)
        self.count += other.count
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)

    def quantile(self, share: float) -> float | None:
        """Returns the upper bound of the bucket that contains the quantile; None without values."""
        rank = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min((bucket + 1) / BUCKETS_PER_MS, self.max_ms)
        return None

    def describe(self) -> dict:
        if self.count == 0:
            return {"count": 0, "average": None, "p50": None, "p95": None, "p99": None, "max": None}
        quantiles = {f"p{round(share * 100)}": self.quantile(share) for share in (0.5, 0.95, 0.99)}
        return {"count": self.count, "average": self.sum_ms / self.count, **quantiles, "max": self.max_ms}
