"""What a run must reach. A missed threshold is a sentence, and the run's exit code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    option: str
    default: float
    about: str

    @property
    def name(self) -> str:
        return self.option.replace("-", "_")


# Detection's are about the detector as it comes, which flags whatever is two deviations off: 5.6 % of normal noise.
THRESHOLDS = (
    Threshold("errors-max", 0, "share of requests that may fail"),
    Threshold("p95-max-ms", 10, "p95 of each route, in milliseconds"),
    Threshold("rate-min", 0.98, "share of the planned requests that must have been made"),
    Threshold("unjudged-max", 0, "share of watched samples that may have no verdict"),
    Threshold("recall-min", 0.9, "share of the labelled anomalies that must be found"),
    Threshold("precision-min", 0.25, "share of flagged samples that must be labelled"),
    Threshold("false-positives-max", 0.1, "share of normal samples that may be flagged"),
)


def missed(summary: dict, limits: dict[str, float]) -> list[str]:
    """A sentence for each threshold that the run missed. What was not measured misses nothing, but for requests."""
    detection = summary["detection"]
    lines = [
        at_most("share of failed requests", summary["error_rate"], limits["errors_max"]),
        *(
            at_most(f"p95 of {route['name']} in ms", route["ms"]["p95"], limits["p95_max_ms"])
            for route in summary["routes"]
        ),
        at_least("share of the planned requests", summary["requests"] / summary["planned"], limits["rate_min"]),
        at_most("share of watched samples without a verdict", summary["unjudged_rate"], limits["unjudged_max"]),
        at_least("recall", detection["recall"], limits["recall_min"]),
        at_least("precision", detection["precision"], limits["precision_min"]),
        at_most("share of normal samples flagged", detection["false_positive_rate"], limits["false_positives_max"]),
    ]
    if summary["requests"] == 0:
        lines.append("not one request was answered")
    return [line for line in lines if line is not None]


def at_most(what: str, value: float | None, limit: float) -> str | None:
    return f"{what} is {value:.4g}, allowed is at most {limit:g}" if value is not None and value > limit else None


def at_least(what: str, value: float | None, limit: float) -> str | None:
    return f"{what} is {value:.4g}, wanted is at least {limit:g}" if value is not None and value < limit else None
