"""The thresholds of a run. A missed threshold is reported as a sentence, and by the exit code."""

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


# The detection thresholds fit the default detector. It flags values more than two deviations from the mean: 5.6 % of
# normal noise.
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
    """Returns a sentence for each missed threshold. Apart from requests, what was not measured misses nothing."""
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
        lines.append("no request was completed")
    return [line for line in lines if line is not None]


def at_most(what: str, value: float | None, limit: float) -> str | None:
    return f"{what} is {value:.4g}, the limit is {limit:g}" if value is not None and value > limit else None


def at_least(what: str, value: float | None, limit: float) -> str | None:
    return f"{what} is {value:.4g}, the minimum is {limit:g}" if value is not None and value < limit else None
