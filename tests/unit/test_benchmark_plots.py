"""benchmarks/plots.py: logarithmic axes and the picture; benchmarks/fleet.py: what is worked out of what was seen."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.fleet import Size, latencies, scaled, sweeps_a_second
from benchmarks.fleet_etcd import Counters
from benchmarks.fleet_hosts import Changed
from benchmarks.key_watch import KeyWatch, Seen
from benchmarks.plots import Axis, plot


def test_an_axis_goes_from_power_to_power_of_ten() -> None:
    """Each step is ten times as much, and takes the same room."""
    axis = Axis.over("hosts", [10, 700], 0.0, 100.0)
    assert list(axis.ticks()) == [(0.0, "10"), (50.0, "100"), (100.0, "1,000")]
    assert axis.place(100) == 50.0


def test_an_axis_names_fractions() -> None:
    """A tenth and a hundredth are written out."""
    assert [text for _, text in Axis.over("cores", [0.01, 1], 0, 1).ticks()] == ["0.01", "0.1", "1"]


def test_an_axis_for_one_value_has_room() -> None:
    """Ten alone still makes an axis with two ends."""
    assert [text for _, text in Axis.over("hosts", [10], 0, 1).ticks()] == ["10", "100"]


def test_zero_has_no_place() -> None:
    """There is no power of ten for it."""
    with pytest.raises(ValueError, match="no place"):
        Axis.over("cores", [0, 1], 0, 1)


def test_a_plot_is_svg_with_a_point_for_each_value() -> None:
    """Names are escaped."""
    picture = ElementTree.fromstring(
        plot("CPU", "hosts", "cores", {"v3 < v2": [(10, 0.1), (100, 0.2)], "v2": [(10, 1)]})
    )
    name = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{name}circle")) == 3
    assert "v3 < v2" in [each.text for each in picture.findall(f"{name}text")]


def test_a_latency_lasts_from_the_change_to_the_first_sight_of_its_key() -> None:
    """A change of another kind, and a change that nobody saw, do not count."""
    watch = KeyWatch("127.0.0.1:1", "/services", 3)
    watch.seen.extend([Seen(2.0, "put", "/a"), Seen(3.0, "put", "/a"), Seen(5.0, "delete", "/a")])
    changes = [Changed(1.5, "put", "/a"), Changed(4.0, "delete", "/a"), Changed(4.0, "put", "/b")]
    assert latencies(changes, watch) == [0.5, 1.0]


def test_what_agents_cost_is_multiplied_and_what_others_cost_is_not() -> None:
    """A tenth of the hosts runs; the writes of the others are all there."""
    size = Size(3, 1000, 100, 60)
    total = scaled(Counters(cpu=0.3, requests=25), Counters(cpu=0.1, requests=5), size.scale)
    assert total.cpu == pytest.approx(2.1)
    assert total.requests == pytest.approx(205)


@pytest.mark.parametrize(
    ("key", "name"),
    [("/services/app/host:c1:80", "c1"), ("/services/app/host:c1:53:udp", "c1"), ("/a/own-id", "/a/own-id")],
)
def test_a_key_names_its_container(key: str, name: str) -> None:
    """A key under an id of the operator's own names none."""
    assert Seen(0.0, "put", key).name == name


def test_the_sweeps_of_a_large_fleet_do_not_become_more_with_its_hosts() -> None:
    """Ten times the hosts sweep a tenth as often each."""
    assert sweeps_a_second(1000) == pytest.approx(sweeps_a_second(100)) == pytest.approx(20 / 52.5)
