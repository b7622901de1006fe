"""What schemathesis is told about this server, so that its requests reach the records and live answers end.

Cases of the negative kind are left exactly as they were made, and so is a part of the others.
"""

import hashlib

import schemathesis

STREAMS = ["orders", "clicks", "images"]
SUBSCRIPTIONS = ["billing", "hooks"]
# Nobody pauses it, and it always delivers (scripts/contract.py).
LISTENED = "listeners"
URLS = ["https://svc.example/hook", "http://svc.example:8080/a?b=c"]
LINES = ['{"n":1}\n{"n":[2,{}]}\n', '"one"', "1\r\n2\r\n3", '{"k":"é\U0001f600"}\n\n\n{"k":null}']
FORMS = [
    "application/json", "application/x-ndjson", "text/event-stream", "*/*",
    "application/octet-stream;framing=length", "application/octet-stream;framing=newline",
]
PLACES = ["earliest", "tail", "0", "-2", "@2026-01-01T00:00:00Z"]


def choice(case, salt, options):
    """The same for the same case, so that a run can be repeated."""
    seed = f"{salt} {case.method} {case.path} {case.query} {case.headers} {case.body!r}"
    return options[hashlib.sha256(seed.encode()).digest()[0] % len(options)]


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Text as it is; what is no text, and so against the schema, as something that is no NDJSON either."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else f"no text: {value}").encode("utf-8", "replace")


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    name = case.path_parameters.get("stream")
    if name is not None:
        # One in four keeps the name that was made up.
        case.path_parameters["stream"] = choice(case, "stream", [*STREAMS, name])
        if "shard" in case.path_parameters:
            case.path_parameters["shard"] = choice(case, "shard", [0, 0, case.path_parameters["shard"]])
    operation = case.operation.definition.raw.get("operationId")
    name = case.path_parameters.get("subscription")
    if operation == "streamMessages":
        # One that was made up meanwhile would be silent for ever.
        case.path_parameters["subscription"] = choice(case, "subscription", [LISTENED, LISTENED, "is-not-there"])
    elif name is not None:
        case.path_parameters["subscription"] = choice(case, "subscription", [*SUBSCRIPTIONS, name])
    if operation in ("ensureSubscription", "changeSubscription"):
        be_a_subscription(case)
    if operation == "pull" and isinstance(case.body, dict) and "wait" in case.body:
        case.body["wait"] = choice(case, "wait", ["1ms", "100ms", "1s"])
    if case.media_type == "application/x-ndjson":
        case.body = choice(case, "lines", LINES)
    if operation in ("readStream", "readShard"):
        be_a_read(case)


def be_a_subscription(case):
    """What a schema cannot say: the streams that there are, and what is a URL."""
    body = case.body
    if not isinstance(body, dict):
        return
    if isinstance(body.get("stream"), str):
        body["stream"] = choice(case, "source", [*STREAMS[:2], body["stream"]])
    if isinstance(body.get("dead_letter"), dict):
        body["dead_letter"] = {"stream": choice(case, "dead letter", STREAMS)}
    if isinstance(body.get("delivery"), dict) and "url" in body["delivery"]:
        body["delivery"]["url"] = choice(case, "url", [*URLS, body["delivery"]["url"]])


def be_a_read(case):
    query = case.query
    for name, options in [("from", PLACES), ("key", ["k"]), ("until", ["3", "@2026-01-01T00:00:00Z"])]:
        if name in query:
            query[name] = choice(case, name, [*options, query[name]])
    for name in ("cursor", "incarnation"):
        if name in query and choice(case, name, [0, 1, 2]):
            del query[name]
    if "wait" in query:
        query["wait"] = choice(case, "wait", ["1ms", "100ms", "1s"])
    if choice(case, "form", [0, 1]):
        case.headers["Accept"] = choice(case, "accept", FORMS)
    if "live" in query or "event-stream" in str(case.headers.get("Accept", "")):
        # A live answer ends after so many records, and records keep coming (scripts/contract.py).
        query["limit"] = choice(case, "limit", [1, 2, 3])
        query.pop("until", None)
        query.pop("max_bytes", None)
        if "key" in query:
            query["key"] = "k"
