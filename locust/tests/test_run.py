import random
import unittest

from histogram import Histogram
from run import Run
from shapes import SHAPES
from thresholds import THRESHOLDS, missed

LIMITS = {threshold.name: threshold.default for threshold in THRESHOLDS}


def rates(name, seconds=100, rps=500):
    return [SHAPES[name].rate(rps, seconds, at) for at in range(seconds)]


class Shapes(unittest.TestCase):
    def test_steady_and_soak_hold_the_rate(self):
        for name in ("steady", "soak"):
            self.assertEqual(set(rates(name)), {500})

    def test_a_ramp_rises_in_steps_to_the_rate(self):
        ramp = rates("ramp")
        self.assertEqual(ramp, sorted(ramp))
        self.assertEqual((ramp[0], ramp[-1], len(set(ramp))), (50, 500, 10))

    def test_a_spike_comes_and_goes(self):
        spike = rates("spike")
        self.assertEqual((spike[0], spike[39], spike[40], spike[59], spike[60], spike[99]), (125, 125, 500, 500, 125, 125))

    def test_each_shape_ends(self):
        for shape in SHAPES.values():
            self.assertIsNone(shape.rate(500, 100, 100))

    def test_the_planned_requests_are_the_sum_of_the_rates(self):
        for name, shape in SHAPES.items():
            self.assertAlmostEqual(shape.planned(500, 100), sum(rates(name)), delta=1, msg=name)


class Histograms(unittest.TestCase):
    def test_quantiles_are_right_to_a_tenth_of_a_millisecond(self):
        chance = random.Random(1)
        values = sorted(chance.expovariate(1 / 5) for _ in range(1000))
        histogram = Histogram()
        for value in values:
            histogram.add(value)
        for share in (0.5, 0.95, 0.99):
            self.assertAlmostEqual(histogram.quantile(share), values[round(share * 1000) - 1], delta=0.11)
        self.assertAlmostEqual(histogram.describe()["average"], sum(values) / 1000)
        self.assertEqual(histogram.describe()["max"], values[-1])

    def test_an_empty_histogram_has_no_quantile(self):
        self.assertIsNone(Histogram().describe()["p95"])


def summary(**changes):
    """Returns the summary of a run that missed no threshold."""
    run = Run("steady", 10, 10, 1)
    for _ in range(100):
        run.record_response("POST /ingest", 2.0, None)
    good = run.summary()
    good["detection"] |= {"precision": 0.5, "recall": 1.0, "false_positive_rate": 0.05}
    return {**good, **changes}


class Thresholds(unittest.TestCase):
    def test_a_good_run_misses_no_threshold(self):
        self.assertEqual(missed(summary(), LIMITS), [])

    def test_each_threshold_is_missed_by_its_own_figure(self):
        good = summary()
        slow = [{**good["routes"][0], "ms": {"p95": 10.5}}]
        cases = {
            "failed": summary(error_rate=0.001),
            "p95 of POST /ingest": summary(routes=slow),
            "planned": summary(requests=97),
            "without a verdict": summary(unjudged_rate=0.01),
            "recall": summary(detection={**good["detection"], "recall": 0.8}),
            "precision": summary(detection={**good["detection"], "precision": 0.1}),
            "normal samples": summary(detection={**good["detection"], "false_positive_rate": 0.11}),
        }
        for words, wrong in cases.items():
            lines = missed(wrong, LIMITS)
            self.assertEqual(len(lines), 1, (words, lines))
            self.assertIn(words, lines[0])

    def test_a_run_without_a_response_misses_a_threshold(self):
        empty = Run("steady", 10, 10, 1).summary()
        self.assertIn("no request was completed", missed(empty, LIMITS))

    def test_a_run_too_short_for_verdicts_misses_no_detection_threshold(self):
        short = summary(detection={"recall": None, "precision": None, "false_positive_rate": None})
        self.assertEqual(missed(short, LIMITS), [])


class Runs(unittest.TestCase):
    def test_failures_are_counted_by_message(self):
        run = Run("steady", 10, 10, 1)
        for failure in (None, "503 backlog full", "503 backlog full"):
            run.record_response("POST /ingest", 2.0, failure)
        result = run.summary()
        self.assertEqual(result["failed"], [{"what": "POST /ingest: 503 backlog full", "count": 2}])
        self.assertAlmostEqual(result["error_rate"], 2 / 3)

    def test_a_second_of_the_timeline_has_its_own_requests(self):
        run = Run("ramp", 10, 10, 1)
        run.record_response("POST /ingest", 2.0, None)
        run.record_response("POST /ingest", 4.0, "503")
        first = run.end_second(1, 1)
        self.assertEqual((first["requests"], first["failures"], first["p95"], first["target"]), (2, 1, 4.0, 1.0))
        second = run.end_second(2, 1)
        self.assertEqual((second["requests"], second["failures"], second["p95"]), (0, 0, None))

    def test_the_verdict_on_another_sample_counts_as_missing(self):
        run = Run("steady", 10, 10, 1)
        site = run.fleet.take()
        site.watch.accepted(site.report(1000), ["3:1-0"])
        run.record_verdict(site.watch, site.watch.take(2000), {"id": "3:9-0"}, 1.0)
        result = run.summary()
        self.assertEqual((result["unjudged"], result["unjudged_rate"]), (1, 1.0))

    def test_an_unread_verdict_counts_as_missing(self):
        run = Run("steady", 10, 10, 1)
        site = run.fleet.take()
        site.watch.accepted(site.report(1000), ["3:1-0"])
        self.assertEqual(run.summary()["unjudged"], 1)
