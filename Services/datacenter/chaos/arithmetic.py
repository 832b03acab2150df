"""Random arithmetic for the math nodes: graphs with joins and orderings, and what must come out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from Services.fractos import TaskGraph
from Services.fractos.graph import Output, Step

CHAIN_BITS = 2000  # a value may grow so far; it still comes with the trail
BIG_BITS = (40_000, 120_000)


@dataclass(frozen=True)
class Term:
    """A step of a graph, and the value that it must answer."""

    step: Step
    value: int

    @property
    def output(self) -> Output:
        """The value, as an argument of another step."""
        return self.step.value


def add_terms(graph: TaskGraph, rng: Random, count: int, pin: str = "") -> list[Term]:
    """Add `count` steps, most of them on outputs of earlier ones. `pin` names a math node for one of them."""
    terms = [_first(graph, rng, pin)]
    while len(terms) < count:
        one, other = rng.choice(terms[-2:]), rng.choice(terms)
        order = [rng.choice(terms).step] if rng.random() < 0.3 else []
        if one.value.bit_length() + other.value.bit_length() > CHAIN_BITS // 2:
            n = rng.randint(1, 40)
            terms.append(Term(graph.math.factorial(n=n, after=[one.step, *order]), math.factorial(n)))
        elif rng.random() < 0.5:  # a join: two outputs meet
            step = graph.math.binomial_expansion(a=one.output, b=other.output, n=2, after=order)
            terms.append(Term(step, (one.value + other.value) ** 2))
        else:
            bits = rng.randint(0, 40)
            terms.append(Term(graph.math.shift_left(value=one.output, bits=bits, after=order), one.value << bits))
    return terms


def add_big(graph: TaskGraph, rng: Random) -> Term:
    """Add a power with tens of thousands of bits that is multiplied by a power of two, and ask for it."""
    base, bits = rng.randint(3, 99), rng.randint(1, 1000)
    exponent = rng.randint(*BIG_BITS) // base.bit_length()
    power = graph.math.power(base=base, exponent=exponent)
    return Term(graph.output(graph.math.shift_left(value=power.value, bits=bits)), base**exponent << bits)


def _first(graph: TaskGraph, rng: Random, pin: str) -> Term:
    math_node = graph.node(pin) if pin else graph.math
    n, k = rng.randint(1, 60), rng.randint(0, 60)
    return Term(math_node.binomial(n=n, k=k), math.comb(n, k))
