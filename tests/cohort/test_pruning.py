"""What no reader names is taken out; what a reader wants whole stays whole."""

from __future__ import annotations

from sqlglot import exp, parse_one

from fhir_adapter.evaluate.cohort.pruning import prune


def pruned(final: str, **tables: str) -> dict[str, str]:
    trees: dict[str, exp.Expr] = {name: parse_one(text) for name, text in tables.items()}
    last = parse_one(final)
    prune(trees, [last])
    return {name: tree.sql() for name, tree in trees.items()}


def test_a_star_becomes_the_columns_that_are_wanted_of_it() -> None:
    found = pruned(
        "SELECT b.x FROM b",
        a="SELECT f.x, f.y, f.z FROM fact AS f",
        b="SELECT f.*, f.y + 1 AS w FROM a AS f WHERE f.z > 0",
    )
    assert found == {
        "a": "SELECT f.x, f.z FROM fact AS f",
        "b": "SELECT f.x FROM a AS f WHERE f.z > 0",
    }


def test_who_wants_everything_gets_it() -> None:
    tables = {"a": "SELECT x, y FROM fact", "b": "SELECT a.* FROM a WHERE a.y > 0"}
    assert pruned("SELECT *, b.x AS again FROM b", **tables) == tables


def test_one_reader_of_everything_is_enough() -> None:
    tables = {"a": "SELECT x, y FROM fact", "b": "SELECT a.x FROM a"}
    assert pruned("SELECT a.*, b.x AS z FROM a JOIN b ON b.x = a.x", **tables) == {
        "a": "SELECT x, y FROM fact",
        "b": "SELECT a.x FROM a",
    }


def test_what_nobody_reads_is_gone() -> None:
    assert pruned("SELECT x FROM a", a="SELECT x FROM fact", b="SELECT x FROM fact") == {
        "a": "SELECT x FROM fact"
    }


def test_rows_that_are_told_apart_keep_what_tells_them_apart() -> None:
    tables = {"a": "SELECT DISTINCT x, y FROM fact", "b": "SELECT x, y FROM fact GROUP BY x, y"}
    final = "SELECT a.x FROM a JOIN b ON b.x = a.x UNION SELECT b.x FROM b"
    found = pruned(final, **tables)
    assert found == {**tables, "b": "SELECT x FROM fact GROUP BY x, y"}


def test_two_halves_of_a_union_lose_the_same_columns() -> None:
    found = pruned(
        "SELECT u.x FROM u",
        a="SELECT x, y FROM fact",
        u="SELECT x, y FROM a UNION ALL SELECT x, y FROM fact",
    )
    assert found["u"] == "SELECT x FROM a UNION ALL SELECT x FROM fact"
    assert found["a"] == "SELECT x FROM fact"
