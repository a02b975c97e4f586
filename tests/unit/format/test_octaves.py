"""Checks the table of powers of two."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

from vqcodec.format.octaves import OCTAVE_BITS, OCTAVES


def test_octaves_are_powers_of_two() -> None:
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(2) ** (Decimal(OCTAVE_BITS) - Decimal(i) / 16) for i in range(16)]
        assert [int(value.to_integral_value(ROUND_HALF_UP)) for value in exact] == list(OCTAVES)
