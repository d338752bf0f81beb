"""Verdicts against labels: what was found, what was flagged without a reason, and how long it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fleet import Asked
from histogram import Histogram
from signals import Anomaly


@dataclass
class Found:
    """A labelled anomaly of which at least one sample was judged."""

    anomaly: Anomaly
    # When its first judged sample was measured.
    begin_ms: int
    # Samples and milliseconds from its beginning to the first verdict that flags it; None while there is none.
    delay_samples: int | None = None
    delay_ms: float | None = None


@dataclass
class Score:
    """Of one watched series."""

    kind: str
    # warming, true_positives, false_positives, true_negatives, false_negatives.
    counts: Counter[str] = field(default_factory=Counter)
    anomalies: dict[int, Found] = field(default_factory=dict)
    # From a sample's timestamp to its verdict.
    verdict_ms: Histogram = field(default_factory=Histogram)

    def judge(self, asked: Asked, analysis: dict) -> None:
        """Takes the analysis of a sample. Verdicts come in the samples' order."""
        sample = asked.sample
        self.verdict_ms.add(max(0, analysis["analyzed_at"] - asked.timestamp_ms))
        if analysis["state"] == "warming":
            self.counts["warming"] += 1
            return
        is_flagged = analysis["anomaly"]
        if sample.anomaly is None:
            self.counts["false_positives" if is_flagged else "true_negatives"] += 1
            return
        self.counts["true_positives" if is_flagged else "false_negatives"] += 1
        found = self.anomalies.setdefault(sample.anomaly.number, Found(sample.anomaly, asked.timestamp_ms))
        if is_flagged and found.delay_samples is None:
            found.delay_samples = sample.index - sample.anomaly.first
            found.delay_ms = analysis["analyzed_at"] - found.begin_ms


def is_verdict_on(asked: Asked, analysis: dict) -> bool:
    """Whether the analysis is of that very sample, not of a newer one of its key."""
    same_time = analysis.get("timestamp") == asked.timestamp_ms
    return same_time and analysis.get("value") == asked.sample.value and analysis.get("id") == asked.receipt


def describe(scores: list[Score]) -> dict:
    """Precision counts samples: of those flagged, how many were anomalous. Recall counts anomalies: of those that there
    were, how many had a sample flagged. Shares of nothing are None."""
    counts: Counter[str] = sum((score.counts for score in scores), Counter())
    anomalies = [found for score in scores for found in score.anomalies.values()]
    found = [one for one in anomalies if one.delay_samples is not None]
    tp, fp, tn, fn = (
        counts[name] for name in ("true_positives", "false_positives", "true_negatives", "false_negatives")
    )
    verdict_ms = Histogram()
    delay_ms = Histogram()
    for score in scores:
        verdict_ms.merge(score.verdict_ms)
    for one in found:
        delay_ms.add(one.delay_ms or 0)
    delays = sorted(one.delay_samples or 0 for one in found)
    return {
        "series": len(scores),
        "verdicts": tp + fp + tn + fn,
        "warming": counts["warming"],
        "flagged": tp + fp,
        "anomalies": len(anomalies),
        "found": len(found),
        # Where nothing was labelled yet, nothing could be right.
        "precision": share(tp, tp + fp) if tp + fn > 0 else None,
        "recall": share(len(found), len(anomalies)),
        "sample_recall": share(tp, tp + fn),
        "false_positive_rate": share(fp, fp + tn),
        "accuracy": share(tp + tn, tp + fp + tn + fn),
        "delay_samples": {
            "average": share(sum(delays), len(delays)),
            "max": delays[-1] if delays else None,
            "at_once": share(delays.count(0), len(delays)),
        },
        "delay_ms": delay_ms.describe(),
        "verdict_ms": verdict_ms.describe(),
    }


def describe_anomalies(scores: list[Score]) -> list[dict]:
    """By kind of anomaly: how many there were and how many were found."""
    anomalies = [found for score in scores for found in score.anomalies.values()]
    kinds = sorted({one.anomaly.kind for one in anomalies})
    return [
        {
            "kind": kind,
            "anomalies": len(of_kind),
            "found": sum(one.delay_samples is not None for one in of_kind),
        }
        for kind in kinds
        for of_kind in [[one for one in anomalies if one.anomaly.kind == kind]]
    ]


def share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
