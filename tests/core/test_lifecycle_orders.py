"""The life cycle under random orders, delays, duplicates, losses and crashes."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from world import World

from quantainer.core.transitions import JOB_TRANSITIONS, LEASE_TRANSITIONS


class Orders(RuleBasedStateMachine):
    """Hypothesis looks for the shortest way to break a promise."""

    def __init__(self):
        super().__init__()
        self.world = World()

    @invariant()
    def promises_hold(self):
        self.world.check()

    def teardown(self):
        self.world.settle()


def _rule(action):
    def take(self, data):
        action(self.world, lambda things: data.draw(st.sampled_from(list(things))))

    take.__name__ = action.__name__
    return rule(data=st.data())(take)


for _action, _weight in World.ACTIONS:
    setattr(Orders, _action.__name__, _rule(_action))

TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def walk(seed, steps):
    rng = random.Random(seed)
    world = World()
    actions, weights = zip(*World.ACTIONS, strict=True)
    for action in rng.choices(actions, weights, k=steps):
        action(world, lambda things: rng.choice(list(things)))
        world.check()
    world.settle()
    return world


@pytest.mark.parametrize("seed", range(20))
def test_long_random_walks_keep_every_promise(seed):
    walk(seed, 1000)


def test_short_random_walks_take_every_step_there_is():
    taken = set()
    for seed in range(1000, 1400):
        taken |= {(step.transition, step.source, step.target) for step in walk(seed, 100).log}
    for table in (JOB_TRANSITIONS, LEASE_TRANSITIONS):
        assert {(step.name, step.source, step.target) for step in table.transitions} <= taken
