"""Reading counters and histograms back: sums by label, and times out of buckets."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from streamclf import metrics


def test_times_of_the_last_minute_are_told_as_exactly_as_the_buckets_are() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "text", ["pack"], buckets=(0.01, 0.02, 0.1), registry=registry)
    for _ in range(100):
        histogram.labels("big").observe(0.5)
    before = metrics.times(histogram, "pack")["big"]
    for seconds in [0.005] * 50 + [0.015] * 49 + [0.05]:
        histogram.labels("big").observe(seconds)
    minute = metrics.times(histogram, "pack")["big"].since(before)

    assert minute.number == 100
    assert minute.total_s == pytest.approx(0.25 + 0.735 + 0.05)
    assert minute.quantile_ms(0.5) == pytest.approx(10)
    assert minute.quantile_ms(0.99) == pytest.approx(20)
    assert minute.quantile_ms(1.0) == pytest.approx(100)
    assert before.quantile_ms(0.5) == 100  # above the last bound nothing is known but that
    assert before.since(before).quantile_ms(0.5) is None


def test_sums_are_by_the_labels_that_are_named() -> None:
    counter = Counter("c", "text", ["stream", "reason"], registry=CollectorRegistry())
    counter.labels("mic", "xrun").inc(2)
    counter.labels("mic", "lost").inc()
    counter.labels("yard", "lost").inc(4)

    assert metrics.sums(counter, "stream") == {"mic": 3, "yard": 4}
    assert metrics.sums(counter, "stream", "reason")["mic\nxrun"] == 2
    assert metrics.sums(counter) == {"": 7}
