"""How the way of writing is chosen, and how placeholders are filled."""

from __future__ import annotations

import pytest

from fhir_adapter.client import Capability, TypeCapability
from fhir_adapter.errors import InternalFault
from fhir_adapter.fhir.set_by import set_by
from fhir_adapter.model.server import ServerProfile, Verdict
from fhir_adapter.writeback import Strategy, choose
from fhir_adapter.writeback.filling import filled
from fhir_adapter.writeback.sending import token
from fhir_adapter.writeback.standing import oldest_first, version_of

WORKS, FAILS = Verdict.WORKS, Verdict.FAILS
ALL = frozenset(("create", "read", "search-type", "update", "history-type"))
BESIDE = ("Device", "GuidanceResponse", "Provenance")


def _server(subject: TypeCapability, *beside: str) -> Capability:
    others = (TypeCapability(resource_type=name, interactions=ALL) for name in beside)
    return Capability(types=(subject, *others))


def _subject(
    interactions: frozenset[str] = ALL, *, conditional: bool = True, versioning: str = "versioned"
) -> TypeCapability:
    return TypeCapability(
        resource_type="ResearchSubject",
        interactions=interactions,
        conditional_create=conditional,
        versioning=versioning,
    )


def _without(*types: str) -> Capability:
    """A server that takes these, and no ResearchSubject."""
    kinds = (TypeCapability(resource_type=name, interactions=ALL) for name in types)
    return Capability(types=tuple(kinds))


@pytest.mark.parametrize(
    ("types", "stand_in"),
    [
        (("DocumentReference", "Task", "Device"), "Task"),
        (("DocumentReference", "Device"), "DocumentReference"),
        (("Device",), ""),
    ],
)
def test_a_task_comes_before_a_document(types: tuple[str, ...], stand_in: str) -> None:
    assert choose(_without(*types)).stand_in == stand_in
    assert choose(_server(_subject(), *types)).stand_in == stand_in


@pytest.mark.parametrize(
    ("capability", "strategy"),
    [
        pytest.param(None, Strategy.CONDITIONAL_CREATE, id="nothing is said"),
        pytest.param(Capability(), Strategy.CONDITIONAL_CREATE, id="an empty statement"),
        pytest.param(_server(_subject()), Strategy.CONDITIONAL_CREATE, id="conditional create"),
        pytest.param(
            _server(_subject(frozenset(), conditional=False)),
            Strategy.SEARCH_THEN_CREATE,
            id="no conditional create",
        ),
        pytest.param(_server(_subject(frozenset(("read",)))), Strategy.LEDGER_ONLY, id="read only"),
        pytest.param(
            Capability(types=(TypeCapability(resource_type="Patient"),)),
            Strategy.LEDGER_ONLY,
            id="no ResearchSubject",
        ),
        pytest.param(_without("Task", "Device"), Strategy.STAND_IN, id="a Task instead"),
        pytest.param(_without("Task"), Strategy.LEDGER_ONLY, id="a Task names the Device"),
    ],
)
def test_the_strategy_follows_what_the_server_says(
    capability: Capability | None, strategy: Strategy
) -> None:
    choice = choose(capability)
    assert choice.strategy is strategy
    assert str(choice) == f"{strategy.value}: {choice.reason}"


def test_versions_and_history_are_used_only_where_offered() -> None:
    without = _subject(ALL - {"history-type"}, versioning="no-version")
    choice = choose(_server(without, *BESIDE))
    assert (choice.if_match, choice.history, choice.left_out) == (False, False, frozenset())
    assert choose(_server(_subject(), *BESIDE)).history


@pytest.mark.parametrize(
    ("beside", "left_out"),
    [
        pytest.param(("Device", "Provenance"), {"GuidanceResponse"}, id="no GuidanceResponse"),
        pytest.param(("GuidanceResponse", "Provenance"), set(BESIDE), id="no Device: none of them"),
    ],
)
def test_types_that_are_not_taken_are_left_out(beside: tuple[str, ...], left_out: set[str]) -> None:
    assert choose(_server(_subject(), *beside)).left_out == left_out


def test_a_placeholder_without_an_id_is_our_mistake() -> None:
    with pytest.raises(InternalFault, match="Device"):
        filled({"performer": [{"reference": "Device/{id}"}]}, {})


def test_an_identifier_without_a_system_is_searched_by_its_value() -> None:
    assert token("", "a|b") == {"identifier": "a\\|b"}


