"""The values of devices: seeded signals with labelled anomalies. Equal seeds give equal values, bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

KINDS = ("wave", "noise", "drift", "flat")

# The period of the wave, in seconds: in a run of minutes it moves, in a soak it repeats.
DAY_S = 3600

# No anomaly begins before a window of 50 samples is full.
QUIET_FIRST = 60

# Samples between two anomalies. Shorter than a window, so that some begin while the previous one still widens the
# normal range.
QUIET_MIN = 30
QUIET_MEAN = 50

# Anomalies by kind: length in samples, and possible signs. A creep grows to its size, the others have it at once.
ANOMALIES = {
    "spike": (1, (1,)),
    "dip": (3, (-1,)),
    "burst": (5, (1,)),
    "shift": (20, (1, -1)),
    "creep": (20, (1, -1)),
}

# The size of an anomaly, in standard deviations of the signal.
SIZE_MIN, SIZE_MAX = 4.0, 12.0


@dataclass(frozen=True)
class Anomaly:
    """One labelled stretch of a series."""

    number: int
    kind: str
    first: int
    length: int
    # The offset at the end of the anomaly.
    size: float

    def offset(self, index: int) -> float:
        """Returns the offset of sample number `index`."""
        return self.size * (index - self.first + 1) / self.length if self.kind == "creep" else self.size


@dataclass(frozen=True)
class Sample:
    index: int
    value: float
    anomaly: Anomaly | None


class Series:
    """The values of one key. Time is the number of samples, not a clock."""

    def __init__(self, seed: int, key: str, kind: str, interval_s: float):
        if kind not in KINDS:
            raise ValueError(f"the kind of a signal must be one of {', '.join(KINDS)}, not {kind!r}")
        self.key = key
        self.kind = kind
        self._random = Random(f"{seed}:{key}")
        self._interval_s = interval_s
        self._level = self._random.uniform(100, 500)
        self._phase = self._random.random()
        # A flat signal has no deviation, but its anomalies need a scale.
        self._deviation = self._level * 0.02
        self._slope = self._random.choice((1, -1)) * 0.01 * self._deviation
        self._index = 0
        self._anomalies = 0
        self._anomaly = self._plan(QUIET_FIRST)

    def next(self) -> Sample:
        index = self._index
        self._index += 1
        if index >= self._anomaly.first + self._anomaly.length:
            self._anomaly = self._plan(index + QUIET_MIN)
        value = self._normal(index)
        anomaly = self._anomaly if index >= self._anomaly.first else None
        if anomaly is not None:
            value += anomaly.offset(index)
        return Sample(index, round(value, 3), anomaly)

    def _normal(self, index: int) -> float:
        if self.kind == "flat":
            return self._level
        value = self._level + self._random.gauss(0, self._deviation)
        if self.kind == "wave":
            day = index * self._interval_s / DAY_S + self._phase
            value += 10 * self._deviation * math.sin(2 * math.pi * day)
        elif self.kind == "drift":
            value += index * self._slope
        return value

    def _plan(self, earliest: int) -> Anomaly:
        """Returns the next anomaly, which begins some time after `earliest`."""
        kind = self._random.choice(tuple(ANOMALIES))
        length, sides = ANOMALIES[kind]
        size = self._random.uniform(SIZE_MIN, SIZE_MAX) * self._random.choice(sides)
        first = earliest + int(self._random.expovariate(1 / QUIET_MEAN))
        self._anomalies += 1
        return Anomaly(self._anomalies, kind, first, length, size * self._deviation)
