"""Compares verdicts with labels: anomalies found, false positives and detection delays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fleet import WatchedSample
from histogram import Histogram
from signals import Anomaly


@dataclass
class Found:
    """A labelled anomaly with at least one scored sample."""

    anomaly: Anomaly
    # The timestamp of its first scored sample.
    begin_ms: int
    # Samples and milliseconds from its start to the first verdict that flags it; None while there is none.
    delay_samples: int | None = None
    delay_ms: float | None = None


@dataclass
class Score:
    """The score of one watched series."""

    kind: str
    # warming, true_positives, false_positives, true_negatives, false_negatives.
    counts: Counter[str] = field(default_factory=Counter)
    anomalies: dict[int, Found] = field(default_factory=dict)
    # From a sample's timestamp to its verdict.
    verdict_ms: Histogram = field(default_factory=Histogram)

    def judge(self, watched: WatchedSample, analysis: dict) -> None:
        """Records the analysis of a sample. Analyses must be in the order of the samples."""
        sample = watched.sample
        self.verdict_ms.add(max(0, analysis["analyzed_at"] - watched.timestamp_ms))
        if analysis["state"] == "warming":
            self.counts["warming"] += 1
            return
        is_flagged = analysis["anomaly"]
        if sample.anomaly is None:
            self.counts["false_positives" if is_flagged else "true_negatives"] += 1
            return
        self.counts["true_positives" if is_flagged else "false_negatives"] += 1
        found = self.anomalies.setdefault(sample.anomaly.number, Found(sample.anomaly, watched.timestamp_ms))
        if is_flagged and found.delay_samples is None:
            found.delay_samples = sample.index - sample.anomaly.first
            found.delay_ms = analysis["analyzed_at"] - found.begin_ms


def is_verdict_on(watched: WatchedSample, analysis: dict) -> bool:
    """Returns whether the analysis is that of the sample itself, not of a newer one of its key."""
    same_time = analysis.get("timestamp") == watched.timestamp_ms
    return same_time and analysis.get("value") == watched.sample.value and analysis.get("id") == watched.receipt


def describe(scores: list[Score]) -> dict:
    """Summarizes scores. Precision is the share of flagged samples that were anomalous. Recall is the share of anomalies
    with a flagged sample. A share of nothing is None."""
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
    delays = [one.delay_samples or 0 for one in found]
    return {
        "series": len(scores),
        "verdicts": tp + fp + tn + fn,
        "warming": counts["warming"],
        "flagged": tp + fp,
        "anomalies": len(anomalies),
        "found": len(found),
        # Without a labelled sample, no flag could be right.
        "precision": share(tp, tp + fp) if tp + fn > 0 else None,
        "recall": share(len(found), len(anomalies)),
        "false_positive_rate": share(fp, fp + tn),
        "delay_samples": share(sum(delays), len(delays)),
        "delay_ms": delay_ms.describe(),
        "verdict_ms": verdict_ms.describe(),
    }


def describe_anomalies(scores: list[Score]) -> list[dict]:
    """Returns the number of anomalies, and of found ones, by kind."""
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