@pytest.mark.parametrize(
    ("extension", "who"),
    [
        ({"valueCode": "machine"}, "machine"),
        ({"valueString": "person"}, "person"),
        ({"valueCoding": {"code": "machine"}}, "machine"),
    ],
)
def test_who_set_the_status_is_read_in_any_form(extension: dict[str, object], who: str) -> None:
    found = {"_status": {"extension": [{"url": "x/status-set-by", **extension}]}}
    assert set_by(found) == who


def test_a_resource_without_meta_has_no_version_and_no_age() -> None:
    assert version_of({}) == ""
    assert oldest_first([{"id": "2"}, {"id": "1"}]) == [{"id": "1"}, {"id": "2"}]


def _profile(**verdicts: Verdict) -> ServerProfile:
    named = {name.replace("__", ".").replace("_", "-"): one for name, one in verdicts.items()}
    subject = {"kept.ResearchSubject": WORKS, "search.ResearchSubject.identifier": WORKS}
    return ServerProfile(verdicts={**subject, **named})


@pytest.mark.parametrize(
    ("profile", "strategy"),
    [
        pytest.param(_profile(), Strategy.SEARCH_THEN_CREATE, id="it keeps what it takes"),
        pytest.param(
            _profile(write__conditional_create=WORKS),
            Strategy.CONDITIONAL_CREATE,
            id="conditional create was seen",
        ),
        pytest.param(
            ServerProfile(verdicts={"kept.ResearchSubject": FAILS}),
            Strategy.STAND_IN,
            id="it does not keep ResearchSubject",
        ),
        pytest.param(
            ServerProfile(verdicts={"kept.ResearchSubject": FAILS, "kept.Task": FAILS}),
            Strategy.LEDGER_ONLY,
            id="nor a Task",
        ),
        pytest.param(ServerProfile(), Strategy.CONDITIONAL_CREATE, id="nothing was tried"),
    ],
)
def test_what_was_proved_stands_above_what_is_said(
    profile: ServerProfile, strategy: Strategy
) -> None:
    assert choose(None, profile).strategy is strategy


def test_a_proof_takes_away_what_does_not_work() -> None:
    profile = _profile(write__if_match=FAILS)
    choice = choose(_server(_subject(), *BESIDE), profile)
    assert (choice.if_match, choice.left_out) == (False, frozenset())


@pytest.mark.parametrize(
    ("refused", "left_out"), [("Provenance", {"Provenance"}), ("Device", set(BESIDE))]
)
def test_types_that_were_refused_are_left_out(refused: str, left_out: set[str]) -> None:
    profile = ServerProfile(verdicts={f"kept.{refused}": FAILS})
    assert choose(None, profile).left_out == left_out


def test_conditional_update_that_was_seen_is_for_what_is_ours_alone() -> None:
    """It writes over whoever was there: no ResearchSubject and no Task is created by it."""
    seen = choose(None, _profile(write__conditional_update=WORKS, write__conditional_create=FAILS))
    assert seen.strategy is Strategy.SEARCH_THEN_CREATE
    kinds = ("Device", "GuidanceResponse", "ResearchSubject", "Task", "Provenance")
    assert [seen.puts_on_identifier(one) for one in kinds] == [True, True, False, False, False]
    both = choose(None, _profile(write__conditional_update=WORKS, write__conditional_create=WORKS))
    assert not any(map(both.puts_on_identifier, kinds))
    assert not choose(None).puts_on_identifier("Device"), "nobody has seen it"


@pytest.mark.parametrize(
    ("seen", "listed", "asked"),
    [
        (Verdict.WORKS, False, True),
        (Verdict.FAILS, True, False),
        (Verdict.CANNOT_TELL, True, True),
        (Verdict.CANNOT_TELL, False, False),
    ],
)
def test_the_history_is_asked_where_it_was_seen_to_tell(
    seen: Verdict, *, listed: bool, asked: bool
) -> None:
    found = _subject(ALL if listed else ALL - {"history-type"})
    profile = ServerProfile(verdicts={"kept.type-history": seen})
    assert choose(_server(found, *BESIDE), profile).history is asked


def test_a_task_that_was_seen_to_be_lost_gives_way_to_a_document() -> None:
    lost = {"kept.ResearchSubject": FAILS, "kept.Task": FAILS}
    kept = _server(_subject(), *BESIDE, "Task", "DocumentReference")
    choice = choose(kept, ServerProfile(verdicts=lost))
    assert (choice.strategy, choice.stand_in) == (Strategy.STAND_IN, "DocumentReference")
    assert choose(kept, ServerProfile(verdicts={"kept.Task": FAILS})).stand_in == (
        "DocumentReference"
    )
