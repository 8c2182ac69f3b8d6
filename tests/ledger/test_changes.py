"""Changed patients: one row each, claimed by one worker, gone only if nothing came in between."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_adapter.ledger import ChangedPatients, Ledger, Mark
from fhir_adapter.ledger.changes import SECOND, backoff

T = 1_800_000_000 * SECOND
LATER = T + 3600 * SECOND


def waiting(ledger: Ledger, at: int = LATER) -> dict[str, str]:
    return {one.patient: one.reason for one in ledger.changed.due(at, 100)}


def test_marks_of_one_patient_are_one_row_with_the_newest_reason(ledger: Ledger) -> None:
    first = ledger.changed.mark_changed("p", "poll", T)
    second = ledger.changed.mark_changed("p", "hook", T + 1)
    assert second > first
    assert waiting(ledger) == {"p": "hook"}
    assert ledger.changed.count() == 1


def test_a_change_is_due_after_the_debounce_and_another_one_waits_for_quiet(
    ledger: Ledger,
) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    assert waiting(ledger, T + 3 * SECOND - 1) == {}
    ledger.changed.mark_changed("p", "poll", T + 2 * SECOND)
    assert waiting(ledger, T + 3 * SECOND) == {}
    assert waiting(ledger, T + 5 * SECOND) == {"p": "poll"}


def test_a_patient_who_never_is_quiet_is_looked_at_all_the_same(ledger: Ledger) -> None:
    for second in range(0, 40, 2):
        ledger.changed.mark_changed("p", "poll", T + second * SECOND)
    assert waiting(ledger, T + 30 * SECOND - 1) == {}
    assert waiting(ledger, T + 30 * SECOND) == {"p": "poll"}


def test_what_is_due_is_not_put_off_by_another_mark(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    ledger.changed.mark_changed("p", "poll", T + 60 * SECOND)
    assert waiting(ledger, T + 60 * SECOND) == {"p": "poll"}


def test_a_date_is_due_on_its_day_and_a_change_before_it(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "date", T, not_before=LATER)
    ledger.changed.mark_changed("q", "date", T, not_before=LATER)
    assert waiting(ledger, LATER - 1) == {}
    ledger.changed.mark_changed("q", "poll", T + SECOND)
    assert waiting(ledger, LATER - 1) == {"q": "poll"}
    assert set(waiting(ledger, LATER)) == {"p", "q"}


def test_a_date_puts_no_change_off(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    ledger.changed.mark_changed("p", "date", T, not_before=LATER)
    assert list(waiting(ledger, T + 3 * SECOND)) == ["p"]


def test_done_removes_the_row_of_the_sequence_that_was_claimed(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (claimed,) = ledger.changed.claim("w", LATER, 10)
    assert ledger.changed.done("p", claimed.sequence, worker="w")
    assert not ledger.changed.done("p", claimed.sequence, worker="w")
    assert ledger.changed.count() == 0


def test_done_keeps_the_row_where_a_mark_came_in_between(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (claimed,) = ledger.changed.claim("w", T + 3 * SECOND, 10)
    ledger.changed.mark_changed("p", "notification", T + 4 * SECOND)
    assert not ledger.changed.done("p", claimed.sequence, worker="w")
    assert waiting(ledger, T + 7 * SECOND - 1) == {}, "the debounce begins again"
    (again,) = ledger.changed.claim("w2", T + 7 * SECOND, 10)
    assert (again.reason, again.sequence > claimed.sequence) == ("notification", True)


def test_a_sequence_number_never_comes_twice_so_a_late_done_removes_no_new_mark(
    ledger: Ledger,
) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (slow,) = ledger.changed.claim("slow", LATER, 10, lease_seconds=1)
    (quick,) = ledger.changed.claim("quick", LATER + SECOND, 10)
    assert ledger.changed.done("p", quick.sequence, worker="quick")
    ledger.changed.mark_changed("p", "poll", LATER + 2 * SECOND)
    assert not ledger.changed.done("p", slow.sequence, worker="slow")
    assert ledger.changed.count() == 1


def test_done_may_leave_a_date_on_which_to_look_again(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (claimed,) = ledger.changed.claim("w", LATER, 10)
    later = LATER + 86400 * SECOND
    assert ledger.changed.done("p", claimed.sequence, worker="w", next_at=later)
    assert waiting(ledger, later - 1) == {}
    ledger.changed.mark_changed("p", "poll", LATER + SECOND)
    assert waiting(ledger, LATER + 4 * SECOND) == {"p": "poll"}, "a change does not wait for it"


def test_a_date_given_with_done_is_left_out_where_a_mark_came_in_between(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (claimed,) = ledger.changed.claim("w", LATER, 10)
    ledger.changed.mark_changed("p", "poll", LATER)
    assert not ledger.changed.done("p", claimed.sequence, worker="w", next_at=LATER * 2)
    assert waiting(ledger, LATER + 3 * SECOND) == {"p": "poll"}


def test_a_claim_is_alone_until_its_lease_is_over(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    assert len(ledger.changed.claim("w", LATER, 10, lease_seconds=60)) == 1
    assert ledger.changed.claim("x", LATER + 59 * SECOND, 10) == ()
    (found,) = ledger.changed.claim("x", LATER + 60 * SECOND, 10)
    assert found.worker == "x"


def test_a_late_done_does_not_free_what_another_worker_has_claimed_since(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (slow,) = ledger.changed.claim("slow", LATER, 10, lease_seconds=1)
    ledger.changed.mark_changed("p", "poll", LATER)
    assert len(ledger.changed.claim("quick", LATER + 60 * SECOND, 10)) == 1
    assert not ledger.changed.done("p", slow.sequence, worker="slow")
    assert ledger.changed.claim("third", LATER + 61 * SECOND, 10) == ()


def test_a_failure_is_kept_with_its_code_and_comes_back_later_and_later(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (first,) = ledger.changed.claim("w", LATER, 10)
    ledger.changed.failed(first, "server-broken", LATER)
    assert waiting(ledger, LATER + 30 * SECOND - 1) == {}
    (second,) = ledger.changed.claim("w", LATER + 30 * SECOND, 10)
    assert (second.attempts, second.error) == (1, "server-broken")
    ledger.changed.failed(second, "server-broken", LATER)
    assert waiting(ledger, LATER + 60 * SECOND - 1) == {}
    assert ledger.changed.failing() == 1


def test_a_failure_does_not_put_off_a_mark_that_came_in_between(ledger: Ledger) -> None:
    ledger.changed.mark_changed("p", "poll", T)
    (claimed,) = ledger.changed.claim("w", LATER, 10)
    ledger.changed.mark_changed("p", "poll", LATER)
    ledger.changed.failed(claimed, "server-broken", LATER)
    (again,) = ledger.changed.claim("w", LATER + 3 * SECOND, 10)
    assert again.attempts == 1


def test_the_wait_grows_to_six_hours_and_no_further() -> None:
    assert [backoff(n) // SECOND for n in (1, 2, 3, 11, 99)] == [30, 60, 120, 21600, 21600]


def test_the_longest_waiting_come_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in range(5):
        ledger.changed.mark_changed(f"p{number}", "poll", T - number * SECOND)
    found = [one.patient for one in ledger.changed.claim("w", LATER, 3)]
    assert found == ["p4", "p3", "p2"]
    assert ledger.changed.oldest() == T - SECOND


def test_many_are_marked_at_once_each_with_a_number_of_its_own(ledger: Ledger) -> None:
    marks = [Mark(patient=f"p{n % 900}", reason="sweep", seen_at=T + n) for n in range(1000)]
    last = ledger.changed.mark_all(marks)
    found = ledger.changed.due(LATER, 2000)
    assert len({one.sequence for one in found}) == len(found) == 900
    assert max(one.sequence for one in found) == last
    assert ledger.changed.mark_all(()) == 0


def test_without_a_debounce_a_change_is_due_at_once(ledger: Ledger) -> None:
    ChangedPatients(ledger._engine, debounce_seconds=0).mark_changed("p", "hook", T)
    assert waiting(ledger, T) == {"p": "hook"}


def test_an_empty_queue_has_no_oldest(ledger: Ledger) -> None:
    assert ledger.changed.oldest() is None
    assert ledger.changed.claim("w", LATER, 5) == ()


@pytest.mark.untraced
@pytest.mark.slow
def test_four_workers_claim_a_thousand_rows_each_exactly_once(ledger: Ledger) -> None:
    ledger.changed.mark_all(Mark(patient=f"p{n}", reason="sweep", seen_at=T) for n in range(1000))

    def work(worker: str) -> list[str]:
        mine: list[str] = []
        while found := ledger.changed.claim(worker, LATER, 7):
            for one in found:
                assert ledger.changed.done(one.patient, one.sequence, worker=worker)
            mine += [one.patient for one in found]
        return mine

    with ThreadPoolExecutor(4) as pool:
        seen = Counter(one for part in pool.map(work, "abcd") for one in part)
    assert len(seen) == 1000
    assert set(seen.values()) == {1}
    assert ledger.changed.count() == 0
