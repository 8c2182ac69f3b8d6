"""Columns that nobody reads, taken out of a statement before it is printed.

Every part of a statement hands on whole rows (``SELECT f.*``); an engine that makes one table after
the other cannot see which of their thirty columns are read later. Here each table is given what its
readers name, and a star becomes the columns that are wanted of it. Rows and values stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

Wanted = frozenset[str] | None
"""Names of columns; None: all of them."""


def prune(trees: dict[str, exp.Expr], finals: list[exp.Expr]) -> None:
    """Take unread columns and tables out, in place; a table stands before those that read it."""
    columns = {name: _names(tree, {}) for name, tree in trees.items()}
    for name, tree in trees.items():
        columns[name] = _names(tree, columns)
    wanted: dict[str, set[str] | None] = {}
    for final in finals:
        _Pruning(columns, wanted).query(final, None)
    for name in reversed(list(trees)):
        if name not in wanted:
            del trees[name]
            continue
        _Pruning(columns, wanted).query(trees[name], _frozen(wanted[name]))
        columns[name] = _names(trees[name], columns)


def _frozen(names: set[str] | None) -> Wanted:
    return None if names is None else frozenset(names)


def _names(query: exp.Expr, tables: dict[str, list[str]]) -> list[str]:
    """Names of the columns that a query gives, in order."""
    if isinstance(query, exp.SetOperation):
        return _names(query.this, tables)
    assert isinstance(query, exp.Select)
    sources = _sources(query)
    found: list[str] = []
    for one in query.expressions:
        if isinstance(one, exp.Star):
            for source in sources.values():
                found += _given(source, tables)
        elif _star_of(one) is not None:
            found += _given(sources[_star_of(one) or ""], tables)
        else:
            found.append(one.alias_or_name)
    return found


def _given(source: exp.Expr, tables: dict[str, list[str]]) -> list[str]:
    if isinstance(source, exp.Subquery):
        return _names(source.this, tables)
    return tables.get(source.name, [])


def _star_of(one: exp.Expr) -> str | None:
    """The alias of ``alias.*``."""
    if isinstance(one, exp.Column) and isinstance(one.this, exp.Star):
        return one.table
    return None


def _sources(query: exp.Select) -> dict[str, exp.Expr]:
    """Alias -> table or sub-query of FROM and JOIN."""
    first = query.args.get("from_")
    places = [*([first] if first else []), *query.args.get("joins", [])]
    return {place.this.alias_or_name: place.this for place in places}


class _Pruning:
    def __init__(self, columns: dict[str, list[str]], wanted: dict[str, set[str] | None]) -> None:
        self._columns = columns
        self._wanted = wanted
        """What is read of each table, as far as its readers have been seen."""

    def query(self, query: exp.Expr, wanted: Wanted) -> None:
        """Keep these columns of a query, and ask its sources for what that takes."""
        if isinstance(query, exp.SetOperation):
            same = _names(query.this, self._columns) == _names(query.expression, self._columns)
            keep = wanted if same and not query.args.get("distinct") else None
            self.query(query.this, keep)
            self.query(query.expression, keep)
            return
        assert isinstance(query, exp.Select)
        self._select(query, None if query.args.get("distinct") else wanted)

    def _select(self, query: exp.Select, wanted: Wanted) -> None:
        sources = _sources(query)
        asked: dict[str, set[str] | None] = {alias: set() for alias in sources}
        if wanted is not None:
            kept = [part for one in query.expressions for part in self._kept(one, wanted, sources)]
            query.set("expressions", kept or query.expressions[:1])
        for one in query.expressions:
            star = "" if isinstance(one, exp.Star) else _star_of(one)
            if star is not None:
                for alias in [star] if star else sources:
                    asked[alias] = None
        for column in _own_columns(query):
            for alias in [column.table] if column.table else sources:
                names = asked[alias]
                if names is not None:
                    names.add(column.name)
        for alias, source in sources.items():
            self._ask(source, asked[alias])

    def _kept(
        self, one: exp.Expr, wanted: frozenset[str], sources: dict[str, exp.Expr]
    ) -> Iterator[exp.Expr]:
        star = "" if isinstance(one, exp.Star) else _star_of(one)
        if star is None:
            if one.alias_or_name in wanted:
                yield one
            return
        for alias in [star] if star else sources:
            for name in _given(sources[alias], self._columns):
                if name in wanted:
                    yield exp.column(name, table=alias)

    def _ask(self, source: exp.Expr, names: set[str] | None) -> None:
        if isinstance(source, exp.Subquery):
            self.query(source.this, _frozen(names))
            return
        known = self._wanted.setdefault(source.name, set())
        if known is not None:
            self._wanted[source.name] = None if names is None else known | names


def _own_columns(query: exp.Select) -> Iterator[exp.Column]:
    """Columns that a query names itself, not those of its sub-queries."""
    pending: list[exp.Expr] = [query]
    while pending:
        node = pending.pop()
        for child in node.iter_expressions():
            if isinstance(child, exp.Query | exp.Subquery):
                continue
            if isinstance(child, exp.Column):
                yield child
            pending.append(child)
