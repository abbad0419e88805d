"""What the columns of a network's outputs mean: asked where the network does not say it, never guessed from a shape.

A column of one sigmoid is the probability of an event. Of all others only their author knows: a softmax over [noise,
quake] has the form of [onset, event], and a logit that of a probability. Several sigmoids are probabilities, whatever
they are of: such a network is converted with a question, and does not run before that is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgequake.convert.streaming.layer_graph import Head
from edgequake.edge.base.errors import ConfigError

_PROBABILITIES = ("sigmoid", "hard_sigmoid")


@dataclass(frozen=True)
class Columns:
    """Names and use of the output columns."""

    outputs: tuple[str, ...]
    event_classes: tuple[str, ...]
    activation: str  # that turns the network's outputs into probabilities: "linear" where they are
    question: str = ""  # what a run needs to know


def columns_of(network: dict[str, Any], heads: Sequence[Head], where: str, has_events: bool = True) -> Columns:
    """Return what the columns mean, from the description's table `network`.

    Parameters
    ----------
    network : with `outputs` (names), `event_classes` (names or numbers of columns) and `logits`, as far as given.
    heads : the network's outputs.
    where : names the description in messages.
    has_events : False for a network that takes rows from elsewhere: its outputs go to the caller, whatever they are.

    Raises
    ------
    ConfigError
        It does not say what the columns mean, or what it says contradicts the network.
    """
    names, chosen, logits = network.get("outputs"), network.get("event_classes") or [], bool(network.get("logits"))
    by_column = [(k, head.activation) for k, head in enumerate(heads) for _ in range(head.n_columns)]
    activation = _activation(heads, bool(chosen), where) if logits else "linear"
    if names is None and (chosen or (len(by_column) == 1 and (logits or by_column[0][1] in _PROBABILITIES))):
        names = [f"class_{k}" for k in range(len(by_column))] if chosen else ["event"]
    question = ""
    if has_events and (names is None or (not chosen and "event" not in names)):
        question = _question(heads, where)
        if any(kind not in _PROBABILITIES for _, kind in by_column):
            raise ConfigError(question)
    names = names or [f"column_{k}" for k in range(len(by_column))]
    if len(names) != len(by_column):
        raise ConfigError(
            f"{where} and the network disagree on number of outputs: it says {len(names)}, the network has "
            f"{len(by_column)} ({_summary(heads)}); give network.outputs a name for each"
        )
    numbers = [_number(item, list(names), where) for item in chosen]
    used = {by_column[number] for number in numbers}
    if len(numbers) > 1 and not logits and (len(used) > 1 or {kind for _, kind in used} != {"softmax"}):
        raise ConfigError(
            f"{where}: the columns of network.event_classes are not classes of one softmax ({_summary(heads)}), and "
            "the sum of other columns is no probability; name the column of an event in network.outputs instead"
        )
    return Columns(tuple(names), tuple(names[number] for number in numbers), activation, question)


def _activation(heads: Sequence[Head], has_classes: bool, where: str) -> str:
    if len(heads) > 1 or heads[0].activation != "linear":
        raise ConfigError(
            f"{where} says network.logits = true, but the network has {_summary(heads)}, expected one output without "
            "activation; remove network.logits"
        )
    return "softmax" if has_classes else "sigmoid"


def _number(item: Any, names: list[str], where: str) -> int:
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(names):
        return item
    if isinstance(item, str) and item in names:
        return names.index(item)
    raise ConfigError(
        f"{where}: network.event_classes has {item!r}, expected column numbers from 0 to {len(names) - 1} or names "
        f"of network.outputs ({', '.join(names)})"
    )


def _question(heads: Sequence[Head], where: str) -> str:
    """Return the question what the columns mean, which names the settings that answer it."""
    n_columns = sum(head.n_columns for head in heads)
    kinds = {head.activation for head in heads}
    names = 'one name a column, "event" for the probability of an event (and "onset" for that of its onset)'
    if len(heads) == 1 and kinds == {"softmax"}:
        way = (
            "set network.event_classes to the columns that are events, for example network.event_classes = [1], and "
            'network.outputs to the names of all, for example ["noise", "quake"]'
        )
    elif len(heads) == 1 and kinds == {"linear"} and n_columns == 1:
        way = (
            'set network.logits = true if it is trained with from_logits=True, or network.outputs = ["event"] if it '
            "is a probability as it is"
        )
    elif len(heads) == 1 and kinds == {"linear"}:
        way = (
            "set network.logits = true and network.event_classes, for example [1], if it is trained with "
            f"from_logits=True, or network.outputs: {names}"
        )
    else:
        way = f'set network.outputs: {names}, for example ["onset", "event"]'
        if "softmax" in kinds:
            way += ", or network.event_classes to the columns of a softmax that are events"
    return (
        f"{where} does not say what the network's outputs mean, {n_columns} column{'s' * (n_columns > 1)} "
        f"({_summary(heads)}): {way}"
    )


def _summary(heads: Sequence[Head]) -> str:
    def one(head: Head) -> str:
        kind = "without activation" if head.activation == "linear" else head.activation
        return f"{head.n_columns} {kind}"

    if len(heads) == 1:
        return one(heads[0])
    return ", ".join(f"{one(head)} in '{head.name}'" for head in heads)
