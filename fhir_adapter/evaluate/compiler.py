"""Compiles a criteria tree to closures, one function per node of the closed table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace

from fhir_adapter.evaluate import judged
from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.anchors import CompiledAnchor, CompiledEpisode, CompiledEvent
from fhir_adapter.evaluate.ask import CompiledAsk
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.changes import Change, Lasting, Pairing, fall, rise
from fhir_adapter.evaluate.confounders import CompiledConfounder, Unconfounded
from fhir_adapter.evaluate.judged import Closure, Judged
from fhir_adapter.evaluate.members import any_member, count_at_least
from fhir_adapter.evaluate.membership import Membership, coded_as
from fhir_adapter.evaluate.person import age, alive, sex
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.evaluate.score import CompiledInput, CompiledScore
from fhir_adapter.evaluate.selection import Precedes, Selection, earlier, higher, later, lower
from fhir_adapter.evaluate.silence import Keyed, Silence
from fhir_adapter.evaluate.values import Test, analyte_of, compile_test, to_canonical
from fhir_adapter.evaluate.windows import AnchorState, AnchorValue, CompiledWindow
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.criterion import Events, Node, ValueTest
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.mapping import CodeSet, UnitTable
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.result import Evidence
from fhir_adapter.model.study import Study
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.model.vocabulary import anchor_code, question_code


@dataclass(frozen=True, slots=True)
class Timed:
    """Facts of some kinds and codes, and how far behind as_of they can change an answer."""

    retrieve: Retrieve
    limits: dict[tuple[Duration, int], None]
    """Each touches only facts that may be among so many newest ones; 0: all of them."""


class Compiler:
    """Turns nodes into closures for one study and one site's mappings."""

    def __init__(
        self,
        study: Study,
        code_sets: dict[str, CodeSet],
        units: UnitTable,
        calculators: dict[str, Calculator],
    ) -> None:
        self.study = study
        self.membership: Membership = Membership(code_sets)
        self.silence: Silence = Silence(study.id, code_sets)
        self.timed: dict[object, Timed] = {}
        self.ages: list[tree.Age] = []
        self.known_here: set[Kind] = set()
        """Kinds that a known-here policy counts."""
        self.asked: list[CompiledAsk] = []
        self._sets = code_sets
        self._units = units
        self.calculators: dict[str, Calculator] = calculators
        self._questions = {question.id: question for question in study.questions}
        self._windows: dict[tree.Window | None, CompiledWindow] = {}
        self._choices: dict[tuple[object, Precedes, int], object] = {}
        self._places: dict[Events, object] = {}
        self._retrieves: dict[tuple[Events, Absence], Retrieve] = {}
        self._closures: dict[tuple[Node, Absence, Duration | None], Closure] = {}
        self._anchors: dict[str, CompiledAnchor] = {}
        for anchor in study.anchors:
            self._anchors[anchor.name] = self._anchor(anchor)

    def anchor(self, case: Case, name: str) -> AnchorValue:
        """A named anchor's value for a case, worked out once."""
        known = case.memo.get(("anchor", name))
        if not isinstance(known, AnchorValue):
            known = self._anchors[name].value(case)
            case.memo["anchor", name] = known
        return known

    def closure(self, node: Node, absence: Absence, fresh: Duration | None) -> Closure:
        """The closure of one node under a criterion's absence policy and freshness limit."""
        known = self._closures.get((node, absence, fresh))
        if known is None:
            judge = _Scope(self, absence, fresh).node(node)
            known = _once(Keyed(judge, self.silence.reads(node, absence)), self.silence)
            self._closures[node, absence, fresh] = known
        return known

    def retrieve(self, events: Events, absence: Absence) -> Retrieve:
        """One compiled retrieve, registered for next-date."""
        known = self._retrieves.get((events, absence))
        if known is not None:
            return known
        code_set = self._sets[events.codes] if events.codes is not None else None
        same_day, also = events.same_day_as, events.also
        made = Retrieve(
            events,
            window=self._window(events.window),
            anchors=self.anchor,
            absence=absence,
            code_set=code_set,
            tests=self._tests(events),
            same_day=None if same_day is None else self.retrieve(same_day, absence),
            also=None if also is None else self.retrieve(also, absence),
        )
        made.place = self._places.setdefault(replace(events, if_absent=None), made)
        self._retrieves[events, absence] = made
        if (events.if_absent or absence.policy) == "assume-absent-if-known-here":
            self.known_here.update(absence.known_kinds)
        for edge in made.window.moving:
            self.until_passed(made, edge.offset)
        return made

    def until_passed(self, made: Retrieve, limit: Duration | None, newest: int = 0) -> None:
        """Register for next-date when the facts of a retrieve pass a limit behind as_of."""
        if limit is not None:
            self.timed.setdefault(made.keys, Timed(made, {})).limits[limit, newest] = None

    def choice(self, of: Retrieve, precedes: Precedes, n: int) -> object:
        """One object for all selections that choose the same facts."""
        return self._choices.setdefault((of.place, precedes, n), object())

    def _tests(self, events: Events) -> tuple[Test, ...]:
        tests: list[Test] = []
        if events.coded_as is not None:
            tests.append(coded_as(self.membership, events.coded_as))
        if events.value is not None:
            tests.append(self.test(events.value, events))
        return tuple(tests)

    def until(self, edge: str) -> CompiledWindow:
        """Everything up to an edge."""
        return self._window(tree.Window(to=edge))

    def _window(self, window: tree.Window | None) -> CompiledWindow:
        """Equal windows are one, so that each is resolved once per case."""
        if window not in self._windows:
            self._windows[window] = CompiledWindow(window, self.anchor)
        return self._windows[window]

    def test(self, test: ValueTest, events: Events) -> Test:
        """A value test, its bounds read in the analyte of the events' code set."""
        analyte = analyte_of(self._set_of(events), self._units)
        return compile_test(test, analyte, self.membership.holds)

    def difference(self, text: str | None, events: Events) -> Decimal | None:
        """A printed difference in canonical units."""
        if text is None:
            return None
        analyte = analyte_of(self._set_of(events), self._units)
        return to_canonical(Quantity.parse(text), analyte, offset=False)

    def calculator(self, name: str) -> Calculator:
        """A calculator by name."""
        return self.calculators[name]

    def valid_for(self, question: str) -> Duration | None:
        """How long an answer to a question holds; None for ever."""
        return duration(self._questions[question].valid_for)

    def _set_of(self, events: Events) -> CodeSet | None:
        return self._sets[events.codes] if events.codes is not None else None

    def _anchor(self, anchor: tree.Anchor) -> CompiledAnchor:
        absence = Absence("unknown", reopen_outside=False, known_kinds=anchor.of.kind)
        code = anchor_code(self.study.id, anchor.name)
        made = self.retrieve(anchor.of, absence)
        if isinstance(anchor, tree.EventAnchor):
            return CompiledEvent(code=code, retrieve=made, latest=anchor.pick == "latest")
        return CompiledEpisode(
            code=code,
            retrieve=made,
            test=self.test(anchor.bound, anchor.of),
            ends_after=Duration.parse(anchor.ends_after),
            ends_with=anchor.ends_with,
            look_back=Duration.parse(anchor.look_back),
        )


