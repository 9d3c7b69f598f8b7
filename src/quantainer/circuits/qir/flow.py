"""Flow: where the ways from a block come together again."""

from __future__ import annotations

from quantainer.circuits.qir.syntax import Function

__all__ = ["Flow"]

_EXIT = "\x00exit"


class Flow:
    """Successors and post-dominators of a function's blocks."""

    def __init__(self, function: Function) -> None:
        self.successors = {
            label: tuple(dict.fromkeys(block.instructions[-1].labels))
            if block.instructions and block.instructions[-1].opcode in ("br", "switch")
            else ()
            for label, block in function.blocks.items()
        }
        self._joins = self._post_dominators()

    def join(self, label: str) -> str | None:
        """Return the first block that all ways from here pass; ``None`` for the end."""
        found = self._joins.get(label, _EXIT)
        return None if found == _EXIT else found

    def returns(self, start: str, target: str, join: str | None) -> bool:
        """Tell whether a way leads from ``start`` to ``target`` without passing ``join``."""
        seen, ahead = {start}, [start]
        while ahead:
            label = ahead.pop()
            if label == target:
                return True
            if label == join:
                continue
            for following in self.successors.get(label, ()):
                if following not in seen:
                    seen.add(following)
                    ahead.append(following)
        return False

    def _post_dominators(self) -> dict[str, str]:
        """Return the immediate post-dominators, by the algorithm of Cooper, Harvey and Kennedy."""
        before: dict[str, list[str]] = {label: [] for label in (*self.successors, _EXIT)}
        for label, following in self.successors.items():
            for target in following or (_EXIT,):
                before.setdefault(target, []).append(label)
        order = self._reverse_postorder(before)
        rank = {label: index for index, label in enumerate(order)}
        joins = {_EXIT: _EXIT}
        changed = True
        while changed:
            changed = False
            for label in order[1:]:
                known = [target for target in self.successors[label] or (_EXIT,) if target in joins]
                if not known:
                    continue
                found = known[0]
                for other in known[1:]:
                    found = _meet(found, other, joins, rank)
                if joins.get(label) != found:
                    joins[label] = found
                    changed = True
        return joins

    def _reverse_postorder(self, before: dict[str, list[str]]) -> list[str]:
        """Order the blocks from the exit backwards; those that never end are left out."""
        seen, order = {_EXIT}, []
        stack = [(_EXIT, iter(before[_EXIT]))]
        while stack:
            label, rest = stack[-1]
            for origin in rest:
                if origin not in seen:
                    seen.add(origin)
                    stack.append((origin, iter(before[origin])))
                    break
            else:
                order.append(label)
                stack.pop()
        return order[::-1]


def _meet(left: str, right: str, joins: dict[str, str], rank: dict[str, int]) -> str:
    while left != right:
        if rank[left] > rank[right]:
            left = joins[left]
        else:
            right = joins[right]
    return left
