"""Wanted sides as bits, and as runs: the form in which signals reach the event kernel.

A word says which of 64 bars want long, another which want short. Two columns are compared straight
into such words by a loop the compiler turns into vector instructions, so that a sweep of crosses
never holds a direction per bar; given directions are packed eight at a time. The bits that differ
from their neighbour are the starts of the runs, found without looking at the bars between.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, PerBarDirection
from crypto_bot.engine.uncounted import inlined, uncounted

Words = npt.NDArray[np.int64]
PerFeatureBar = npt.NDArray[np.float64]
_BITS = 6
_WORD = 1 << _BITS
_STRETCH = 2_048
_EACH_BYTE = 0x0101010101010101
_GATHER = 0x0102040810204080
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACES = np.zeros(_WORD, np.int64)
for _place in range(_WORD):
    _PLACES[((_DE_BRUIJN << _place) & (2**64 - 1)) >> 58] = _place


class Sides(NamedTuple):
    """Wanted sides of many settings, int64 (settings, words): bit t & 63 of word t >> 6 is bar t.

    Bits past the last bar are 0.
    """

    up: Words
    down: Words

    def forget(self, bars: Index) -> None:
        """Want nothing in the first so many bars of each setting; of a number <= 0, in none."""
        for count in np.unique(bars[bars > 0]).tolist():
            alike, whole = bars == count, count >> _BITS
            for words in self:
                words[alike, :whole] = 0
                if count & (_WORD - 1):
                    words[alike, whole] &= np.int64(-1) << np.int64(count & (_WORD - 1))


def empty_sides(settings: int, bars: int) -> Sides:
    """Room for the sides of many settings; no bar wants anything."""
    words = -(-bars >> _BITS)
    return Sides(np.zeros((settings, words), np.int64), np.zeros((settings, words), np.int64))


@uncounted
def compare_rows(
    values: PerFeatureBar,
    above: Index,
    below: Index,
    first: int,
    settings: Index,
    up: Words,
    down: Words,
) -> None:
    """Want long where `above` is greater, short where it is smaller, nothing where equal or NaN.

    values : float64 (features, bars), read from bar `first` on
    above, below : int64 (compared,), rows of it
    settings : int64 (compared,), rows of up and down
    up, down : int64 (settings, words), zeros, written

    A stretch of bars of all settings before the next, so that it is read from memory once. All in
    one function: what it calls would be optimised twice, and come out half as fast from the cache.
    """
    bars = values.shape[1]
    for begin in range(first, bars, _STRETCH):
        end, start = min(begin + _STRETCH, bars), (begin - first) >> _BITS
        words = (end - begin) >> _BITS
        for place in range(len(settings)):
            one, other = values[above[place], begin:end], values[below[place], begin:end]
            rising = up[settings[place], start:]
            falling = down[settings[place], start:]
            for word in range(words):
                left = one[word << _BITS : (word + 1) << _BITS]
                right = other[word << _BITS : (word + 1) << _BITS]
                ups, downs = np.int64(0), np.int64(0)
                for bit in range(_WORD):
                    ups |= np.int64(left[bit] > right[bit]) << bit
                    downs |= np.int64(left[bit] < right[bit]) << bit
                rising[word], falling[word] = ups, downs
            for bar in range(words << _BITS, end - begin):
                rising[words] |= np.int64(one[bar] > other[bar]) << (bar & 63)
                falling[words] |= np.int64(one[bar] < other[bar]) << (bar & 63)


def pack_directions(direction: PerBarDirection, up: Words, down: Words) -> bool:
    """The sides of given directions.

    direction : int8 (bars,)
    up, down : int64 (words,), zeros, written

    Returns False, and leaves anything in the words, if a direction is not -1, 0 or +1.
    """
    whole = len(direction) & ~7
    eights, rest = direction[:whole], direction[whole:]
    if not eights.flags.c_contiguous or eights.ctypes.data & 7:
        eights = eights.copy()
    return _pack(_read_only(eights.view(np.int64)), _read_only(rest.copy()), up, down)


def unpack_directions(up: Words, down: Words, bars: int) -> PerBarDirection:
    """The directions, int8 (bars,), of one setting's sides."""
    rising, falling = (
        np.unpackbits(words.astype("<i8", copy=False).view(np.uint8), count=bars, bitorder="little")
        for words in (up, down)
    )
    return np.subtract(rising, falling, dtype=np.int8, casting="unsafe")


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written to: the kernel is then compiled for one type of array."""
    view = values.view()
    view.flags.writeable = False
    return view


@uncounted
def _pack(eights: Words, rest: PerBarDirection, up: Words, down: Words) -> bool:
    """Eight directions at a time: a long's byte is 1, a short's 255; one product gathers eight bits.

    Most words of 64 bars want one side, which eight comparisons tell.
    """
    is_valid = True
    for word in range(len(eights) >> 3):
        first, differing = eights[word << 3], 0
        for place in range(8):
            differing |= eights[(word << 3) + place] ^ first
        if differing == 0 and (first == 0 or first == -1 or first == _EACH_BYTE):
            up[word] = -1 if first == _EACH_BYTE else 0
            down[word] = -1 if first == -1 else 0
        else:
            is_valid &= _pack_eights(eights, word << 3, (word + 1) << 3, up, down)
    is_valid &= _pack_eights(eights, len(eights) & ~7, len(eights), up, down)
    for place in range(len(rest)):
        bar = (len(eights) << 3) + place
        up[bar >> _BITS] |= np.int64(rest[place] > 0) << (bar & 63)
        down[bar >> _BITS] |= np.int64(rest[place] < 0) << (bar & 63)
        is_valid &= -1 <= rest[place] <= 1
    return is_valid


@uncounted
def _pack_eights(eights: Words, first: int, end: int, up: Words, down: Words) -> bool:
    is_valid = True
    for place in range(first, end):
        falling = (eights[place] >> 7) & _EACH_BYTE
        rising = eights[place] & ~falling & _EACH_BYTE
        word, shift = place >> 3, (place & 7) << 3
        up[word] |= (((rising * _GATHER) >> 56) & 0xFF) << shift
        down[word] |= (((falling * _GATHER) >> 56) & 0xFF) << shift
        is_valid &= eights[place] == rising | (falling * 0xFF)
    return is_valid


class Runs(NamedTuple):
    """Stretches of bars that want the same side: the bar each begins at, and the side, -1, 0 or +1.

    The first begins at bar 0. After the last comes one that begins where the bars end.
    """

    start: Index
    side: npt.NDArray[np.int8]


def room_for_runs(bars: int) -> Runs:
    """Room for as many runs as there can be."""
    return Runs(np.empty(bars + 2, np.int64), np.empty(bars + 2, np.int8))


@inlined
def _lowest_bit(word: int) -> int:
    """The place of the lowest 1 of a word: De Bruijn's product names it."""
    place: int = _PLACES[(((word & -word) * _DE_BRUIJN) >> 58) & 63]
    return place


@uncounted
def find_runs(up: Words, down: Words, bars: int, runs: Runs) -> int:
    """Write the runs of one setting's sides; returns how many there are."""
    count, up_before, down_before = 0, 0, 0
    for word in range(len(up)):
        ups, downs = up[word], down[word]
        changes = (ups ^ ((ups << 1) | up_before)) | (downs ^ ((downs << 1) | down_before))
        up_before, down_before = (ups >> 63) & 1, (downs >> 63) & 1
        changes |= 1 if word == 0 else 0
        while changes != 0:
            bit = _lowest_bit(changes)
            runs.start[count] = (word << _BITS) + bit
            runs.side[count] = ((ups >> bit) & 1) - ((downs >> bit) & 1)
            changes &= changes - 1
            count += 1
    # The zeros past the last bar may look like a run.
    count -= 1 if runs.start[count - 1] >= bars else 0
    runs.start[count], runs.side[count] = bars, 0
    return count
