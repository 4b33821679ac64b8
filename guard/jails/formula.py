"""Arithmetic in jail files (`bantime.formula`, `bantime.factor`), parsed and never evaluated.

fail2ban runs these as Python. Here Python's parser makes the tree and a table says what each node
may be: numbers, `ban.Time`, `ban.Count`, `banFactor`, arithmetic, comparison, `a if b else c` and
the functions of jail.conf's examples. Anything else is a ValueError when the file is read.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ban:
    """What a formula may ask for: the jail's bantime, the bans before, and its factor."""

    time: float
    count: int
    factor: float = 1.0


Formula = Callable[[Ban], float]

_LONGEST = 500
_LARGEST_SHIFT = 1000


def _shift(left: float, right: float) -> float:
    if not 0 <= right <= _LARGEST_SHIFT:
        raise ValueError("shifted too far")
    return left * 2.0 ** int(right)


def _shift_back(left: float, right: float) -> float:
    if not 0 <= right <= _LARGEST_SHIFT:
        raise ValueError("shifted too far")
    return float(math.floor(left / 2.0 ** int(right)))


_NAMES: dict[str, Formula] = {
    "ban.Time": lambda ban: ban.time,
    "ban.Count": lambda ban: ban.count,
    "banFactor": lambda ban: ban.factor,
    "math.e": lambda ban: math.e,
    "math.pi": lambda ban: math.pi,
}
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
    ast.LShift: _shift,
    ast.RShift: _shift_back,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., float]]] = {
    "float": (1, 1, float),
    "int": (1, 1, math.trunc),
    "abs": (1, 1, abs),
    "round": (1, 1, round),
    "min": (2, 9, min),
    "max": (2, 9, max),
    "math.exp": (1, 1, math.exp),
    "math.log": (1, 2, math.log),
    "math.log2": (1, 1, math.log2),
    "math.log10": (1, 1, math.log10),
    "math.pow": (2, 2, math.pow),
    "math.sqrt": (1, 1, math.sqrt),
    "math.floor": (1, 1, math.floor),
    "math.ceil": (1, 1, math.ceil),
}


def parse_formula(text: str) -> Formula:
    """`text` as a function of a ban. Raises ValueError with what is not understood in it.

    The function raises ArithmeticError or ValueError where the arithmetic does.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"a formula of more than {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _formula(tree.body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} is not arithmetic that Guard understands") from None


def _formula(node: ast.expr) -> Formula:
    return _READERS.get(type(node), _refuse)(node)


def _refuse(node: ast.expr) -> Formula:
    raise ValueError(f"{ast.unparse(node)!r} is not allowed in a formula")


def _constant(node: ast.Constant) -> Formula:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return _refuse(node)
    number = float(value)
    return lambda ban: number


def _name(node: ast.expr) -> Formula:
    return _NAMES.get(ast.unparse(node)) or _refuse(node)


def _binary(node: ast.BinOp) -> Formula:
    act = _BINARY.get(type(node.op))
    if act is None:
        return _refuse(node)
    left, right = _formula(node.left), _formula(node.right)
    return lambda ban: act(left(ban), right(ban))


def _unary(node: ast.UnaryOp) -> Formula:
    act = _UNARY.get(type(node.op))
    if act is None:
        return _refuse(node)
    operand = _formula(node.operand)
    return lambda ban: act(operand(ban))


def _compare(node: ast.Compare) -> Formula:
    act = _COMPARE.get(type(node.ops[0]))
    if act is None or len(node.ops) != 1:
        return _refuse(node)
    left, right = _formula(node.left), _formula(node.comparators[0])
    return lambda ban: act(left(ban), right(ban))


def _choice(node: ast.IfExp) -> Formula:
    test, yes, no = _formula(node.test), _formula(node.body), _formula(node.orelse)
    return lambda ban: yes(ban) if test(ban) else no(ban)


def _call(node: ast.Call) -> Formula:
    least, most, act = _FUNCTIONS.get(ast.unparse(node.func), (1, 0, abs))
    if node.keywords or not least <= len(node.args) <= most:
        return _refuse(node)
    arguments = [_formula(argument) for argument in node.args]
    return lambda ban: act(*(argument(ban) for argument in arguments))


_READERS: dict[type[ast.expr], Callable[..., Formula]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.Call: _call,
}
