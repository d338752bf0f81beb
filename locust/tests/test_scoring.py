import unittest

from fleet import WatchedSample
from scoring import Score, describe, describe_anomalies, is_verdict_on
from signals import Anomaly, Sample

SHIFT = Anomaly(1, "shift", 4, 3, 10.0)
SPIKE = Anomaly(2, "spike", 9, 1, 10.0)


def watched(index, anomaly=None):
    return WatchedSample(f"0:{index}-0", Sample(index, 1.5, anomaly), 1000 * index)


def analysis(index, is_flagged, state=None, took_ms=5):
    return {
        "id": f"0:{index}-0",
        "value": 1.5,
        "timestamp": 1000 * index,
        "anomaly": is_flagged,
        "state": state or ("anomalous" if is_flagged else "ok"),
        "analyzed_at": 1000 * index + took_ms,
    }


def scored(samples):
    """Returns the score of samples given as (index, anomaly, is_flagged)."""
    score = Score("noise")
    for index, anomaly, is_flagged in samples:
        score.judge(watched(index, anomaly), analysis(index, is_flagged))
    return score


class Scoring(unittest.TestCase):
    def test_precision_counts_samples_and_recall_counts_anomalies(self):
        score = scored([(3, None, True), (4, SHIFT, False), (5, SHIFT, True), (6, SHIFT, True), (7, None, False), (9, SPIKE, False)])
        result = describe([score])
        self.assertEqual((result["anomalies"], result["found"], result["flagged"]), (2, 1, 3))
        self.assertAlmostEqual(result["precision"], 2 / 3)
        self.assertEqual(result["recall"], 0.5)
        self.assertEqual(result["false_positive_rate"], 0.5)

    def test_the_delay_is_from_the_start_of_the_anomaly_to_the_first_flag(self):
        result = describe([scored([(4, SHIFT, False), (5, SHIFT, True), (6, SHIFT, True)])])
        self.assertEqual(result["delay_samples"], 1.0)
        self.assertEqual(result["delay_ms"]["average"], 1005)
        self.assertEqual(result["verdict_ms"]["average"], 5)

    def test_without_a_labelled_sample_there_is_no_precision(self):
        result = describe([scored([(3, None, True), (4, None, False)])])
        self.assertEqual((result["precision"], result["recall"], result["false_positive_rate"]), (None, None, 0.5))

    def test_warming_samples_are_counted_but_not_scored(self):
        score = Score("noise")
        score.judge(watched(4, SHIFT), analysis(4, False, "warming"))
        result = describe([score])
        self.assertEqual((result["warming"], result["verdicts"], result["anomalies"]), (1, 0, 0))
        self.assertIsNone(result["recall"])
        self.assertIsNone(result["precision"])

    def test_anomalies_with_equal_numbers_on_two_series_are_distinct(self):
        scores = [scored([(9, SPIKE, True)]), scored([(9, SPIKE, False)])]
        self.assertEqual(describe(scores)["recall"], 0.5)
        self.assertEqual(describe_anomalies(scores), [{"kind": "spike", "anomalies": 2, "found": 1}])

    def test_only_the_analysis_of_the_sample_itself_is_its_verdict(self):
        self.assertTrue(is_verdict_on(watched(4), analysis(4, False)))
        for wrong in ({"id": "0:5-0"}, {"timestamp": 1}, {"value": 1.6}):
            self.assertFalse(is_verdict_on(watched(4), {**analysis(4, False), **wrong}), wrong)
        self.assertFalse(is_verdict_on(watched(4), {}))
