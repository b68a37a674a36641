"""Values of knobs, refused where a method could not train with them."""

import math
from collections.abc import Collection

from kd.errors import KnobRefused


def positive(name: str, value: float) -> float:
    """The value. Raises KnobRefused unless it is a number above 0."""
    if not 0 < value < math.inf:
        raise KnobRefused(f"not a value for {name}", value, "Give a number above 0.")
    return value


def at_least(name: str, value: float, least: float) -> float:
    """The value. Raises KnobRefused unless it is a number from `least` up."""
    if not least <= value < math.inf:
        raise KnobRefused(f"not a value for {name}", value, f"Give {least:g} or more.")
    return value


def within(name: str, value: float, least: float, most: float) -> float:
    """The value. Raises KnobRefused unless it is a number from `least` to `most`, both allowed."""
    if not least <= value <= most:
        raise KnobRefused(f"not a value for {name}", value, f"Give a number from {least:g} to {most:g}.")
    return value


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """The value. Raises KnobRefused, which lists the choices, when it is none of them."""
    if value not in choices:
        raise KnobRefused(f"not a value for {name}", value, f"Choose from {', '.join(sorted(choices))}.")
    return value
