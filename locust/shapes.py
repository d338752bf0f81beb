"""The shapes of a load: how many requests a second are wanted at a moment of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Steps in which a ramp rises.
RAMP_STEPS = 10

# What a spike comes from and goes back to, and when it is there, as shares of the rate and of the time.
SPIKE_BASE = 0.25
SPIKE_FROM, SPIKE_TO = 0.4, 0.6


@dataclass(frozen=True)
class Shape:
    # How long it takes when nobody says.
    seconds: int
    about: str
    # Share of the rate at a share of the time, from 0 up to and without 1.
    level: Callable[[float], float]

    def rate(self, rps: float, seconds: float, at_s: float) -> float | None:
        """Requests a second at this moment; None when the run is over."""
        if at_s >= seconds:
            return None
        return rps * self.level(at_s / seconds)

    def planned(self, rps: float, seconds: float) -> float:
        """Requests of a whole run. The levels are steps, so looking a thousand times is exact enough."""
        looks = 1000
        return sum(self.level((i + 0.5) / looks) for i in range(looks)) / looks * rps * seconds


def _ramp(share: float) -> float:
    return (int(share * RAMP_STEPS) + 1) / RAMP_STEPS


def _spike(share: float) -> float:
    return 1.0 if SPIKE_FROM <= share < SPIKE_TO else SPIKE_BASE


SHAPES = {
    "steady": Shape(300, "the rate from the first second to the last", lambda share: 1.0),
    "ramp": Shape(300, f"from a tenth of the rate up to all of it, in {RAMP_STEPS} steps", _ramp),
    "spike": Shape(300, "a quarter of the rate, all of it for a fifth of the time, a quarter again", _spike),
    "soak": Shape(4 * 3600, "the rate for hours", lambda share: 1.0),
}
