"""How many examples a law is tried with, where the usual number is not right for it."""

from hypothesis import settings

USUAL = 100


def tries(most: int) -> int:
    """`most` in the whole suite; where a run tries a share of the usual number, the same share of it."""
    return max(1, most * min(settings().max_examples, USUAL) // USUAL)
