import statistics
import unittest

from signals import ANOMALIES, KINDS, QUIET_FIRST, QUIET_MIN, Series


def series(kind="noise", seed=1, key="load-0/rps"):
    return Series(seed, key, kind, 1.0)


def take(source, count):
    return [source.next() for _ in range(count)]


class Signals(unittest.TestCase):
    def test_equal_seeds_give_equal_samples(self):
        for kind in KINDS:
            self.assertEqual(take(series(kind), 500), take(series(kind), 500))

    def test_another_seed_or_key_gives_other_samples(self):
        values = [sample.value for sample in take(series(), 50)]
        self.assertNotEqual(values, [sample.value for sample in take(series(seed=2), 50)])
        self.assertNotEqual(values, [sample.value for sample in take(series(key="load-1/rps"), 50)])

    def test_an_unknown_kind_is_rejected(self):
        with self.assertRaisesRegex(ValueError, "wave, noise, drift, flat, not 'square'"):
            series("square")

    def test_a_flat_signal_is_constant_except_for_its_anomalies(self):
        values = {sample.value for sample in take(series("flat"), 500) if sample.anomaly is None}
        self.assertEqual(len(values), 1)

    def test_noise_has_the_deviation_that_scales_its_anomalies(self):
        samples = take(series("noise"), 5000)
        normal = [sample.value for sample in samples if sample.anomaly is None]
        self.assertAlmostEqual(statistics.pstdev(normal) / series("noise")._deviation, 1, delta=0.05)
        spike = next(s for s in samples if s.anomaly is not None and s.anomaly.kind == "spike")
        self.assertGreater(spike.value, statistics.mean(normal))
        size = abs(spike.anomaly.size) / statistics.pstdev(normal)
        self.assertTrue(3.8 < size < 12.3, size)

    def test_a_drift_goes_one_way_and_a_wave_returns(self):
        def level(kind, begin):
            samples = take(series(kind), begin + 200)[begin:]
            return statistics.mean(sample.value for sample in samples if sample.anomaly is None)

        drift = [level("drift", begin) for begin in (0, 3600)]
        wave = [level("wave", begin) for begin in (0, 1800, 3600)]
        deviation = series("drift")._deviation
        self.assertGreater(abs(drift[1] - drift[0]), 30 * deviation)
        self.assertLess(abs(wave[2] - wave[0]), deviation)
        self.assertGreater(abs(wave[1] - wave[0]), 2 * deviation)


class Labels(unittest.TestCase):
    def setUp(self):
        self.samples = take(series("flat"), 3000)
        self.normal = self.samples[0].value

    def test_exactly_the_anomalous_samples_are_labelled(self):
        for sample in self.samples:
            self.assertEqual(sample.anomaly is not None, sample.value != self.normal, sample)

    def test_an_anomaly_has_the_length_of_its_kind(self):
        lengths = {}
        for sample in self.samples[:-30]:
            if sample.anomaly is not None:
                lengths.setdefault(sample.anomaly, []).append(sample.index)
        self.assertEqual({one.kind for one in lengths}, set(ANOMALIES))
        for anomaly, indexes in lengths.items():
            expected = list(range(anomaly.first, anomaly.first + ANOMALIES[anomaly.kind][0]))
            self.assertEqual(indexes, expected, anomaly)

    def test_anomalies_begin_after_a_full_window_and_with_pauses(self):
        anomalies = sorted({s.anomaly.first: s.anomaly for s in self.samples if s.anomaly}.values(), key=lambda a: a.first)
        self.assertGreaterEqual(anomalies[0].first, QUIET_FIRST)
        for before, after in zip(anomalies, anomalies[1:]):
            self.assertGreaterEqual(after.first - before.first - before.length, QUIET_MIN)

    def test_a_dip_is_below_a_burst_above_and_a_creep_grows(self):
        for sample in self.samples:
            kind = sample.anomaly.kind if sample.anomaly else None
            if kind == "dip":
                self.assertLess(sample.value, self.normal)
            elif kind in ("burst", "spike"):
                self.assertGreater(sample.value, self.normal)
        creep = [abs(s.value - self.normal) for s in self.samples if s.anomaly and s.anomaly.kind == "creep"][:20]
        self.assertEqual(creep, sorted(creep))
        self.assertAlmostEqual(creep[-1] / creep[0], 20, delta=0.2)
