"""Creating, updating, deleting, and the conditions on them."""

from __future__ import annotations

from collections.abc import Callable

from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.own import SYSTEM
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import text
from fhir_adapter.ports import Resource

_CONFLICT = 412
_STOPPED = frozenset((409, _CONFLICT))
"""HAPI answers 409 where R4 (http, 3.1.0.5) wants 412; the client takes either for a conflict."""
_CREATED = 201
_STALE = 'W/"0"'
_NOT_TAKEN = "nothing of ours was taken"


def subject(exam: Exam, name: str) -> Resource | None:
    """A ResearchSubject under this name where the server takes them, else a Device."""
    kind = next((one for one in ("ResearchSubject", "Device") if is_taken(exam, one)), "")
    if not kind:
        return None
    sent = exam.sent[kind]
    dropped = {"resourceType", "identifier", "meta", "id"}
    elements = {key: value for key, value in sent.items() if key not in dropped}
    return exam.own.marked(kind, elements, name)


def is_taken(exam: Exam, kind: str) -> bool:
    """Whether the server took the specimen of this type."""
    return kind in exam.replies and exam.replies[kind].is_good


def found_by_name(exam: Exam, kind: str, name: str) -> Reply:
    """Search by our identifier."""
    return exam.probe.find(kind, by_name(name))


def by_name(name: str) -> dict[str, str]:
    """``identifier=system|value``."""
    return {"identifier": f"{SYSTEM}|{name}"}


def with_subject(look: Callable[[Exam, Resource, str], Seen]) -> Callable[[Exam], Seen]:
    """With a resource of ours that was not sent yet, and its name."""

    def looked(exam: Exam) -> Seen:
        name = exam.own.name()
        made = subject(exam, name)
        return unsure(_NOT_TAKEN) if made is None else look(exam, made, name)

    return looked


def _with_standing(look: Callable[[Exam, Resource, Reply], Seen]) -> Callable[[Exam], Seen]:
    """With a resource of ours as it was sent and with what the server answered."""

    def made(exam: Exam, sent: Resource, name: str) -> Seen:
        del name
        reply = exam.own.create(sent)
        if not reply.is_good or not reply.id:
            return unsure(f"it was not created ({reply.status})")
        return look(exam, {**sent, "id": reply.id}, reply)

    return with_subject(made)


def _kind(resource: Resource) -> str:
    return text(resource["resourceType"])


def _place(resource: Resource) -> str:
    return f"{_kind(resource)}/{text(resource['id'])}"


def _create(exam: Exam, sent: Resource, name: str) -> Seen:
    del name
    reply = exam.own.create(sent)
    if not reply.is_good:
        return fails(f"refused ({reply.status})")
    if not reply.id:
        return fails("neither a Location nor the resource came back")
    return either(reply.status == _CREATED, "201", f"answered {reply.status}")


def _found_at_once(exam: Exam, sent: Resource, name: str) -> Seen:
    exam.own.create(sent)
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    return either(len(rows) == 1, "found at once", f"{len(rows)} found at once")


def _conditional_create(exam: Exam, sent: Resource, name: str) -> Seen:
    condition = f"identifier={SYSTEM}|{name}"
    first = exam.own.create(sent, if_none_exist=condition)
    second = exam.own.create(sent, if_none_exist=condition)
    if not first.is_good:
        return fails(f"refused ({first.status})")
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    if len(rows) != 1:
        return fails(f"{len(rows)} stand after two")
    return either(second.is_good, "one stands after two", f"the second one gave {second.status}")


def _two(exam: Exam, sent: Resource) -> bool:
    return all(exam.own.create(sent).is_good for _ in range(2))


def _ambiguous_create(exam: Exam, sent: Resource, name: str) -> Seen:
    if not _two(exam, sent):
        return unsure("two of the same name were not taken")
    third = exam.own.create(sent, if_none_exist=f"identifier={SYSTEM}|{name}")
    return either(third.status == _CONFLICT, "412", f"answered {third.status}")


