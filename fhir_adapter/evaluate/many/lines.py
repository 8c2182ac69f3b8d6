"""Lines: the distinct criteria of many studies, compiled once for all of them.

Two criteria are one line when they are equal in everything that decides: the nodes, the absence
policy, the freshness limit, the gate, where they are settled. What only names or explains is left
out. Within a line equal nodes are one closure (an atom), shared with every other line of the same
policy and freshness. Named anchors belong to a study, so lines that name one are shared among the
studies that define their anchors alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from fhir_adapter.evaluate.compiler import Compiler
from fhir_adapter.evaluate.many.reads import Reads, reads_of
from fhir_adapter.evaluate.record import CompiledStudy, Line, compile_study, line_of
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.criterion import Alive
from fhir_adapter.model.mapping import CodeSet, Mappings
from fhir_adapter.model.result import Open
from fhir_adapter.model.study import Criterion, Study
from fhir_adapter.model.truth import Truth


class SiteStudy:
    """A study under one site's mappings; compiled alone only where somebody asks for that."""

    def __init__(
        self,
        study: Study,
        mappings: Mappings,
        *,
        code_sets: Mapping[str, CodeSet] | None = None,
        calculators: Mapping[str, Calculator] | None = None,
    ) -> None:
        self.study: Study = study
        self.mappings: Mappings = mappings
        self.code_sets: Mapping[str, CodeSet] = mappings.by_name if code_sets is None else code_sets
        self.calculators: Mapping[str, Calculator] = calculators or {}

    @cached_property
    def compiled(self) -> CompiledStudy:
        """The study alone, as the record lane judges it."""
        return compile_study(
            self.study, self.mappings, code_sets=self.code_sets, calculators=self.calculators
        )

    @classmethod
    def of(cls, compiled: CompiledStudy) -> SiteStudy:
        """From a study that is compiled already."""
        compiler = compiled.compiler
        made = cls(
            compiled.study,
            compiled.mappings,
            code_sets=compiler.membership.code_sets,
            calculators=compiler.calculators,
        )
        made.compiled = compiled
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One line: a criterion without its names, compiled, and what it reads."""

    line: Line
    compiler: Compiler
    group: int
    """Lines of one group know the same anchors; each group has a case memo of its own."""
    reads: Reads
    worth: dict[State, int] | None
    """What an answer is worth, as far as known: shared by lines that differ in the test alone.
    None where the criterion looks at more than its test."""


State = tuple[Truth, bool, tuple[Open, ...]]
"""All of an answer on which marks may rest: truth, whether it is assumed, what keeps it open."""

_Key = tuple[bytes, bytes]
"""The criterion without its names, and the anchors of its study where it names any."""


class Lines:
    """The distinct lines of some studies, in the order in which they are first met."""

    def __init__(self, studies: Sequence[SiteStudy]) -> None:
        self._sets: dict[str, CodeSet] = {}
        self._calculators: dict[str, Calculator] = {}
        self.apart: frozenset[int] = frozenset(self._merged(studies))
        """Studies that mean something else by a name that others use: they are judged alone."""
        self._units = studies[0].mappings.units
        self._questions = {q.id: q for one in studies for q in one.study.questions}
        self._compilers: dict[bytes, Compiler] = {}
        self._worth: dict[bytes, dict[State, int]] = {}
        self._groups: dict[bytes, int] = {b"": 0}
        self._lines: dict[_Key, Shared] = {}
        self.of_study: list[list[Shared]] = [
            [] if number in self.apart else list(self._of(one))
            for number, one in enumerate(studies)
        ]
        """Study by study."""

    @property
    def lines(self) -> list[Shared]:
        """All of them, in the order in which they are first met."""
        return list(self._lines.values())

    @property
    def code_sets(self) -> dict[str, CodeSet]:
        """The value sets of all studies that are not apart, by name."""
        return self._sets

    def _merged(self, studies: Sequence[SiteStudy]) -> Iterator[int]:
        for number, one in enumerate(studies):
            if _agree(self._sets, one.code_sets) and _agree(self._calculators, one.calculators):
                self._sets.update(one.code_sets)
                self._calculators.update(one.calculators)
            else:
                yield number

    def _of(self, one: SiteStudy) -> Iterator[Shared]:
        anchors = msgspec.msgpack.encode(one.study.anchors)
        for criterion in one.study.criteria:
            bare = _bare(criterion)
            text = msgspec.msgpack.encode(bare)
            known = self._lines.get((text, b"")) or self._lines.get((text, anchors))
            yield known or self._new(one.study, bare, text, anchors)

    def _new(self, study: Study, bare: Criterion, text: bytes, anchors: bytes) -> Shared:
        reads = reads_of(bare, study.anchors)
        known = anchors if reads.anchors else b""
        self._groups.setdefault(known, len(self._groups))
        compiler = self._compiler(study, known)
        made = Shared(
            line=line_of(bare, compiler),
            compiler=compiler,
            group=self._groups[known],
            reads=reads,
            worth=self._worth_of(bare),
        )
        self._lines[text, known] = made
        return made

    def _worth_of(self, bare: Criterion) -> dict[State, int] | None:
        if bare.applies_if is not None or bare.passing_if is not None:
            return None
        settings = msgspec.structs.replace(bare, test=Alive(), fresh="none", if_absent="unknown")
        return self._worth.setdefault(msgspec.msgpack.encode(settings), {})

    def _compiler(self, study: Study, known: bytes) -> Compiler:
        """A compiler for a study without a name: nobody's answer is an answer to it."""
        if known not in self._compilers:
            nameless = msgspec.structs.replace(
                study,
                id="",
                anchors=study.anchors if known else (),
                questions=tuple(self._questions.values()),
            )
            self._compilers[known] = Compiler(nameless, self._sets, self._units, self._calculators)
        return self._compilers[known]


def _agree(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return all(one.get(name, found) == found for name, found in other.items())


def _bare(criterion: Criterion) -> Criterion:
    """What decides, without names, words, and facts that are only shown."""
    return msgspec.structs.replace(
        criterion,
        id="",
        title="",
        sentence="",
        span="",
        decidability="D",
        cost=0,
        question="",
        watch="",
        beside=(),
        readings=(),
        sign_off=None,
    )
