"""The speed at exactly the recall wanted is read off a frontier."""

import math

import pytest

from magnetite.bench.curve import Point, around, at, frontier

POINTS = [
    Point(0.80, 1000.0, (4,)),
    Point(0.92, 500.0, (8,)),
    Point(0.91, 450.0, (9,)),  # beaten by the one before
    Point(0.92, 400.0, (10,)),  # as good, slower
    Point(0.99, 100.0, (64,)),
]


def test_a_frontier_holds_what_no_other_beats():
    assert [point.setting for point in frontier(POINTS)] == [(4,), (8,), (64,)]
    assert frontier(POINTS[::-1]) == frontier(POINTS)


@pytest.mark.parametrize(
    ("recall", "wanted"),
    [
        (0.70, [(4,)]),  # the fastest already finds more
        (0.80, [(4,)]),
        (0.85, [(4,), (8,)]),
        (0.99, [(8,), (64,)]),
        (0.995, []),  # not reached, not pretended
    ],
)
def test_a_wanted_recall_lies_between_its_neighbours(recall, wanted):
    assert [point.setting for point in around(frontier(POINTS), recall)] == wanted


def test_between_two_points_the_logarithm_is_straight():
    assert at(0.95, [0.90, 1.0], [1000.0, 10.0]) == pytest.approx(100.0)
    assert at(0.90, [0.90, 1.0], [1000.0, 10.0]) == pytest.approx(1000.0)
    assert at(0.99, [0.98, 0.99], [math.e**2, math.e]) == pytest.approx(math.e)
    assert at(0.5, [0.8, 0.9], [3.0, 2.0]) == 3.0  # nothing is made up below the first
    assert at(0.95, [0.97], [7.0]) == 7.0