def _update(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    del reply
    changed = _changed(standing)
    answer = exam.own.put(changed)
    if not answer.is_good:
        return fails(f"refused ({answer.status})")
    kept = exam.probe.get(_place(standing)).body
    return either(_is_changed(kept), "changed", "answered well and changed nothing")


def _changed(resource: Resource) -> Resource:
    name = "status"
    other = "screening" if _kind(resource) == "ResearchSubject" else "inactive"
    return {**resource, name: other}


def _is_changed(kept: Resource) -> bool:
    return kept.get("status") in {"screening", "inactive"}


def _versions(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    before = reply.version
    exam.own.put(_changed(standing))
    after = exam.probe.get(_place(standing)).version
    if not before or not after:
        return fails("it keeps no versions")
    return either(before != after, "each update is a version", "the version stays the same")


def _if_match(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    if not reply.version:
        return unsure("there is no version to name")
    answer = exam.own.put(_changed(standing), if_match=f'W/"{reply.version}"')
    return either(answer.is_good, "taken", f"refused ({answer.status})")


def _stale(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    if not reply.version:
        return unsure("there is no version to name")
    exam.own.put(standing)
    answer = exam.own.put(_changed(standing), if_match=_outdated(exam, standing, reply))
    if answer.is_good:
        return fails("an old version was taken for the new one")
    kept = exam.probe.get(_place(standing)).body
    if _is_changed(kept):
        return fails(f"answered {answer.status} and changed it all the same")
    return either(answer.status in _STOPPED, str(answer.status), f"answered {answer.status}")


def _outdated(exam: Exam, standing: Resource, reply: Reply) -> str:
    """The version before; one that never was where an update without change makes no version."""
    now = exam.probe.get(_place(standing)).version
    return f'W/"{reply.version}"' if now != reply.version else _STALE


def _if_none_match(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    del reply
    answer = exam.own.put(_changed(standing), if_none_match="*")
    if answer.is_good:
        return fails("what stood there was written over")
    return either(answer.status == _CONFLICT, "412", f"answered {answer.status}")


def _conditional_update(exam: Exam, sent: Resource, name: str) -> Seen:
    first = exam.own.put_where(sent, by_name(name))
    if not first.is_good:
        return fails(f"refused ({first.status})")
    second = exam.own.put_where(_changed(sent), by_name(name))
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    if len(rows) != 1:
        return fails(f"{len(rows)} stand after two")
    if not second.is_good:
        return fails(f"the second one was refused ({second.status})")
    return either(_is_changed(rows[0]), "one stands, changed", "the second one changed nothing")


def _ambiguous_update(exam: Exam, sent: Resource, name: str) -> Seen:
    if not _two(exam, sent):
        return unsure("two of the same name were not taken")
    third = exam.own.put_where(sent, by_name(name))
    return either(third.status == _CONFLICT, "412", f"answered {third.status}")


def _client_id(exam: Exam, sent: Resource, name: str) -> Seen:
    made = {**sent, "id": name}
    first = exam.own.put(made)
    if not first.is_good:
        return fails(f"refused ({first.status})")
    second = exam.own.put(_changed(made))
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    if any(one.get("id") != name for one in rows):
        return fails("it stands under another id")
    good = second.is_good and len(rows) == 1
    return either(good, "one stands under our id", f"{len(rows)} stand under our name")


def _delete(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    del reply
    answer = exam.own.delete(_kind(standing), text(standing["id"]))
    if not answer.is_good:
        return fails(f"refused ({answer.status})")
    after = exam.probe.get(_place(standing))
    return either(after.is_gone, str(after.status), f"read afterwards: {after.status}")


def _deleted_unfound(exam: Exam, sent: Resource, name: str) -> Seen:
    reply = exam.own.create(sent)
    if not reply.is_good or not exam.own.delete(_kind(sent), reply.id).is_good:
        return unsure("it was not created and deleted")
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    return either(not rows, "not found", "found although it was deleted")


def _delete_stale(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    if not reply.version:
        return unsure("there is no version to name")
    exam.own.put(_changed(standing))
    old = _outdated(exam, standing, reply)
    answer = exam.probe.ask("DELETE", _place(standing), headers={"If-Match": old})
    gone = exam.probe.get(_place(standing)).is_gone
    if gone:
        return fails("deleted although it had been changed")
    return either(answer.status in _STOPPED, str(answer.status), f"answered {answer.status}")


def _conditional_delete(exam: Exam, sent: Resource, name: str) -> Seen:
    exam.own.create(sent)
    answer = exam.probe.ask("DELETE", _kind(sent), params=by_name(name))
    if not answer.is_good:
        return fails(f"refused ({answer.status})")
    rows = found_by_name(exam, _kind(sent), name).rows(_kind(sent))
    return either(not rows, "deleted", "answered well and deleted nothing")


def _delete_referenced(exam: Exam, standing: Resource, reply: Reply) -> Seen:
    """What a Provenance names can be deleted, or is held by it."""
    del reply
    if not is_taken(exam, "Provenance"):
        return unsure("the server takes no Provenance")
    sent = {**exam.sent["Provenance"], "target": [{"reference": _place(standing)}]}
    if not exam.own.create(sent).is_good:
        return unsure("the Provenance was not taken")
    answer = exam.own.delete(_kind(standing), text(standing["id"]))
    gone = exam.probe.get(_place(standing)).is_gone
    return either(gone, "deleted", f"held by what refers to it ({answer.status})")


_RACE = "two writers may both create: what is found twice is reported, the oldest counts"
_TAKEN_BACK = "none: a proposal is taken back by its status"


def _row(
    name: str, title: str, means: str, look: Callable[[Exam], Seen], remedy: str = ""
) -> Check:
    return Check(
        id=f"write.{name}", title=title, means=means, look=look, remedy=remedy, writes=True
    )


CHECKS: tuple[Check, ...] = (
    _row(
        "create",
        "POST gives 201 and the id",
        "what was created is searched for",
        with_subject(_create),
    ),
    _row(
        "found-at-once",
        "what was created is found at once",
        "a search before a write proves nothing: writes are held by the ledger",
        with_subject(_found_at_once),
        "Ask the vendor how long the index lags.",
    ),
    _row(
        "conditional-create",
        "If-None-Exist on the identifier",
        _RACE,
        with_subject(_conditional_create),
    ),
    _row(
        "conditional-create-ambiguous",
        "If-None-Exist with two matches gives 412",
        "duplicates are found by searching, not by this answer",
        with_subject(_ambiguous_create),
    ),
    _row("update", "PUT changes it", "nothing can be kept up to date", _with_standing(_update)),
    _row(
        "versions", "an update makes a version", "a race is found late", _with_standing(_versions)
    ),
    _row(
        "if-match",
        "If-Match with the current version",
        "updates go without it",
        _with_standing(_if_match),
    ),
    _row(
        "if-match-stale",
        "If-Match with an old version gives 412 or 409",
        "a person's change in the same second could be written over: each write is read back",
        _with_standing(_stale),
    ),
    _row(
        "if-none-match",
        "PUT with If-None-Match: * gives 412 where it stands",
        "an id of ours that is taken is seen by reading first",
        _with_standing(_if_none_match),
    ),
    _row("conditional-update", "PUT on the identifier", _RACE, with_subject(_conditional_update)),
    _row(
        "conditional-update-ambiguous",
        "PUT on an identifier with two matches gives 412",
        "duplicates are found by searching, not by this answer",
        with_subject(_ambiguous_update),
    ),
    _row("client-id", "PUT under an id of ours", "ids are the server's", with_subject(_client_id)),
    _row("delete", "DELETE, then 404 or 410", _TAKEN_BACK, _with_standing(_delete)),
    _row(
        "delete-unfound",
        "what was deleted is not found",
        "what a person deleted is found for a while as if it stood",
        with_subject(_deleted_unfound),
    ),
    _row(
        "delete-stale",
        "DELETE with If-Match of an old version is refused",
        "none: only the doctor deletes, and what it made itself",
        _with_standing(_delete_stale),
    ),
    _row(
        "conditional-delete",
        "DELETE on the identifier",
        "none: it is not used",
        with_subject(_conditional_delete),
    ),
    _row(
        "delete-referenced",
        "DELETE of what a Provenance names",
        _TAKEN_BACK,
        _with_standing(_delete_referenced),
    ),
)
