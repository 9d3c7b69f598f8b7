"""Control: branches and loops, unrolled where they can be known and left to the run where not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.assigned import Effects
from quantainer.circuits.qasm3.conversion import assign, cast
from quantainer.circuits.qasm3.emitter import Block, Loop
from quantainer.circuits.qasm3.expressions import evaluate, kind_of
from quantainer.circuits.qasm3.kinds import BIT, BOOL, INT, Kind
from quantainer.circuits.qasm3.knowledge import State, learn
from quantainer.circuits.qasm3.logic import Bit, all_of, any_of, atoms, invert
from quantainer.circuits.qasm3.machine import NEXT, LoopFrame, Machine, Outcomes
from quantainer.circuits.qasm3.operators import binary
from quantainer.circuits.qasm3.syntax import Expression, Statement
from quantainer.circuits.qasm3.values import Value, Variable, is_known, row_of
from quantainer.circuits.qasm3.variables import fresh

__all__ = ["execute_for", "execute_if", "execute_switch", "execute_while"]

_CHAIN = 8  # `else if`s that are executed one inside of the other
_WEIGHT = 40  # conditions heavier than this are stored in a bit
_NOTHING: list[Statement] = []


def condition(machine: Machine, node: Expression) -> Bit:
    """Return the truth of a condition: known, or as a function of bits."""
    value = evaluate(machine, node)
    if value.kind.name in ("float", "complex", "duration", "stretch", "array", "void"):
        raise machine.invalid(node, f"a condition is a truth value, this is {value.kind}")
    truth = cast(machine, node, value, BOOL)
    return bool(truth.data) if is_known(truth) else truth.data[0]


def block(machine: Machine, body: list[Statement]) -> Outcomes:
    """Execute a body in a scope of its own."""
    with machine.scoped():
        return machine.execute(body)


def execute_if(machine: Machine, node: syntax.If) -> Outcomes:
    """Execute ``if``."""
    bit = condition(machine, node.condition)
    false = node.false or _NOTHING
    if isinstance(bit, bool):
        return block(machine, node.true if bit else false)
    chain = _else_ifs(machine, node)
    if len(chain) > _CHAIN:
        arms = [(condition(machine, each.condition), each.true) for each in chain]
        return _choose(machine, arms, chain[-1].false or _NOTHING)
    return _choose(machine, [(bit, node.true)], false)


def _else_ifs(machine: Machine, node: syntax.If) -> list[syntax.If]:
    """Return a chain of ``if … else if …`` as far as nothing happens between its conditions."""
    chain = [node]
    while chain[-1].false is not None and len(chain[-1].false) == 1:
        following = chain[-1].false[0]
        if not isinstance(following, syntax.If) or machine.effects(following.condition).calls:
            break
        chain.append(following)
    return chain


Arm = tuple[Bit, list[Statement]]


def _choose(machine: Machine, arms: list[Arm], default: list[Statement]) -> Outcomes:
    """Execute the first arm whose test holds; a run finds it by bisection, not one by one."""
    bodies = [body for _, body in arms] + [default]
    effects = [machine.effects(body) for body in bodies]
    assigned = list(dict.fromkeys(each for one in effects for each in machine.assigned(one)))
    return _bisect(machine, assigned, arms, default)


def _bisect(
    machine: Machine, assigned: list[Variable], arms: list[Arm], default: list[Statement]
) -> Outcomes:
    if not arms:
        return block(machine, default)
    half = len(arms) // 2
    if not half:
        test, body = arms[0]
        if isinstance(test, bool):
            return block(machine, body if test else default)
        return machine.branch(
            test, assigned, lambda: block(machine, body), lambda: block(machine, default)
        )
    first, second = arms[:half], arms[half:]
    test = machine.memory.hold(any_of([test for test, _ in first]))
    sure = [*first[:-1], (True, first[-1][1])]  # one of them holds
    if isinstance(test, bool):
        chosen = sure if test else second
        return _bisect(machine, assigned, chosen, default)
    return machine.branch(
        test,
        assigned,
        lambda: _bisect(machine, assigned, sure, default),
        lambda: _bisect(machine, assigned, second, default),
    )


# Switch


def execute_switch(machine: Machine, node: syntax.Switch) -> Outcomes:
    """Execute ``switch``: as a chain of branches where its target is not known."""
    target = evaluate(machine, node.target)
    if not (target.kind.integer or target.kind.name in ("bits", "bit")):
        raise machine.invalid(
            node.target, f"a switch is over an integer, this is {target.kind}", "Cast it to `int`."
        )
    if target.kind.name in ("bits", "bit"):
        target = Value(Kind("uint", target.kind.width), target.data)
    seen: set[int] = set()
    cases = [(_labels(machine, labels, seen), body) for labels, body in node.cases]
    default = node.default or _NOTHING
    arms: list[Arm] = []
    for labels, body in cases:
        matches = [binary(machine, node, "==", target, Value(INT, each, True)) for each in labels]
        test = any_of([row_of(match)[0] for match in matches])
        if test is True:
            default = body
            break
        if test is not False:
            arms.append((machine.memory.hold(test), body))
    return _choose(machine, arms, default) if arms else block(machine, default)


def _labels(machine: Machine, labels: list[Expression], seen: set[int]) -> set[int]:
    found = set()
    for label in labels:
        value = evaluate(machine, label)
        if not value.const or not value.kind.integer:
            raise machine.invalid(label, "a case is a constant integer")
        if value.data in seen:
            raise machine.invalid(label, f"the case {value.data} occurs twice")
        seen.add(value.data)
        found.add(value.data)
    return found


# For


def execute_for(machine: Machine, node: syntax.For) -> Outcomes:
    """Execute ``for``: always unrolled, since its values are known."""
    kind = kind_of(machine, node.type)
    loop = LoopFrame(machine.flag("break"), machine.flag("continue"))
    machine.frame.loops.append(loop)
    try:
        return _rounds(machine, node, loop, _bodies(machine, node, kind))
    finally:
        machine.frame.loops.pop()


def _bodies(machine: Machine, node: syntax.For, kind: Kind) -> Iterable[Callable[[], Outcomes]]:
    for value in _values(machine, node):
        yield lambda value=value: _iteration(machine, node, kind, value)  # type: ignore[misc]


def _iteration(machine: Machine, node: syntax.For, kind: Kind, value: Value) -> Outcomes:
    with machine.scoped():
        variable = fresh(machine, node.name, kind, shared=False)
        variable.write(assign(machine, node, value, kind).data, machine.memory)
        machine.scope.names[node.name] = variable
        return machine.execute(node.body)


def _values(machine: Machine, node: syntax.For) -> Iterable[Value]:
    values = node.values
    if isinstance(values, syntax.SetLiteral):
        return [evaluate(machine, item) for item in values.items]
    if isinstance(values, syntax.Range):
        return _range(machine, values)
    value = evaluate(machine, values)
    if value.kind.name == "bits":
        return [Value(BIT, int(bit) if isinstance(bit, bool) else (bit,)) for bit in row_of(value)]
    if value.kind.name == "array" and len(value.kind.shape) == 1:
        return [element.read() for element in value.data]
    raise machine.invalid(
        values, f"a loop over {value.kind}", "Loop over a range, a set, bits or an array."
    )


def _range(machine: Machine, node: syntax.Range) -> Iterable[Value]:
    if node.start is None or node.stop is None:
        raise machine.invalid(node, "the range of a loop needs both ends, e.g. `[0:3]`")
    numbers = []
    for each in (node.start, node.step, node.stop):
        value = Value(INT, 1, True) if each is None else evaluate(machine, each)
        if not (value.kind.integer or value.kind.truth):
            hint = "Cast it: `int(…)`." if value.kind.name in ("float", "bits") else None
            place = node if each is None else each
            raise machine.invalid(place, f"a range is of integers, this is {value.kind}", hint)
        numbers.append(machine.known(node, value, "the range of a loop"))
    start, step, stop = numbers
    if not step:
        raise machine.invalid(node, "a range with step 0")
    return (Value(INT, place) for place in range(start, stop + (1 if step > 0 else -1), step))


def _rounds(
    machine: Machine,
    node: syntax.For,
    loop: LoopFrame,
    bodies: Iterable[Callable[[], Outcomes]],
) -> Outcomes:
    """Execute rounds one after another, each only if none before has left the loop."""
    left: Outcomes = NEXT - NEXT
    for body in bodies:
        machine.iterate(node)
        machine.at = node.at
        loop.continues.write(0, machine.memory)
        if left:
            assigned = machine.assigned(machine.effects(node.body))
            outcomes = machine.branch(
                machine.going_on(left), assigned, body, lambda left=left: left  # type: ignore[misc]
            )  # fmt: skip
        else:
            outcomes = body()
        left = (left | outcomes) - NEXT - {"continue"}
        if not outcomes & {"next", "continue"}:
            return _after(left, goes_on=False)
    return _after(left, goes_on=True)


def _after(left: Outcomes, goes_on: bool) -> Outcomes:
    """Return how a loop goes on, from how its rounds were left."""
    rest = left - {"break"}
    return rest | NEXT if goes_on or "break" in left else rest


# While


def execute_while(machine: Machine, node: syntax.While) -> Outcomes:
    """Execute ``while``: unrolled as long as its condition is known, else at run time."""
    loop = LoopFrame(machine.flag("break"), machine.flag("continue"))
    machine.frame.loops.append(loop)
    effects = machine.effects(node)
    # ``effects`` sees the body inside of its loop: the exits of the loop itself are asked apart.
    inner = machine.effects(node.body)
    if _endless(machine, node, inner):
        raise machine.unsupported(node, "this loop never ends: its condition is always true")
    assigned = list(dict.fromkeys([*machine.assigned(effects), *machine.assigned(inner)]))
    try:
        return _unrolled(machine, node, loop, assigned) or _at_run_time(
            machine, node, loop, assigned
        )
    finally:
        machine.frame.loops.pop()


def _endless(machine: Machine, node: syntax.While, effects: Effects) -> bool:
    """Tell whether nothing can end a loop."""
    if effects.exits & {"break", "return", "end"} or machine.may_end(effects.calls):
        return False
    value = evaluate(machine, node.condition) if _constant(node.condition) else None
    return value is not None and bool(value.data)


def _constant(node: Expression) -> bool:
    return isinstance(node, syntax.Literal)


def _unrolled(
    machine: Machine, node: syntax.While, loop: LoopFrame, assigned: list[Variable]
) -> Outcomes | None:
    """Execute a loop while reading; ``None``, and nothing done, if a measurement decides it."""
    target = machine.emitter.block
    mark, phase, count = len(target.operations), target.phase, machine.emitter.count
    iterations = machine.iterations
    start = State(assigned, [])

    if id(node) in machine.run_time_loops:
        return None

    def undo() -> None:
        machine.run_time_loops.add(id(node))  # a trial per loop, not one per trial around it
        del target.operations[mark:]
        target.phase, machine.emitter.count = phase, count
        machine.iterations = iterations
        start.restore()

    while True:
        bit = condition(machine, node.condition)
        if not isinstance(bit, bool):
            undo()
            return None
        if not bit:
            return NEXT
        machine.iterate(node)
        machine.at = node.at
        loop.continues.write(0, machine.memory)
        outcomes = block(machine, node.body)
        if len(outcomes) > 1 and outcomes != {"next", "continue"}:
            undo()
            return None
        if not outcomes & {"next", "continue"}:
            return _after(outcomes, goes_on=False)


def _at_run_time(
    machine: Machine, node: syntax.While, loop: LoopFrame, assigned: list[Variable]
) -> Outcomes:
    for variable in assigned:
        machine.settle(variable)
    before = _fixed_values(assigned)
    _forget(assigned)
    block_before = machine.emitter.block
    mark = len(block_before.operations)
    bit = condition(machine, node.condition)
    exits = sorted(machine.effects(node.body).exits & {"break", "return"})
    flags = [machine.flag_of(exit) for exit in exits]
    if machine.ended is not None and machine.ended in assigned:
        flags.append(machine.ended)
    going = [invert(flag.cells[0].read()) for flag in flags]  # type: ignore[index]
    whole = all_of([bit, *going])
    again: Variable | None = None
    if len(block_before.operations) > mark or getattr(bit, "weight", 0) > _WEIGHT:
        again = machine.flag("again")
        again.write((whole,) if not isinstance(whole, bool) else int(whole), machine.memory)
        machine.settle(again)
        again.data = None
        again.cells[0].value = again.cells[0].stored = None  # type: ignore[index]
        whole = again.cells[0]  # type: ignore[index]
    if whole is False:
        return NEXT
    if whole is True:
        raise machine.unsupported(node, "this loop never ends: its condition is always true")
    body = Block()
    asked = State([], list(atoms(whole)))  # type: ignore[arg-type]
    with machine.nested(), machine.memory.loop(), machine.emitter.into(body):
        learn(whole, True)
        loop.continues.write(0, machine.memory)
        outcomes = block(machine, node.body)
        for variable in assigned:
            machine.settle(variable)
        if again is not None:
            _ask_again(machine, node, again, going, assigned)
    _check_fixed(machine, node, before)
    asked.restore()
    _forget(assigned)
    machine.emitter.add(Loop(whole, body))
    learn(whole, False)
    return NEXT | (outcomes & {"return", "end"})


def _ask_again(
    machine: Machine,
    node: syntax.While,
    again: Variable,
    going: list[Bit],
    assigned: list[Variable],
) -> None:
    """Compute the condition of the next round at the end of this one."""
    _forget(assigned)
    bit = all_of([condition(machine, node.condition), *going])
    again.write((bit,) if not isinstance(bit, bool) else int(bit), machine.memory)
    machine.settle(again)


def _forget(variables: list[Variable]) -> None:
    for variable in variables:
        if variable.cells is not None:
            variable.data = None
            for cell in variable.cells:
                cell.value = cell.stored = None
                cell.register.used = True  # it is read from now on, stored or not


def _fixed_values(variables: list[Variable]) -> list[tuple[Variable, Any]]:
    return [(variable, variable.data) for variable in variables if variable.cells is None]


def _check_fixed(machine: Machine, node: syntax.While, before: list[tuple[Variable, Any]]) -> None:
    for variable, data in before:
        if variable.data is not data and variable.data != data:
            raise machine.unsupported(
                node,
                f"`{variable.name}` of type {variable.kind} changes in a loop that ends when a "
                "measurement says so",
                "Count in an integer, and compute the value after the loop.",
            )
