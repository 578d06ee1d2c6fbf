"""Times of one row after the other, on a clock that the test winds."""

import pytest

from keras_kd.evaluation import latency as module
from keras_kd.evaluation.latency import latency


@pytest.fixture
def clock(monkeypatch):
    """A clock; `advance(seconds)` is all that moves it."""

    class Clock:
        now = 100.0

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    return clock


def test_fastest_time_of_each_row_counts(clock):
    # Milliseconds of each call: three to warm up, then three rounds of rows.
    times = iter([900, 900, 900, 10, 40, 20, 12, 30, 20, 11, 50, 80])
    seen = []

    def predict(row):
        seen.append(row)
        clock.advance(next(times) / 1000)

    result = latency(predict, ["a", "b", "c"])
    assert seen == list("aaa" + "abc" * 3)
    # The fastest are 10, 30 and 20: 90% of the way from the first to the
    # third is 0.8 of the way from 20 to 30.
    assert result["rows"] == 3
    assert result["p50"] == pytest.approx(20)
    assert result["p90"] == pytest.approx(28)


def test_one_row_once_without_warming_up(clock):
    calls = []

    def predict(row):
        calls.append(row)
        clock.advance(0.25)

    result = latency(predict, [7], repeats=1, warm_up=0)
    assert calls == [7]
    assert result == {
        "p50": pytest.approx(250),
        "p90": pytest.approx(250),
        "rows": 1,
    }


def test_what_stands_between_the_calls_does_not_count(clock):
    class Slow(list):
        """Rows that take a second to be looked up."""

        def __iter__(self):
            for row in list.__iter__(self):
                clock.advance(1.0)
                yield row

    result = latency(lambda row: clock.advance(0.002), Slow([1, 2]))
    assert result["p90"] == pytest.approx(2)


def test_no_rows():
    with pytest.raises(ValueError, match="one row or more.*Received: 0"):
        latency(print, [])
