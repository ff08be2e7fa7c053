"""Reading expressions: what is one, what it calls, and other names in it."""

from __future__ import annotations

import pytest

from meshlab.minicluster.mesh.cel import calls, fault, path, paths, renamed, results, text_parts, with_known


@pytest.mark.parametrize(
    "expression",
    [
        "request.host",
        "string(destination.port)",
        "response.code >= 400 || xds.cluster_name == 'BlackHoleCluster'",
        '!has(request.useragent) || !(request.useragent.startsWith("Amazon-Route53-Health-Check-Service"))',
        'has(request.host) ? request.host : "unknown"',
        "request.headers['x-a)%b'] in ['a', \"b\", r'c\\']",
        "xds.node.metadata.LABELS['app']",
        "-1 + 2u * 0x1F - 1.5e3 % .5",
        "{'a': 1, 'b': [1, 2,]}['a'] == 1 ? true : null",
        "google.rpc.Status{code: 1}.code",
        "request.path.matches('^/a\\\\.b$') // why",
        "!!true && --1 < 2",
    ],
)
def test_an_expression_is_taken(expression: str) -> None:
    assert fault(expression) == ""


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "ends too early"),
        ("request.", "ends too early"),
        ("request.host ==", "ends too early"),
        ("request.host == 'a", "unexpected"),
        ("a = b", "unexpected '='"),
        ("(a", "')' is missing"),
        ("a b", "unexpected 'b' at 3"),
        ("f(a,", "ends too early"),
        ("a ? b", "':' is missing"),
        ("package.x", "unexpected 'package'"),
        ("a | b", "unexpected '|'"),
        ("[1, 2", "']' is missing"),
    ],
)
def test_what_is_none_says_where(expression: str, why: str) -> None:
    assert why in fault(expression)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a.b", {"a.b"}),
        ("a.b == c ? d : e ? string(f) : (g)", {"d", "f", "g"}),
        ("'x' + a + string(b)", {"'x'", "a", "b"}),
        ("c ? 'x' + a : b", {"'x'", "a", "b"}),
        ("size(a)", {"size(a)"}),
    ],
)
def test_results_are_what_the_value_is_made_of(expression: str, found: set[str]) -> None:
    assert set(results(expression)) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("has(a.b) ? a.b.c : has(d.e)", "true ? a.b.c : has(d.e)"),
        ("has( a.b.c )&&!has(a.bc)", "true&&!has(a.bc)"),
        ("has(a) || x.has(a.b)", "has(a) || x.has(a.b)"),
    ],
)
def test_presence_is_known_without_looking(before: str, after: str) -> None:
    assert with_known(before, {"a.b": True}) == after


def test_deep_nesting_is_a_fault_and_no_crash() -> None:
    assert "deeply" in fault("(" * 5000)


def test_functions_and_macros_are_called() -> None:
    expression = "has(request.host) && request.path.startsWith('string(') ? string(destination.port) : 'x'"
    assert calls(expression) == {"has", "startsWith", "string"}


def test_attributes_are_asked_for_by_paths() -> None:
    expression = "has(a.b) ? string(c.d.e) : {'x.y': f}['x.y'].z == true ? g['h.i'] : j.k(l)"
    assert paths(expression) == {("a", "b"), ("c", "d", "e"), ("f",), ("g",), ("j",), ("l",)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("destination.port", "P"),
        ("string( destination . port )+'destination.port'", "string( P )+'destination.port'"),
        ("upstream.destination.port", "upstream.destination.port"),
        ("destination.port.x == destination.address", "P.x == destination.address"),
        ("destination.portable + x[destination.port]", "destination.portable + x[P]"),
        ("source.port == destination.port ? a.b.c : d", "source.port == P ? a.b.c : d"),
        ("peer.app", "own.app"),
        ("f(peer)", "f(own)"),
    ],
)
def test_other_names_stand_for_whole_paths_only(before: str, after: str) -> None:
    assert renamed(before, {"destination.port": "P", "peer": "own"}) == after


def test_a_plain_path_is_told_from_others() -> None:
    assert path("filter_state.upstream_peer.app") == ("filter_state", "upstream_peer", "app")
    assert path("a.b == c") == path("'a.b'") == path("a.b()") == path("a['b']") == ()


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("request.host", ["request.host"]),
        ("string(destination.port)", ["destination.port"]),
        ("(string(a))", ["a"]),
        ("string(a) + ':' + b", ["a", "':'", "b"]),
        ("a + b", ["a + b"]),
        ("1 + 2 * size('+')", ["1 + 2 * size('+')"]),
        ("a + 'b' == c", ["a + 'b' == c"]),
        ("has(a) ? string(a) : 'none'", ["has(a) ? a : 'none'"]),
        ("a ? b : c ? string(d) : e", ["a ? b : (c ? d : e)"]),
        ("a ? 'x' + b : c", ["a ? 'x' : c", "a ? b : ''"]),
        ("a ? (b ? c : d) : e", ["a ? (b ? c : d) : e"]),
        ("(a) + (b)", ["(a) + (b)"]),
        ("string(a) == '1'", ["string(a) == '1'"]),
    ],
)
def test_values_are_texts_by_being_written(expression: str, parts: list[str]) -> None:
    assert list(text_parts(expression)) == parts
