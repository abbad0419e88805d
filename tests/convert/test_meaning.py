"""What the columns of outputs mean is asked where the network does not say it, with the settings that answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgequake.convert.meaning import Columns, columns_of
from edgequake.convert.streaming.layer_graph import Head
from edgequake.edge.base.errors import ConfigError

SIGMOID, LINEAR = [Head("out", 1, "sigmoid")], [Head("out", 1, "linear")]
SOFTMAX, LOGITS = [Head("out", 2, "softmax")], [Head("out", 2, "linear")]
TWO = [Head("out", 2, "sigmoid")]
HEADS = [Head("detector", 1, "sigmoid"), Head("phases", 3, "softmax")]


@pytest.mark.parametrize(
    ("heads", "network", "columns"),
    [
        (SIGMOID, {}, Columns(("event",), (), "linear")),
        ([Head("out", 1, "hard_sigmoid")], {}, Columns(("event",), (), "linear")),
        (LINEAR, {"logits": True}, Columns(("event",), (), "sigmoid")),
        (LINEAR, {"outputs": ["event"]}, Columns(("event",), (), "linear")),
        (TWO, {"outputs": ["onset", "event"]}, Columns(("onset", "event"), (), "linear")),
        (SOFTMAX, {"event_classes": [1]}, Columns(("class_0", "class_1"), ("class_1",), "linear")),
        (
            SOFTMAX,
            {"event_classes": ["quake"], "outputs": ["noise", "quake"]},
            Columns(("noise", "quake"), ("quake",), "linear"),
        ),
        (LOGITS, {"event_classes": [0], "logits": True}, Columns(("class_0", "class_1"), ("class_0",), "softmax")),
        (
            HEADS,
            {"outputs": ["event", "p", "s", "noise"]},
            Columns(("event", "p", "s", "noise"), (), "linear"),
        ),
        (
            HEADS,
            {"outputs": ["d", "p", "s", "noise"], "event_classes": ["p", "s"]},
            Columns(("d", "p", "s", "noise"), ("p", "s"), "linear"),
        ),
    ],
)
def test_columns_have_the_meaning_that_was_said(heads: Any, network: Any, columns: Columns) -> None:
    assert columns_of(network, heads, "mine.toml") == columns


@pytest.mark.parametrize(
    ("heads", "network", "words"),
    [
        (SOFTMAX, {}, "mean, 2 columns (2 softmax): set network.event_classes to the columns that are events"),
        (LINEAR, {}, "mean, 1 column (1 without activation): set network.logits = true if it is trained with"),
        (LOGITS, {}, "(2 without activation): set network.logits = true and network.event_classes, for example [1]"),
        (LINEAR, {"outputs": ["magnitude"]}, "does not say what the network's outputs mean, 1 column"),
        (
            HEADS,
            {},
            "4 columns (1 sigmoid in 'detector', 3 softmax in 'phases'): set network.outputs: one name a column",
        ),
        (SOFTMAX, {"logits": True, "event_classes": [1]}, "but the network has 2 softmax, expected one output without"),
        (SIGMOID, {"outputs": ["onset", "event"]}, "disagree on number of outputs: it says 2, the network has 1"),
        (SOFTMAX, {"event_classes": [2]}, "has 2, expected column numbers from 0 to 1 or names of network.outputs"),
        (SOFTMAX, {"event_classes": ["quake"]}, "has 'quake', expected column numbers from 0 to 1 or names"),
        (TWO, {"event_classes": [0, 1]}, "are not classes of one softmax (2 sigmoid), and the sum of other columns"),
        (HEADS, {"event_classes": [0, 1]}, "are not classes of one softmax (1 sigmoid in 'detector', 3 softmax in"),
    ],
)
def test_a_meaning_that_is_not_said_is_asked(heads: Any, network: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        columns_of(network, heads, "mine.toml")
    assert str(caught.value).startswith("mine.toml") and "\n" not in str(caught.value)


def test_probabilities_of_what_is_not_known_convert_with_the_question() -> None:
    columns = columns_of({}, TWO, "mine.toml")
    assert (columns.outputs, columns.event_classes) == (("column_0", "column_1"), ())
    assert 'set network.outputs: one name a column, "event" for' in columns.question
    assert 'for example ["onset", "event"]' in columns.question
