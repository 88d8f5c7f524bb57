"""Every rule of a device's timing: it holds on the simulated device, and its test fails without it.

A scenario says what must come out, known from the virtual time line. The same
scenario is run again with the rule taken out of the code, and must fail.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.bench.timing import scenarios
from tests.bench.timing.faults import planted


@dataclass(frozen=True)
class Rule:
    """A scenario, and what is taken out of which module so that it must fail."""

    scenario: Callable[[], None]
    module: str
    old: str
    new: str


CLOCKS, GRAPHS, TIMER = (
    "attnbench.bench.timing.clocks",
    "attnbench.bench.timing.graphs",
    "attnbench.bench.timing.timer",
)
DEVICE, LIFE, PROCESS = (
    "attnbench.bench.timing.device",
    "attnbench.bench.case_run",
    "attnbench.bench.workers.process",
)
RULES = (
    Rule(scenarios.launches_do_not_count, CLOCKS, "device.hold(self._cycles)", "pass"),
    Rule(scenarios.a_slow_host_gets_a_longer_hold, CLOCKS, "held = not events[0][0].query()", "held = True"),
    Rule(
        scenarios.a_slow_host_gets_a_longer_hold,
        CLOCKS,
        "self._cycles *= LENGTHEN",
        "self._cycles *= 1; self.note = 'x'",
    ),
    Rule(
        scenarios.more_launches_than_the_queue_holds_are_made_fewer_at_a_time, CLOCKS, "if calls > 1:", "if False:"
    ),
    Rule(
        scenarios.what_no_hold_can_help_is_said,
        CLOCKS,
        "self.note, self._cycles, self._burst = GAPS_COUNT",
        "self.note, self._cycles, self._burst = ' '",
    ),
    Rule(scenarios.caches_are_cold, CLOCKS, "self.flush.zero_()", "pass"),
    Rule(scenarios.a_flush_is_larger_than_the_cache, DEVICE, "FLUSH_TIMES_CACHE = 2", "FLUSH_TIMES_CACHE = 1"),
    Rule(
        scenarios.short_calls_are_timed_without_their_flushes,
        GRAPHS,
        "(with_calls - flushes) / len",
        "with_calls / len",
    ),
    Rule(scenarios.short_calls_are_timed_without_their_flushes, TIMER, "self.clock = graphs", "pass"),
    Rule(scenarios.a_graph_is_launched_behind_a_held_stream, GRAPHS, "self._device.hold(BLOCKING_CYCLES)", "pass"),
    Rule(
        scenarios.tuning_happens_before_a_graph_is_captured,
        GRAPHS,
        "            for call in calls:\n                call()\n        self._device",
        "            pass\n        self._device",
    ),
    Rule(
        scenarios.samples_are_whole_rotations_so_that_a_graph_serves_again,
        TIMER,
        "self.calls = INPUT_SETS * max(1, round(SAMPLE_NS / max(pace, 1.0) / INPUT_SETS))",
        "self.calls = max(1, round(SAMPLE_NS / max(pace, 1.0)))",
    ),
    Rule(
        scenarios.what_a_graph_cannot_hold_stays_with_events,
        TIMER,
        'self.note = f"timed by events',
        'self.clock = graphs; self.note = f"timed by events',
    ),
    Rule(
        scenarios.events_are_waited_for,
        CLOCKS,
        "        events[-1][1].synchronize()\n        waited_ns = device.now_ns()\n        device.synchronize()\n",
        "        waited_ns = device.now_ns()\n",
    ),
    Rule(scenarios.clocks_have_risen_before_anything_is_timed, TIMER, "self._settle(self.device)", "pass"),
    Rule(scenarios.work_that_goes_on_is_refused, CLOCKS, 'raise StrayWork(f"{stray_ns', 'StrayWork(f"{stray_ns'),
    Rule(
        scenarios.work_that_is_done_before_the_clock_looks_is_refused,
        TIMER,
        "self.clock.look_for_unseen(self._rotation(), pace_ns)",
        "pass",
    ),
    Rule(scenarios.a_graph_without_work_is_refused, GRAPHS, "if with_calls <= flushes:", "if False:"),
    Rule(
        scenarios.memory_of_an_earlier_call_is_not_this_one_s,
        DEVICE,
        "        module.reset_peak_memory_stats()\n",
        "",
    ),
    Rule(
        scenarios.memory_of_an_earlier_call_is_not_this_one_s,
        DEVICE,
        "max_memory_allocated() - before",
        "max_memory_allocated()",
    ),
    Rule(
        scenarios.host_time_is_that_of_the_launch,
        TIMER,
        "            times.append(self.device.now_ns() - start_ns)",
        "            self.device.synchronize()\n            times.append(self.device.now_ns() - start_ns)",
    ),
    Rule(scenarios.energy_is_that_of_one_call, TIMER, "(after - before) / calls", "(after - before)"),
    Rule(scenarios.a_record_says_what_was_measured_and_how, LIFE, "clock=opened.clock", "clock='cuda'"),
    Rule(
        scenarios.throttled_rounds_are_repeated_and_marked,
        LIFE,
        "for note in (disturbed, attempt.opened",
        "for note in ('', attempt.opened",
    ),
    Rule(
        scenarios.throttled_rounds_are_right_the_second_time_where_the_clocks_recovered,
        LIFE,
        "range(1 + self.settings.remeasure if samplers",
        "range(1 if samplers",
    ),
    Rule(
        scenarios.slowing_that_has_ended_is_found_in_the_counter,
        "attnbench.bench.timing.conditions",
        "if share > STEAL_SHARE",
        "if False",
    ),
    Rule(scenarios.a_dead_context_ends_one_record, PROCESS, "if answer.status.needs_fresh_process:", "if False:"),
    Rule(
        scenarios.memory_that_runs_out_is_told,
        "attnbench.bench.status",
        'type(error).__name__ == "OutOfMemoryError" or ',
        "False and ",
    ),
    Rule(scenarios.idle_workers_hold_no_memory_that_others_need, DEVICE, "self._module.empty_cache()", "pass"),
)
SCENARIOS = tuple(dict.fromkeys(rule.scenario for rule in RULES))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_rule_holds(scenario):
    scenario()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.scenario.__name__}: {rule.old.strip()[:40]}")
def test_without_the_rule_its_test_fails(rule):
    with (
        planted(rule.module, rule.old, rule.new),
        pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)),
    ):
        rule.scenario()
