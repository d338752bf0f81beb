"""The counts of one run, and its summary."""

from __future__ import annotations

from collections import Counter, deque

from fleet import DEVICES_PER_USER, WatchedSample, Fleet, Watch
from histogram import Histogram
from scoring import Score, describe, describe_anomalies, is_verdict_on
from shapes import SHAPES, Shape

# Series whose values are kept for the pictures, one of each kind. Of a long run, the newest values are kept.
TRACKS = 4
TRACK_LENGTH = 2000


class Run:
    """One run. Times are seconds since its start."""

    def __init__(self, shape: str, rps: float, seconds: float | None, seed: int, devices: int = DEVICES_PER_USER):
        self.shape_name = shape
        self.shape: Shape = SHAPES[shape]
        self.rps = rps
        self.seconds: float = self.shape.seconds if seconds is None else seconds
        self.seed = seed
        self.fleet = Fleet(seed, devices)
        self.routes: dict[str, Histogram] = {}
        self.failures: Counter[str] = Counter()
        self.failures_by_route: Counter[str] = Counter()
        self.samples = 0
        self.unjudged = 0
        self.rows: list[dict] = []
        # How much later than planned requests were sent: shows whether the load generator itself is the limit.
        self.late_ms = Histogram()
        self._scores: dict[str, Score] = {}
        self._tracks: dict[str, deque[dict]] = {}
        self._second = Histogram()
        self._second_counts: Counter[str] = Counter()

    def record_response(self, route: str, ms: float, failure: str | None) -> None:
        self.routes.setdefault(route, Histogram()).add(ms)
        self._second.add(ms)
        if failure is not None:
            self.failures[f"{route}: {failure}"] += 1
            self.failures_by_route[route] += 1
            self._second_counts["failures"] += 1

    def record_verdict(self, watch: Watch, watched: WatchedSample, analysis: dict, at_s: float) -> None:
        """Records the analysis of a watched sample."""
        if not is_verdict_on(watched, analysis):
            self.unjudged += 1
            return
        score = self._scores.setdefault(watch.key, Score(watch.series.kind))
        score.judge(watched, analysis)
        is_labelled = watched.sample.anomaly is not None
        self._second_counts["flagged"] += analysis["anomaly"]
        self._second_counts["labelled"] += is_labelled
        if watch.key not in self._tracks and len(self._tracks) < TRACKS and self._is_new_kind(score.kind):
            self._tracks[watch.key] = deque(maxlen=TRACK_LENGTH)
        if watch.key in self._tracks:
            self._tracks[watch.key].append(
                {
                    "at": round(at_s, 2),
                    "value": watched.sample.value,
                    "low": analysis["low"],
                    "high": analysis["high"],
                    "flagged": analysis["anomaly"],
                    "labelled": is_labelled,
                }
            )

    def end_second(self, at_s: float, users: int) -> dict:
        """Closes the current second of the timeline."""
        row = {
            "at": round(at_s),
            "users": users,
            "target": self.shape.rate(self.rps, self.seconds, at_s - 0.5) or 0,
            "requests": self._second.count,
            "p95": self._second.quantile(0.95),
            **{name: self._second_counts[name] for name in ("failures", "flagged", "labelled")},
        }
        self.rows.append(row)
        self._second = Histogram()
        self._second_counts = Counter()
        return row

    def summary(self) -> dict:
        requests = sum(histogram.count for histogram in self.routes.values())
        failures = self.failures.total()
        scores = list(self._scores.values())
        watches = [site.watch for site in self.fleet.sites]
        unjudged = self.unjudged + sum(watch.dropped + len(watch.pending) for watch in watches)
        judged = sum(score.counts.total() for score in scores)
        kinds = sorted({score.kind for score in scores})
        return {
            "shape": self.shape_name,
            "rps": self.rps,
            "seconds": self.seconds,
            "seed": self.seed,
            "planned": self.shape.planned(self.rps, self.seconds),
            "requests": requests,
            "failures": failures,
            "error_rate": failures / requests if requests else 0,
            "failed": [{"what": what, "count": count} for what, count in self.failures.most_common(10)],
            "samples": self.samples,
            "routes": [
                {"name": name, "failures": self.failures_by_route[name], "ms": histogram.describe()}
                for name, histogram in sorted(self.routes.items())
            ],
            "late_ms": self.late_ms.describe(),
            "unjudged": unjudged,
            "unjudged_rate": unjudged / (judged + unjudged) if judged + unjudged else 0,
            "detection": describe(scores),
            "detection_by_signal": [
                {"kind": kind, **describe([score for score in scores if score.kind == kind])} for kind in kinds
            ],
            "anomalies": describe_anomalies(scores),
            "timeline": self.rows,
            "tracks": [
                {"key": key, "kind": self._scores[key].kind, "points": list(points)}
                for key, points in self._tracks.items()
            ],
        }

    def _is_new_kind(self, kind: str) -> bool:
        return kind not in {self._scores[key].kind for key in self._tracks}