def _once(key: Keyed[Judged], silence: Silence) -> Closure:
    """The closure with its answer kept for the case: equal nodes share one."""

    def remembered(case: Case) -> Judged:
        known = case.memo.get(key)
        if known is None:
            known = case.memo[key] = silence.answer(key, case)
        return known  # type: ignore[return-value] # the memo holds what this key put there

    return remembered


def duration(text: str | None) -> Duration | None:
    """A duration; None for "none" and for nothing."""
    return None if text is None or text == "none" else Duration.parse(text)


_PRECEDES = {
    tree.Latest: (later, True),
    tree.Earliest: (earlier, True),
    tree.Lowest: (lower, False),
    tree.Highest: (higher, False),
}
"""Selection -> which fact comes before another, and whether by time."""


class _Scope:
    """Nodes of one criterion: they share its absence policy and freshness limit."""

    def __init__(self, compiler: Compiler, absence: Absence, fresh: Duration | None) -> None:
        self._compiler = compiler
        self._absence = absence
        self._fresh = fresh

    def node(self, node: Node) -> Closure:
        """Dispatch on the closed table."""
        match node:
            case tree.AllOf() | tree.AnyOf() | tree.AtLeast() | tree.Not():
                return self._logic(node)
            case tree.Age() | tree.Sex() | tree.Alive() | tree.InEpisode() | tree.Unsupported():
                return self._plain(node)
            case tree.Any() | tree.CountAtLeast() | tree.Lasts() | tree.Paired():
                return self._events(node)
            case tree.Latest() | tree.Earliest() | tree.Lowest() | tree.Highest():
                return self._selection(node).judge
            case tree.Rise() | tree.Fall():
                return self._change(node).judge
            case tree.UnlessConfounded():
                return self._unconfounded(node).judge
            case tree.Score():
                return self._score(node).judge
            case tree.Ask():  # exhaustive
                return self._ask(node).judge

    def _part(self, node: Node) -> Closure:
        """A child: equal children of one scope are judged once per case."""
        return self._compiler.closure(node, self._absence, self._fresh)

    def _retrieve(self, events: Events) -> Retrieve:
        return self._compiler.retrieve(events, self._absence)

    def _logic(self, node: tree.AllOf | tree.AnyOf | tree.AtLeast | tree.Not) -> Closure:
        if isinstance(node, tree.Not):
            inner = self._part(node.of)
            return lambda case: judged.negated(inner(case))
        parts = tuple(self._part(part) for part in node.of)
        match node:
            case tree.AllOf():
                return lambda case: judged.all_of([part(case) for part in parts])
            case tree.AnyOf():
                return lambda case: judged.any_of([part(case) for part in parts])
            case tree.AtLeast():  # exhaustive
                n = node.n
                return lambda case: judged.at_least(n, [part(case) for part in parts])

    def _plain(
        self, node: tree.Age | tree.Sex | tree.Alive | tree.InEpisode | tree.Unsupported
    ) -> Closure:
        match node:
            case tree.Age():
                self._compiler.ages.append(node)
                return age(node.min, node.max)
            case tree.Sex():
                return sex(node.is_)
            case tree.Alive():
                return alive
            case tree.InEpisode():
                return self._in_episode(node.anchor)
            case tree.Unsupported():  # exhaustive
                return lambda _: judged.unknown(Reason.UNSUPPORTED)

    def _in_episode(self, name: str) -> Closure:
        def judge(case: Case) -> Judged:
            value = self._compiler.anchor(case, name)
            evidence = tuple(Evidence(fact, name) for fact in value.evidence)
            match value.state:
                case AnchorState.PRESENT:
                    return Judged(Truth.TRUE, evidence)
                case AnchorState.NONE:
                    return Judged(Truth.FALSE, evidence)
                case AnchorState.UNKNOWN:  # exhaustive
                    return judged.unknown(value.reason or Reason.NEVER_RECORDED, *evidence)

        return judge

    def _events(self, node: tree.Any | tree.CountAtLeast | tree.Lasts | tree.Paired) -> Closure:
        match node:
            case tree.Any():
                return any_member(self._retrieve(node.of))
            case tree.CountAtLeast():
                return count_at_least(self._retrieve(node.of), node.n)
            case tree.Lasts():
                length = Duration.parse(node.at_least)
                return Lasting(retrieve=self._retrieve(node.of), at_least=length).judge
            case tree.Paired():  # exhaustive
                return Pairing(
                    first=self._retrieve(node.first),
                    second=self._retrieve(node.second),
                    within=Duration.parse(node.within),
                ).judge

    def _selection(
        self, node: tree.Latest | tree.Earliest | tree.Lowest | tree.Highest
    ) -> Selection:
        precedes, by_time = _PRECEDES[type(node)]
        fresh = self._fresh if isinstance(node, tree.Latest) else None
        fresh = fresh if node.fresh is None else duration(node.fresh)
        made = self._retrieve(node.of)
        newest = node.n if isinstance(node, tree.Latest) else 0
        self._compiler.until_passed(made, fresh, newest)
        return Selection(
            retrieve=made,
            test=self._compiler.test(node.test, node.of),
            precedes=precedes,
            n=node.n,
            fresh=fresh,
            by_time=by_time,
            choice=self._compiler.choice(made, precedes, node.n),
        )

    def _change(self, node: tree.Rise | tree.Fall) -> Change:
        by = self._compiler.difference(node.by, node.of)
        factor = None if node.factor is None else Decimal(node.factor)
        compare = rise(by, factor) if isinstance(node, tree.Rise) else fall(by, factor)
        return Change(
            retrieve=self._retrieve(node.of), compare=compare, within=Duration.parse(node.within)
        )

    def _unconfounded(self, node: tree.UnlessConfounded) -> Unconfounded:
        return Unconfounded(
            test=self._part(node.test),
            by=tuple(
                CompiledConfounder(item.name, self._silent(item.by), item.doubts)
                for item in node.by
            ),
            question=node.question or "",
        )

    def _silent(self, events: Events) -> Retrieve:
        """A confounder that is nowhere recorded does not confound."""
        absence = Absence("assume-absent", reopen_outside=False, known_kinds=events.kind)
        return self._compiler.retrieve(events, absence)

    def _score(self, node: tree.Score) -> CompiledScore:
        calculator = self._compiler.calculator(node.calculator)
        by_name = {item.name: item for item in calculator.items}
        plain = Events(kind=())
        test = self._compiler.test(node.test, plain)
        return CompiledScore(
            calculator=calculator,
            inputs=tuple(
                CompiledInput(
                    item=by_name[entry.item],
                    sources=tuple(self._retrieve(events) for events in entry.of),
                )
                for entry in node.inputs
            ),
            recorded=None if node.recorded is None else self._retrieve(node.recorded),
            test=test,
            number_test=_number_test(test),
            spread=duration(node.spread),
            holds=self._compiler.membership.holds,
        )

    def _ask(self, node: tree.Ask) -> CompiledAsk:
        made = CompiledAsk(
            code=question_code(self._compiler.study.id, node.question),
            question=node.question,
            valid_for=self._compiler.valid_for(node.question) or self._fresh,
            yes_if=None if node.yes_if is None else self._part(node.yes_if),
            no_if=None if node.no_if is None else self._part(node.no_if),
            raised_by=None if node.raised_by is None else self._part(node.raised_by),
            raised_as=Reason.named(node.raised_as),
        )
        self._compiler.asked.append(made)
        return made


def _number_test(test: Test) -> Callable[[int, int], Truth]:
    """The same test on a computed range, as if it were one value somewhere inside."""

    def judge(lo: int, hi: int) -> Truth:
        fact = Fact(
            patient="", kind=Kind.OBSERVATION, source="", value_lo=Decimal(lo),
            value_hi=Decimal(hi), reported_lo=Decimal(lo), reported_hi=Decimal(hi),
            unit="1", reported_unit="1",
        )  # fmt: skip
        return test(fact)[0]

    return judge
