"""Readers of strangers' data take anything: seeds, what the fuzzer found, and changed and combined ones of these."""

import random

import pytest
from fuzz_targets import TARGETS, kept, seeds

ROUNDS = 2000


def changed(source: random.Random, inputs: tuple[bytes, ...]) -> bytes:
    """One of *inputs* with a few changes of the kinds that parsers stumble over."""
    data = bytearray(source.choice(inputs))
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0 if data:
                data[place % len(data)] ^= 1 << source.randrange(8)
            case 1 if data:
                data[place % len(data)] = source.choice((0x00, 0x30, 0x80, 0x84, 0xFF, 0x7F))
            case 2:
                del data[place : place + source.randint(1, 40)]
            case 3:
                data[place:place] = source.randbytes(source.randint(1, 9))
            case _:
                other = source.choice(inputs)
                start = source.randrange(len(other))
                data[place : place + 30] = other[start : start + 30]
    return bytes(data)


# What the library will refuse one day it only mentions now: both are answers.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_anything(name: str) -> None:
    target, inputs = TARGETS[name], (*seeds(name), *kept(name))
    for data in (b"", b"\0", *inputs):
        target(data)
    source = random.Random(name)
    for _ in range(ROUNDS):
        data = changed(source, inputs)
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"{name} failed on {data.hex()}") from error
