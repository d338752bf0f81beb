"""The shapes of a load: the target rate at each moment of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Steps in which a ramp rises.
RAMP_STEPS = 10

# The level before and after a spike as a share of the rate, and its start and end as shares of the time.
SPIKE_BASE = 0.25
SPIKE_FROM, SPIKE_TO = 0.4, 0.6


@dataclass(frozen=True)
class Shape:
    # The default duration.
    seconds: int
    about: str
    # Maps a share of the time, from 0 to below 1, to a share of the rate.
    level: Callable[[float], float]

    def rate(self, rps: float, seconds: float, at_s: float) -> float | None:
        """Returns the target in requests per second; None when the run is over."""
        if at_s >= seconds:
            return None
        return rps * self.level(at_s / seconds)

    def planned(self, rps: float, seconds: float) -> float:
        """Returns the number of requests of a run. Levels are steps, so that 1,000 points are exact enough."""
        points = 1000
        return sum(self.level((i + 0.5) / points) for i in range(points)) / points * rps * seconds


def _ramp(share: float) -> float:
    return (int(share * RAMP_STEPS) + 1) / RAMP_STEPS


def _spike(share: float) -> float:
    return 1.0 if SPIKE_FROM <= share < SPIKE_TO else SPIKE_BASE


SHAPES = {
    "steady": Shape(300, "the full rate from the first second to the last", lambda share: 1.0),
    "ramp": Shape(300, f"from a tenth of the rate to the full rate, in {RAMP_STEPS} steps", _ramp),
    "spike": Shape(300, "a quarter of the rate, the full rate for a fifth of the time, a quarter again", _spike),
    "soak": Shape(4 * 3600, "the full rate for 4 hours", lambda share: 1.0),
}
