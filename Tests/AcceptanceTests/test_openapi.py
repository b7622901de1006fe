"""The contract in openapi.yaml: valid, and one with the code: its routes, its problems, its embedded copy."""

import pathlib
import re
import subprocess
import sys

import jsonschema
import openapi_spec_validator
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
CONTRACT = yaml.safe_load(TEXT)
METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}


def operations():
    """Every operation as (METHOD, path), with its document and that of its path."""
    for path, item in CONTRACT["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield (method.upper(), path), operation, item


def resolve(part):
    """What a reference leads to; anything else as it is."""
    while isinstance(part, dict) and "$ref" in part:
        found = CONTRACT
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        part = found
    return part


def walk(part, path=""):
    yield path, part
    children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, child in children:
        yield from walk(child, f"{path}/{name}")


def test_openapi_is_valid():
    openapi_spec_validator.validate(CONTRACT)


def test_openapi_operations_are_the_routes():
    source = (ROOT / "Sources/Gateway/Routes.swift").read_text(encoding="utf-8")
    routes = {
        (method, template): operation
        for method, template, operation in re.findall(
            r'Route\(\s*"([A-Z]+)",\s*"([^"]+)",\s*"(\w+)"', source)}
    assert len(routes) == len(re.findall(r"\bRoute\(", source))
    documented = {place: operation["operationId"] for place, operation, _ in operations()}
    assert documented == routes


def test_openapi_parameters_of_reads_are_those_of_the_code():
    source = (ROOT / "Sources/Gateway/Handlers/ReadQuery.swift").read_text(encoding="utf-8")
    names = re.search(r"static let parameters = \[(.*?)\]", source, re.S).group(1)
    taken = set(re.findall(r'"(\w+)"', names))
    for _, operation, _ in operations():
        if operation["operationId"] in ("readStream", "readShard"):
            given = [resolve(parameter) for parameter in operation["parameters"]]
            assert {p["name"] for p in given if p["in"] == "query"} == taken


def test_openapi_problems_are_the_table_of_the_code():
    source = (ROOT / "Sources/Gateway/Problem.swift").read_text(encoding="utf-8")
    body = re.search(r"enum ProblemCode.*?\n}", source, re.S).group(0)
    names = {case: name or case for case, name in re.findall(r'case (\w+)(?: = "(\w+)")?', body)}
    rows = re.findall(r'case \.(\w+):\s*Row\(\s*(\d+),\s*"([^"]+)"(, retryable: true)?\s*\)', source)
    table = {
        names[case]: {"status": int(status), "title": title, "retryable": bool(retryable)}
        for case, status, title, retryable in rows}
    assert set(table) == set(names.values())
    assert CONTRACT["x-problem-codes"] == table
    assert set(CONTRACT["components"]["schemas"]["ProblemCode"]["enum"]) == set(table)


def test_openapi_facts_are_those_of_the_code():
    """Every member that a problem is given somewhere is in the schema."""
    known = set(CONTRACT["components"]["schemas"]["Problem"]["properties"])
    given = set()
    for path in (ROOT / "Sources/Gateway").rglob("*.swift"):
        given |= set(re.findall(r'\(\s*"([a-z_]+)",\s*\.(?:text|number|list|json|long)\(', path.read_text()))
    assert given - known == set()


def test_openapi_is_embedded_as_written():
    subprocess.run([sys.executable, ROOT / "scripts/embed-openapi.py", "check"], check=True)


def test_openapi_references_and_path_parameters_are_whole():
    for path, part in walk(CONTRACT):
        if isinstance(part, dict) and "$ref" in part:
            assert resolve(part) is not None, path
    for (method, path), operation, item in operations():
        given = [resolve(p) for p in item.get("parameters", []) + operation.get("parameters", [])]
        in_path = {p["name"] for p in given if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}"
        places = [(p["in"], p["name"].lower()) for p in given]
        assert len(places) == len(set(places)), f"{method} {path}"


def test_openapi_every_operation_says_what_failures_look_like():
    problem = CONTRACT["components"]["responses"]["Problem"]
    for (method, path), operation, _ in operations():
        assert operation["summary"], f"{method} {path}"
        for status, response in operation["responses"].items():
            response = resolve(response)
            if status == "default" or int(status) >= 400:
                assert response["content"] == problem["content"], f"{method} {path} {status}"
        assert "default" in operation["responses"], f"{method} {path}"


def examples():
    """Every example beside a schema, with a name for it."""
    for path, part in walk(CONTRACT):
        if not isinstance(part, dict):
            continue
        if "schema" in part and "example" in part:
            yield path, part["schema"], part["example"]
        if path.startswith("/components/schemas/") and path.count("/") == 3:
            for example in part.get("examples", []) if isinstance(part, dict) else []:
                yield path, part, example


@pytest.mark.parametrize("path, schema, example", examples(), ids=lambda value: str(value)[:60])
def test_openapi_examples_match_their_schemas(path, schema, example):
    if schema is True:
        return
    rooted = {"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]}
    rooted["components"] = CONTRACT["components"]
    jsonschema.Draft202012Validator(rooted).validate(example)


def test_openapi_is_served_as_written(server):
    answer = server.get("/openapi.yaml")
    assert answer.status == 200 and answer.headers["content-type"] == "application/yaml"
    assert answer.body.decode() == TEXT
