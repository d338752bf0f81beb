import unittest

from fleet import DEVICES_PER_USER, METRICS, PENDING_MAX, REQUESTS_PER_TURN, Fleet, Site
from signals import KINDS

RECEIPT = "3:1700000000000-0"


class Sites(unittest.TestCase):
    def test_one_request_in_ten_reads_a_verdict(self):
        site = Site(1, 0)
        queries = [site.is_query_turn() for _ in range(50 * REQUESTS_PER_TURN)]
        self.assertEqual(sum(queries), 50)

    def test_devices_report_in_turn_with_all_their_metrics(self):
        site = Site(1, 2)
        reports = [site.report(1000 + i) for i in range(2 * DEVICES_PER_USER)]
        names = [f"load-{20 + i}" for i in range(DEVICES_PER_USER)]
        self.assertEqual([report.device for report in reports], names * 2)
        self.assertEqual(set(reports[0].body()["metrics"]), set(METRICS))
        self.assertEqual(reports[0].body()["timestamp"], 1000)

    def test_every_kind_of_signal_is_watched_by_every_fourth_site(self):
        kinds = [Site(1, number).watch.series.kind for number in range(8)]
        self.assertEqual(set(kinds[:4]), set(KINDS))
        self.assertEqual(kinds[:4], kinds[4:])

    def test_a_new_user_continues_the_site_of_a_user_that_left(self):
        fleet = Fleet(1)
        first, second = fleet.take(), fleet.take()
        first.report(1000)
        fleet.give_back(second)
        fleet.give_back(first)
        self.assertIs(fleet.take(), first)
        self.assertEqual(first.report(1001).device, "load-1")
        self.assertIs(fleet.take(), second)
        self.assertEqual(len(fleet.sites), 2)


class Watches(unittest.TestCase):
    def setUp(self):
        self.site = Site(1, 0)
        self.watch = self.site.watch

    def report(self, now_ms=1000):
        return self.site.devices[0].report(now_ms)

    def test_the_first_report_has_one_metric_and_identifies_the_partition(self):
        report = self.report()
        self.assertEqual(self.watch.body(report), {"key": "load-0/rps", "value": report.samples["rps"].value, "timestamp": 1000})
        self.watch.accepted(report, [RECEIPT])
        later = self.report(2000)
        self.assertEqual(set(self.watch.body(later)["metrics"]), set(METRICS))
        self.watch.accepted(later, ["1:5-0", "3:1700000001000-0"])
        self.assertEqual([watched.receipt for watched in self.watch.pending], [RECEIPT, "3:1700000001000-0"])

    def test_a_partition_is_not_confused_with_one_that_has_the_same_prefix(self):
        self.watch.accepted(self.report(), [RECEIPT])
        self.watch.accepted(self.report(), ["13:1-0", "3:2-0"])
        self.assertEqual(self.watch.pending[-1].receipt, "3:2-0")

    def test_the_oldest_verdict_is_read_first_and_none_too_early(self):
        for now_ms in (1000, 2000):
            self.watch.accepted(self.report(now_ms), [RECEIPT])
        self.assertIsNone(self.watch.take(999))
        self.assertEqual(self.watch.take(1500).timestamp_ms, 1000)
        self.assertIsNone(self.watch.take(1500))

    def test_dropped_receipts_are_counted(self):
        for _ in range(PENDING_MAX + 2):
            self.watch.accepted(self.report(), [RECEIPT])
        self.assertEqual((len(self.watch.pending), self.watch.dropped), (PENDING_MAX, 2))
