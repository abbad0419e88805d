"""The class of an event from the class probabilities of a network's decisions."""

from __future__ import annotations

from edgequake.edge.detection.class_votes import ClassVotes

OUTPUTS = ("noise", "quake", "blast")


def votes(*values: list[float]) -> ClassVotes:
    made = ClassVotes(OUTPUTS, ("quake", "blast"))
    for k, value in enumerate(values):
        made.add(10 * k, value)
    return made


def test_the_class_is_that_of_the_largest_mean_within_the_event() -> None:
    made = votes([0.9, 0.1, 0.0], [0.1, 0.6, 0.3], [0.0, 0.2, 0.8], [0.0, 0.3, 0.7], [0.0, 1.0, 0.0])
    assert made.classify(10, 40) == "blast"  # 1.1 against 1.8 in three decisions
    assert made.classify(10, 20) == "quake"
    assert made.classify(0, 100) == "quake"  # 2.2 against 1.8
    assert made.classify(50, 60) == ""  # no decision begins in it


def test_only_what_an_open_event_needs_is_kept_and_stored() -> None:
    made = votes([0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    made.forget_before(10)
    assert made.state() == {"start_ns": [10, 20], "values": [[0.0, 1.0], [0.0, 1.0]]}
    again = ClassVotes(OUTPUTS, ("quake", "blast"))
    again.restore(made.state())
    assert again.classify(0, 100) == made.classify(0, 100) == "blast"
    made.forget_before(None)
    assert made.state() == {"start_ns": [], "values": []}
