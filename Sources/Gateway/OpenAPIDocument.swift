// The contract in OpenAPI, as `GET /openapi.yaml` gives it: made from openapi.yaml by scripts/embed-openapi.py.
// swift-format-ignore-file
import NIOCore

enum OpenAPIDocument {
  static let bytes = ByteBuffer(string: text)

  static let text = ##"""
    openapi: 3.1.0
    info:
      title: Millrace
      version: "1"
      summary: Durable, partitioned event streams that need nothing but HTTP.
      description: |
        Streams are cut into shards; a shard numbers its records 0, 1, 2, … without holes. A record is a
        JSON value, kept byte for byte, or opaque bytes with their content type; it may have a key and
        headers.

        **Shard of a record.** `xxh64(key, seed 0)` (XXH64 of the key's UTF-8 bytes, as its specification
        at github.com/Cyan4973/xxHash has it) is a 64-bit number; the shard's index is the high 64 bits of
        `hash × shards`. So shard 0 has the lowest hashes; `GET …/shards` gives each one's `key_range`.

        **Numbers.** Offsets, byte counts, epochs and sequences are decimal strings. Durations are `500ms`,
        `30s`, `5m`, `2h`, `7d`. Times are RFC 3339 in UTC with milliseconds.

        **Methods.** HEAD is taken wherever GET is, and answers with the headers alone. OPTIONS on any path
        answers 204 with `Allow`, and a browser's preflight where origins are named. Another method is 405.

        **Strictness.** A query parameter or body field that is not listed here is refused, and nothing is
        half-applied.

        **Failures.** Every failure is an `application/problem+json` document (RFC 9457). Beside those
        listed for an operation any of them may answer with the statuses of a server in trouble (500, 503,
        507), of limits (408, 413, 414, 431, 429), of HTTP itself (400, 405, 417, 501, 505), and 403 to web
        pages. `x-problem-codes` lists every code. `applied` tells whether the request took effect.

        **Browsers.** Form types (`application/x-www-form-urlencoded`, `multipart/form-data`) are never
        taken. A foreign `Origin` is refused unless the operator named it, and without tokens so is a
        `Host` that is not loopback.

        **Every answer** has a `Request-Id`: the client's own if it sent a sane one.
      license: { name: Apache-2.0, identifier: Apache-2.0 }
    servers:
      - url: /
    tags:
      - { name: streams, description: "Streams and their shards." }
      - { name: records, description: "Appending and reading." }
      - { name: subscriptions, description: "Durable places in a stream that consumers share." }
      - { name: consuming, description: "Working off what a subscription delivers." }
      - { name: operation, description: "For those who run the server." }

    paths:
      /v1/streams:
        get:
          operationId: listStreams
          tags: [streams]
          summary: Lists streams by name.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
            - name: prefix
              in: query
              description: Only streams whose names begin so.
              schema: { type: string }
              example: orders
          responses:
            "200":
              description: A page of streams, in name order.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Stream" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}:
        parameters:
          - $ref: "#/components/parameters/stream"
        put:
          operationId: ensureStream
          tags: [streams]
          summary: Makes the stream, or makes sure that it is so already.
          description: |
            Every field may be left out. If the stream exists, only the fields given are compared:
            `exists_differently` (409) says which differ. `If-None-Match: *` makes it only, and is refused
            with `already_exists` (412) if it is there. `If-Match` goes with PATCH.
          parameters:
            - name: If-None-Match
              in: header
              description: "`*`: create only."
              schema: { const: "*" }
          requestBody:
            required: false
            content:
              application/json:
                schema: { $ref: "#/components/schemas/StreamSettings" }
                example:
                  { shards: 4, retention: { age: 7d, bytes: "50000000000" }, labels: { team: a } }
          responses:
            "200":
              description: It exists and is so.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: &stream
                application/json:
                  schema: { $ref: "#/components/schemas/Stream" }
            "201":
              description: It was made.
              headers:
                ETag: { $ref: "#/components/headers/ETag" }
                Location:
                  description: The stream's path.
                  schema: { type: string }
              content: *stream
            "400": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        get:
          operationId: getStream
          tags: [streams]
          summary: Shows the stream.
          parameters:
            - $ref: "#/components/parameters/ifNoneMatch"
          responses:
            "200":
              description: The stream.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: *stream
            "304":
              description: It is still as `If-None-Match` says.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        patch:
          operationId: changeStream
          tags: [streams]
          summary: Changes the stream by a JSON merge patch (RFC 7396).
          description: |
            A label given as null is removed. `retention.age` and `retention.bytes` given as null mean no
            limit. `shards` is fixed: another number is 409 `fixed_field`.
          parameters:
            - $ref: "#/components/parameters/ifMatchStream"
          requestBody:
            required: false
            content:
              application/merge-patch+json:
                schema: { $ref: "#/components/schemas/StreamPatch" }
                example: { retention: { age: 30d } }
              application/json:
                schema: { $ref: "#/components/schemas/StreamPatch" }
                example: { labels: { team: null, tier: gold } }
          responses:
            "200":
              description: The stream as it is now.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: *stream
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        delete:
          operationId: deleteStream
          tags: [streams]
          summary: Deletes the stream and its records.
          description: |
            A stream made again under the name has a new `incarnation` and shares nothing with the old one.

            While a subscription reads from it or buries into it, this is 409 `stream_in_use` with the first
            ten of them in `subscriptions`; `GET /v1/subscriptions?stream=` lists all. With `force=true` it
            goes all the same: whoever read from it answers 410 `stream_replaced` from then on, whatever
            stream has its name, and can only be shown and deleted.
          parameters:
            - $ref: "#/components/parameters/ifMatchStream"
            - name: force
              in: query
              description: Delete it even while subscriptions need it.
              schema: { type: boolean, default: false }
          responses:
            "204": { description: It is gone. }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}:trim:
        parameters:
          - $ref: "#/components/parameters/stream"
        post:
          operationId: trimStream
          tags: [streams]
          summary: Drops the records of every shard that are older than a time.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  type: object
                  required: [before]
                  additionalProperties: false
                  properties:
                    before:
                      description: "`@TIME`, or `tail` for all there are."
                      anyOf:
                        - { $ref: "#/components/schemas/AtTime" }
                        - { const: tail }
                example: { before: "@2026-01-01T00:00:00Z" }
          responses:
            "200":
              description: Where each shard begins now.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Trimmed" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}/shards:
        parameters:
          - $ref: "#/components/parameters/stream"
        get:
          operationId: listShards
          tags: [streams]
          summary: Lists the stream's shards.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
          responses:
            "200":
              description: A page of shards, by index.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Shard" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}/shards/{shard}:trim:
        parameters:
          - $ref: "#/components/parameters/stream"
          - $ref: "#/components/parameters/shard"
        post:
          operationId: trimShard
          tags: [streams]
          summary: Drops the shard's records below an offset or a time.
          description: |
            The shard's `earliest` moves at once; space follows. An offset below `earliest` changes nothing;
            one above the tail is 416 `beyond_tail`.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  type: object
                  required: [before]
                  additionalProperties: false
                  properties:
                    before:
                      description: An offset, `@TIME`, or `tail` for all there are.
                      anyOf:
                        - { $ref: "#/components/schemas/Offset" }
                        - { $ref: "#/components/schemas/AtTime" }
                        - { const: tail }
                example: { before: "500" }
          responses:
            "200":
              description: Where the shard begins now.
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Trimmed" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            "416": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}/records:
        parameters:
          - $ref: "#/components/parameters/stream"
        post:
          operationId: appendToStream
          tags: [records]
          summary: Appends records, each to the shard of its key.
          description: |
            Records with equal keys go to one shard, in order. Those without a key go to one shard for the
            whole request and to another for the next request; with producer headers or an idempotency key
            a repeated request takes the same shard again.

            A batch is atomic within a shard. If it spans several, it succeeds whole, or the problem's
            `shards` lists what each one did (`partly_applied`); the same request may then be sent again
            under the same producer headers or idempotency key.

            The 200 comes after the records are durable, and only then can anybody read them.
          parameters: &append
            - $ref: "#/components/parameters/keyPointer"
            - $ref: "#/components/parameters/recordKey"
            - $ref: "#/components/parameters/recordHeader"
            - $ref: "#/components/parameters/producerID"
            - $ref: "#/components/parameters/producerEpoch"
            - $ref: "#/components/parameters/producerSeq"
            - $ref: "#/components/parameters/idempotencyKey"
            - $ref: "#/components/parameters/contentEncoding"
          requestBody: &records
            required: true
            description: |
              At least one record. With `ce-*` headers (CloudEvents in binary mode) the attributes become
              the record's headers under their names with `ce-`, `ce-partitionkey` its key, and the body,
              JSON or not, its value.
            content:
              application/json:
                schema: true
                example: { user: u1, total: 12.5 }
              application/x-ndjson:
                schema: { type: string }
                example: |
                  {"user":"u1","total":12.5}
                  {"user":"u2","total":3}
              application/vnd.millrace.records+json:
                schema: { $ref: "#/components/schemas/Envelope" }
                example:
                  records:
                    - { key: u1, headers: { trace: a }, value: { total: 12.5 } }
                    - { value_base64: AAE= }
              application/cloudevents+json:
                schema: { $ref: "#/components/schemas/CloudEvent" }
                example:
                  { specversion: "1.0", id: a1, source: /shop, type: order.paid, partitionkey: u1,
                    data: { total: 12.5 } }
              application/cloudevents-batch+json:
                schema:
                  type: array
                  minItems: 1
                  maxItems: 10000
                  items: { $ref: "#/components/schemas/CloudEvent" }
              application/octet-stream:
                schema: { type: string, format: binary, minLength: 1 }
          responses: &appended
            "200":
              description: The records are durable.
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Appended" }
                  example:
                    { appended: 2, duplicate: false,
                      ranges: [ { shard: 0, start: "1044", end: "1046" } ] }
            "400": { $ref: "#/components/responses/Problem" }
            "403": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "413": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            "422": { $ref: "#/components/responses/Problem" }
            "429": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        get:
          operationId: readStream
          tags: [records]
          summary: Reads all shards of a stream; ordered within each.
          description: |
            One URL, four ways: a page of JSON; the same held open until there is something (`wait`);
            NDJSON, with `live=ndjson` without end; and server-sent events (`Accept: text/event-stream` or
            `live=sse`). A stream of more than 64 shards is read shard by shard (`too_many_shards`).

            **Server-sent events.** `open` comes first, then a `record` for each record (named `message`
            with `event=message`; with `batch=true` a `batch` holds an array of them), `gap` where retention
            overtook the reader, at most every 15 s a `checkpoint` when the place moved but nothing matched,
            `problem` before the server closes (`retry:` says when to come back), and `end` when there will
            never be more; whoever comes back after it gets 204. Each event's `id` is a cursor. A comment
            line is sent after 15 s of silence.

            The start is `Last-Event-ID`, else `cursor`, else `from`.
          parameters: &read
            - $ref: "#/components/parameters/from"
            - $ref: "#/components/parameters/cursor"
            - $ref: "#/components/parameters/limit"
            - $ref: "#/components/parameters/maxBytes"
            - $ref: "#/components/parameters/wait"
            - $ref: "#/components/parameters/key"
            - $ref: "#/components/parameters/until"
            - $ref: "#/components/parameters/incarnation"
            - $ref: "#/components/parameters/live"
            - $ref: "#/components/parameters/event"
            - $ref: "#/components/parameters/batch"
            - $ref: "#/components/parameters/lastEventID"
            - $ref: "#/components/parameters/ifNoneMatch"
          responses: &page
            "200":
              description: Records, or a stream of them.
              headers:
                ETag:
                  description: Of a page below the tail.
                  schema: { type: string }
                Millrace-Cursor:
                  description: "NDJSON: where this answer stopped."
                  schema: { type: string }
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Page" }
                application/x-ndjson:
                  schema: { description: A record a line., type: string }
                text/event-stream:
                  schema: { $ref: "#/components/schemas/Event" }
                application/octet-stream:
                  schema: { description: Values alone; of a stream of one shard., type: string, format: binary }
            "204": { description: The stream of events has ended for good. }
            "304": { description: The page is still as `If-None-Match` says. }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "406": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "416": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/streams/{stream}/shards/{shard}/records:
        parameters:
          - $ref: "#/components/parameters/stream"
          - $ref: "#/components/parameters/shard"
        post:
          operationId: appendToShard
          tags: [records]
          summary: Appends records to this shard, whatever their keys.
          description: |
            As `appendToStream`, and: a producer's skipped sequence is 409 `sequence_gap` with
            `expected_seq`, and `If-Match` appends only at the tail that it names.
          parameters:
            - $ref: "#/components/parameters/ifMatchTail"
            - $ref: "#/components/parameters/keyPointer"
            - $ref: "#/components/parameters/recordKey"
            - $ref: "#/components/parameters/recordHeader"
            - $ref: "#/components/parameters/producerID"
            - $ref: "#/components/parameters/producerEpoch"
            - $ref: "#/components/parameters/producerSeq"
            - $ref: "#/components/parameters/idempotencyKey"
            - $ref: "#/components/parameters/contentEncoding"
          requestBody: *records
          responses: *appended
        get:
          operationId: readShard
          tags: [records]
          summary: Reads one shard, in order.
          description: |
            As `readStream`, and: `from` and `until` may be offsets, and
            `Accept: application/octet-stream;framing=newline` (or `length`: four bytes, big-endian, before
            each) gives the values alone. Newline framing is 406 `opaque_values` where there are opaque
            bytes.
          parameters: *read
          responses:
            "200":
              description: Records, or a stream of them.
              headers:
                ETag:
                  description: Of a page below the tail.
                  schema: { type: string }
                Millrace-Cursor:
                  description: "NDJSON and octet-stream: where this answer stopped."
                  schema: { type: string }
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Page" }
                application/x-ndjson:
                  schema: { description: A record a line., type: string }
                text/event-stream:
                  schema: { $ref: "#/components/schemas/Event" }
                application/octet-stream:
                  schema: { description: Values alone., type: string, format: binary }
            "204": { description: The stream of events has ended for good. }
            "304": { description: The page is still as `If-None-Match` says. }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "406": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "416": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions:
        get:
          operationId: listSubscriptions
          tags: [subscriptions]
          summary: Lists subscriptions by name.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
            - name: prefix
              in: query
              description: Only subscriptions whose names begin so.
              schema: { type: string }
              example: bill
            - name: stream
              in: query
              description: Only those that read from the stream of this name or bury into it.
              schema: { type: string }
              example: orders
          responses:
            "200":
              description: A page of subscriptions, in name order.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Subscription" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:
        parameters:
          - $ref: "#/components/parameters/subscription"
        put:
          operationId: ensureSubscription
          tags: [subscriptions]
          summary: Makes the subscription, or makes sure that it is so already.
          description: |
            A new one needs its `stream`, which must exist, and so must `dead_letter.stream` (404
            `stream_not_found` says which field). If the subscription exists, only the fields given are
            compared: `exists_differently` (409) says which differ. `If-None-Match: *` makes it only. It is
            bound to the stream as it is now: once that is deleted, this is 410 `stream_replaced`.

            Where it starts is fixed now: with `tail`, every record that is appended after the answer is
            delivered.

            A webhook that is given no `secret` has one made. The 201 shows it, and no later answer does.
            `"****"`, as GET shows it, stands for the secret that there is.
          parameters:
            - name: If-None-Match
              in: header
              description: "`*`: create only."
              schema: { const: "*" }
          requestBody:
            required: false
            content:
              application/json:
                schema: { $ref: "#/components/schemas/SubscriptionSettings" }
                examples:
                  pull:
                    value:
                      { stream: orders, start: earliest, ordering: key, ack_deadline: 30s,
                        max_in_flight: 1000, max_deliveries: 16, backoff: [1s, 5s, 30s],
                        dead_letter: { stream: orders.dead }, delivery: { type: pull } }
                  webhook:
                    value:
                      { stream: orders, delivery: { type: webhook, url: "https://svc.example/hook",
                        format: record, concurrency: 8, headers: { x-env: prod } } }
          responses:
            "200":
              description: It exists and is so.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: &subscription
                application/json:
                  schema: { $ref: "#/components/schemas/Subscription" }
            "201":
              description: It was made.
              headers:
                ETag: { $ref: "#/components/headers/ETag" }
                Location:
                  description: The subscription's path.
                  schema: { type: string }
              content: *subscription
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        get:
          operationId: getSubscription
          tags: [subscriptions]
          summary: Shows the subscription.
          description: |
            The `ETag` is that of its settings: it goes with `If-Match` on PATCH and DELETE. What is shown
            beside them changes without it, so this never answers 304.
          responses:
            "200":
              description: The subscription.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: *subscription
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        patch:
          operationId: changeSubscription
          tags: [subscriptions]
          summary: Changes the subscription by a JSON merge patch (RFC 7396).
          description: |
            `stream`, `start` and `ordering` are fixed: another value is 409 `fixed_field`. `dead_letter`
            given as null drops what cannot be delivered; `rate_limit` and `disable_after` given as null
            mean no limit and never; one of the webhook's `headers` given as null is removed, and one that is
            shown as `"****"`, because its name says that it lets somebody in, stays when it is sent so.
            What is delivered already keeps its deadline.

            The way of delivery may change: what was acknowledged stays so. A subscription that becomes a
            webhook needs a `url`; the answer shows its secret if one was made. Another `secret` takes the
            place of all there are; `secrets:rotate` keeps the old one for a while.
          parameters:
            - $ref: "#/components/parameters/ifMatchSubscription"
          requestBody:
            required: false
            content:
              application/merge-patch+json:
                schema: { $ref: "#/components/schemas/SubscriptionPatch" }
                example: { ack_deadline: 60s, dead_letter: null }
              application/json:
                schema: { $ref: "#/components/schemas/SubscriptionPatch" }
                example: { delivery: { concurrency: 16, headers: { x-env: null } } }
          responses:
            "200":
              description: The subscription as it is now.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content: *subscription
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }
        delete:
          operationId: deleteSubscription
          tags: [subscriptions]
          summary: Deletes the subscription and its place; the records stay.
          description: |
            One made again under the name has a new `incarnation` and begins where its own `start` says.
          parameters:
            - $ref: "#/components/parameters/ifMatchSubscription"
          responses:
            "204": { description: It is gone. }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/secrets:rotate:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: rotateSecret
          tags: [subscriptions]
          summary: Signs the webhook with a new secret, and for a while with the old one too.
          description: |
            Both sign each delivery, the new one first, so that receivers may change over at any time: until
            `expire_after` is over, or without it until the next rotation. A third, older one is forgotten.
            On a subscription that is no webhook this is 409 `wrong_delivery`. The secret that is the newest
            already changes nothing, so that a request with a secret may be repeated.
          parameters:
            - $ref: "#/components/parameters/ifMatchSubscription"
          requestBody:
            required: false
            content:
              application/json:
                schema:
                  type: object
                  additionalProperties: false
                  properties:
                    secret:
                      description: Made if it is absent.
                      $ref: "#/components/schemas/Secret"
                    expire_after:
                      description: How long the old one goes on signing, at most 365d.
                      $ref: "#/components/schemas/DurationOrZero"
                example: { expire_after: 24h }
          responses:
            "200":
              description: The new secret; no later answer shows it.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content:
                application/json:
                  schema:
                    type: object
                    required: [secret, created_at, previous]
                    additionalProperties: false
                    properties:
                      secret: { $ref: "#/components/schemas/Secret" }
                      created_at: { $ref: "#/components/schemas/Time" }
                      previous:
                        description: The old one, if it still signs.
                        anyOf:
                          - type: "null"
                          - type: object
                            required: [created_at, expires_at]
                            additionalProperties: false
                            properties:
                              created_at: { $ref: "#/components/schemas/Time" }
                              expires_at:
                                description: null is until the next rotation.
                                anyOf:
                                  - { $ref: "#/components/schemas/Time" }
                                  - { type: "null" }
                  example:
                    { secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                      created_at: "2026-02-01T00:00:00.000Z",
                      previous: { created_at: "2026-01-01T00:00:00.000Z", expires_at: null } }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "412": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:test:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: testWebhook
          tags: [subscriptions]
          summary: Sends the webhook's endpoint a signed test event now, and answers with what came back.
          description: |
            Also while the subscription is paused or disabled. The event's type is `millrace.test`, its data
            `{"test":true,"subscription":"…"}`. The answer is 200 whatever the endpoint said, once that is known:
            `status` tells. Not for a subscription that is no webhook: 409 `wrong_delivery`.
          responses:
            "200":
              description: What came of it.
              content: &attempt
                application/json:
                  schema: { $ref: "#/components/schemas/Attempt" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/attempts:
        parameters:
          - $ref: "#/components/parameters/subscription"
        get:
          operationId: listAttempts
          tags: [subscriptions]
          summary: The webhook's last attempts, newest first.
          description: |
            Kept in memory since the server's start: the last 100 that succeeded and the last 400 that failed, at most
            128 KiB of each. `/metrics` counts them all.
          parameters:
            - name: status
              in: query
              description: Only those.
              schema: { enum: [succeeded, failed] }
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
          responses:
            "200":
              description: A page of attempts.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Attempt" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/attempts/{attempt}:resend:
        parameters:
          - $ref: "#/components/parameters/subscription"
          - name: attempt
            in: path
            required: true
            description: The `id` of one that is still in the list.
            schema: { type: string, minLength: 1, maxLength: 64 }
        post:
          operationId: resendAttempt
          tags: [subscriptions]
          summary: Sends an attempt's message again now, and answers with what came back.
          description: |
            The same records under the same `webhook-id`, signed anew, whatever the state of the subscription and of the
            circuit, and without regard to order. It settles nothing: a record that waits for its next attempt still gets it.
          responses:
            "200":
              description: What came of it.
              content: *attempt
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:pull:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: pull
          tags: [consuming]
          summary: Takes messages to work on, waiting for the first if asked to.
          description: |
            Each message is one consumer's until its `deadline`; until then it is to be settled (`:ack`),
            else it is delivered again. A pull brings what there is, up to `max_messages`, `max_bytes` and
            what the consumer may have in flight; with none there, it waits for `wait` and then answers
            with an empty list. The messages of a client that goes away before its answer go back at once,
            as if they had not been delivered.
          requestBody:
            required: false
            content:
              application/json:
                schema: { $ref: "#/components/schemas/Pull" }
                example: { max_messages: 100, wait: 20s, consumer: w1 }
          responses:
            "200":
              description: The messages, in their order.
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Pulled" }
                  example:
                    messages:
                      - ack_id: aAMIIAQfGqg
                        delivery: 1
                        deadline: "2026-01-01T00:00:30.000Z"
                        record: { shard: 0, offset: "1044", timestamp: "2026-01-01T00:00:00.000Z",
                                  key: u1, value: { total: 12.5 } }
                    backlog: { records: "123", oldest_age: 3s }
                    state: active
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:ack:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: settle
          tags: [consuming]
          summary: Says what became of messages.
          description: |
            `ack`: done, never again. `nak`: not done; delivered again after `delay`, or the subscription's
            `backoff`. `extend`: still at it; the new deadline is `by` from now. `term`: not to be done at
            all; to the dead letters at once. At most 10,000 in a request.

            The answer comes when all of it is durable, and tells of each in the order ack, nak, extend,
            term: `ok`, or `stale` when that delivery was over before (settled, its deadline passed, taken
            back, or from before a restart, seek or replay); then nothing was done about it. An `ack_id`
            that is damaged or of another subscription is 400 `bad_ack_id` with its `pointer`, and nothing
            of the request is applied.
          requestBody:
            required: true
            content:
              application/json:
                schema: { $ref: "#/components/schemas/Settlement" }
                example:
                  ack: [aAMIIAQfGqg]
                  nak: [{ ack_id: aAMMIAQfhxA, delay: 5s }]
                  extend: [{ ack_id: aAMQIAQcWnQ, by: 60s }]
                  term: [{ ack_id: aAMUIAQcn2A, reason: not an order }]
          responses:
            "200":
              description: What became of each.
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Settled" }
                  example:
                    results:
                      - { ack_id: aAMIIAQfGqg, status: ok }
                      - { ack_id: aAMMIAQfhxA, status: stale }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "413": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/messages:
        parameters:
          - $ref: "#/components/parameters/subscription"
        get:
          operationId: streamMessages
          tags: [consuming]
          summary: Messages as server-sent events, for consumers that listen.
          description: |
            `event: open` first; then an `event: message` for each message, with the data that `:pull`
            gives, as there is room in this connection's share; `: hb` after 15 s of silence. Messages are
            settled by `:ack`. What is not settled when the connection closes is given back at once, as by
            `nak`: others get it after the subscription's `backoff`, at once if that is `[]`. A client that
            reads slowly is given no more until it has read on.

            Events have no ids: where the subscription stands is kept here. `event: problem` tells of a
            trouble that passes, with `retry:`; `event: end`, that the subscription or its stream was
            deleted, or delivers in another way now.
          parameters:
            - name: consumer
              in: query
              description: A name for `consumers`.
              schema: { $ref: "#/components/schemas/ConsumerName" }
              example: tab-7
            - name: max_in_flight
              in: query
              description: |
                What this connection may have in flight; a fair share of the subscription's unless told.
              schema: { type: integer, minimum: 1, maximum: 1000000 }
              example: 10
          responses:
            "200":
              description: Events until the client closes.
              content:
                text/event-stream:
                  schema: { $ref: "#/components/schemas/MessageEvent" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "406": { $ref: "#/components/responses/Problem" }
            "409": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/consumers:
        parameters:
          - $ref: "#/components/parameters/subscription"
        get:
          operationId: listConsumers
          tags: [consuming]
          summary: Who consumes now, or did within the last minute.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
          responses:
            "200":
              description: A page of consumers.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/Consumer" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/in_flight:
        parameters:
          - $ref: "#/components/parameters/subscription"
        get:
          operationId: listInFlight
          tags: [consuming]
          summary: The messages that were delivered and not settled, by shard and offset.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
          responses:
            "200":
              description: A page of them.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/InFlight" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/dead_letters:
        parameters:
          - $ref: "#/components/parameters/subscription"
        get:
          operationId: listDeadLetters
          tags: [consuming]
          summary: The records that were given up, the last thousand, in the order in which they were.
          parameters:
            - $ref: "#/components/parameters/pageSize"
            - $ref: "#/components/parameters/pageToken"
          responses:
            "200":
              description: A page of them.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items, next_page_token]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items: { $ref: "#/components/schemas/GivenUp" }
                      next_page_token: { $ref: "#/components/schemas/NextPageToken" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}/dead_letters:replay:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: replayDeadLetters
          tags: [consuming]
          summary: Delivers the records that were given up once more.
          description: As `:replay` with `only` as `failed`; from the earliest to the tail unless told.
          requestBody:
            required: false
            content:
              application/json:
                schema:
                  type: object
                  additionalProperties: false
                  properties:
                    from: { $ref: "#/components/schemas/SeekPlace" }
                    to: { $ref: "#/components/schemas/SeekPlace" }
                example: { from: "@2026-01-01T00:00:00Z" }
          responses: &replay
            "202":
              description: It has begun; `GET /v1/subscriptions/{subscription}` shows how far it is.
              headers:
                Location:
                  description: The subscription's path.
                  schema: { type: string }
              content:
                application/json:
                  schema:
                    type: object
                    required: [items]
                    additionalProperties: false
                    properties:
                      items:
                        description: One for each shard that has something to deliver again.
                        type: array
                        items: { $ref: "#/components/schemas/Replay" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            "416": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:replay:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: replay
          tags: [consuming]
          summary: Delivers records again, beside whatever goes on.
          description: |
            Those from `from` up to `to` (the tail unless told), all of them or only those that were given
            up. With offsets, only the shards named are replayed. Records of one key keep their order
            within the replay, and wait for one another across it and what is new.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  type: object
                  required: [from]
                  additionalProperties: false
                  properties:
                    from: { $ref: "#/components/schemas/SeekPlace" }
                    to: { $ref: "#/components/schemas/SeekPlace" }
                    only: { enum: [all, failed], default: all }
                example: { from: "@2026-01-01T00:00:00Z", to: "@2026-01-02T00:00:00Z", only: failed }
          responses: *replay

      /v1/subscriptions/{subscription}:seek:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: seek
          tags: [consuming]
          summary: Sends the subscription elsewhere, back or ahead.
          description: |
            From then on it delivers from there, and every `ack_id` from before is `stale`. With offsets,
            shards that are not named stay where they are.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  type: object
                  required: [to]
                  additionalProperties: false
                  properties:
                    to: { $ref: "#/components/schemas/SeekPlace" }
                examples:
                  beginning: { value: { to: earliest } }
                  time: { value: { to: "@2026-01-01T00:00:00Z" } }
                  offsets: { value: { to: { "0": "120", "3": "77" } } }
          responses:
            "200":
              description: Where each shard goes on from.
              content:
                application/json:
                  schema:
                    type: object
                    required: [items]
                    additionalProperties: false
                    properties:
                      items:
                        type: array
                        items:
                          type: object
                          required: [shard, offset]
                          additionalProperties: false
                          properties:
                            shard: { type: integer, minimum: 0 }
                            offset: { $ref: "#/components/schemas/Offset" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            "410": { $ref: "#/components/responses/Problem" }
            "415": { $ref: "#/components/responses/Problem" }
            "416": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:pause:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: pause
          tags: [consuming]
          summary: Stops delivering; what is in flight may still be settled.
          responses: &state
            "200":
              description: The subscription as it is now.
              headers: { ETag: { $ref: "#/components/headers/ETag" } }
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Subscription" }
            "400": { $ref: "#/components/responses/Problem" }
            "404": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /v1/subscriptions/{subscription}:resume:
        parameters:
          - $ref: "#/components/parameters/subscription"
        post:
          operationId: resume
          tags: [consuming]
          summary: Delivers again, after a pause or after the server disabled it.
          responses: *state

      /livez:
        get:
          operationId: livez
          tags: [operation]
          summary: Whether the process runs.
          responses:
            "200": &ok
              description: Yes.
              content:
                application/json:
                  schema:
                    type: object
                    required: [status]
                    additionalProperties: false
                    properties: { status: { const: ok } }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /readyz:
        get:
          operationId: readyz
          tags: [operation]
          summary: Whether an append can be taken now.
          responses:
            "200": *ok
            "400": { $ref: "#/components/responses/Problem" }
            "503":
              description: No; `detail` gives the reason (`not_ready`).
              content: &problem
                application/problem+json:
                  schema: { $ref: "#/components/schemas/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /metrics:
        get:
          operationId: metrics
          tags: [operation]
          summary: Counters and gauges for Prometheus.
          responses:
            "200":
              description: Text exposition format 0.0.4.
              content:
                text/plain:
                  schema: { type: string }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /openapi.yaml:
        get:
          operationId: openapi
          tags: [operation]
          summary: This document.
          responses:
            "200":
              description: OpenAPI 3.1, in YAML.
              content:
                application/yaml:
                  schema: { type: object }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /:
        get:
          operationId: home
          tags: [operation]
          summary: The console's page, for whoever opens the server's address in a browser.
          responses:
            "200": &html
              description: The page.
              content:
                text/html:
                  schema: { type: string }
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /console:
        get:
          operationId: console
          tags: [operation]
          summary: A page that shows a stream live in a browser.
          description: A query is the page's own affair.
          responses:
            "200": *html
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

      /console/tail.html:
        get:
          operationId: tailPage
          tags: [operation]
          summary: The same page, under its file's name.
          responses:
            "200": *html
            "400": { $ref: "#/components/responses/Problem" }
            default: { $ref: "#/components/responses/Problem" }

    components:
      parameters:
        stream:
          name: stream
          in: path
          required: true
          description: A stream's name.
          schema: { $ref: "#/components/schemas/Name" }
          example: orders
        subscription:
          name: subscription
          in: path
          required: true
          description: A subscription's name.
          schema: { $ref: "#/components/schemas/Name" }
          example: billing
        shard:
          name: shard
          in: path
          required: true
          description: A shard's index, from 0.
          schema: { type: integer, minimum: 0, maximum: 1023 }
          example: 0
        pageSize:
          name: page_size
          in: query
          schema: { type: integer, minimum: 1, maximum: 1000, default: 100 }
        pageToken:
          name: page_token
          in: query
          description: The `next_page_token` of the page before; damaged, it is 400 `bad_page_token`.
          schema: { type: string }
        ifNoneMatch:
          name: If-None-Match
          in: header
          description: ETags; 304 if one of them is the current one.
          schema: { type: string }
        ifMatchStream:
          name: If-Match
          in: header
          description: The ETag that the stream must still have, else 412 `revision_mismatch`.
          schema: { type: string }
        ifMatchSubscription:
          name: If-Match
          in: header
          description: The ETag that the subscription must still have, else 412 `revision_mismatch`.
          schema: { type: string }
        ifMatchTail:
          name: If-Match
          in: header
          description: The tail, in quotes, that the shard must be at, else 412 `tail_moved` with `tail`.
          schema: { type: string, pattern: '^"(0|[1-9][0-9]{0,18})"$' }
          example: '"1044"'
        keyPointer:
          name: key_pointer
          in: query
          description: |
            With JSON and NDJSON: the JSON pointer (RFC 6901) of each record's key within its value. A
            string's text is the key, or a number, `true` or `false` as it is written. A record without
            one is 400 `key_not_found`, and nothing is appended.
          schema: { type: string, pattern: "^(/([^/~]|~[01])*)*$" }
          example: /user/id
        from:
          name: from
          in: query
          description: |
            `earliest`, `tail` or `@TIME`; for one shard also an offset, or `-100` for the last hundred. An
            offset below `earliest` is 410 `trimmed`, one above the tail 416 `beyond_tail`.
          schema: { type: string, default: earliest }
        cursor:
          name: cursor
          in: query
          description: |
            Where an earlier answer stopped. Damaged, it is 400 `bad_cursor`; of a stream since deleted and
            made again, 410 `stream_replaced`.
          schema: { type: string }
        limit:
          name: limit
          in: query
          description: |
            Records in the answer; a live one ends after so many. A page of JSON holds 1000 and 1 MiB unless
            told. NDJSON and octet-stream go on to the tail in one answer, unless `limit`, `max_bytes` or
            `wait` makes a page of them, with the same two bounds.
          schema: { type: integer, minimum: 1, maximum: 10000 }
        maxBytes:
          name: max_bytes
          in: query
          description: |
            About how large a page may become (see `limit`); at least one record is given. Not with live
            answers.
          schema: { type: integer, minimum: 1, maximum: 16777216 }
        wait:
          name: wait
          in: query
          description: |
            Hold the answer for so long, at most 60s, while there is nothing. Not with live answers, which
            wait for ever.
          schema: { type: string, pattern: "^[0-9]{1,9}(ms|s|m)$" }
        key:
          name: key
          in: query
          description: Only records with this key.
          schema: { type: string }
        until:
          name: until
          in: query
          description: Stop before this `@TIME`, or for one shard this offset.
          schema: { type: string }
        incarnation:
          name: incarnation
          in: query
          description: |
            The stream's incarnation: 410 `stream_replaced` if it is another now, and a page below the tail
            may then be cached for ever.
          schema: { $ref: "#/components/schemas/UInt64" }
        live:
          name: live
          in: query
          description: Go on without end, as server-sent events or NDJSON.
          schema: { enum: [sse, ndjson] }
        event:
          name: event
          in: query
          description: "Server-sent events: the name of the events that carry records."
          schema: { enum: [record, message], default: record }
        batch:
          name: batch
          in: query
          description: "Server-sent events: several records in one event, as an array."
          schema: { type: boolean, default: false }
        lastEventID:
          name: Last-Event-ID
          in: header
          description: The cursor of the last event seen, as browsers send it.
          schema: { type: string }
        recordKey:
          name: Record-Key
          in: header
          description: The key of a single record.
          schema: { type: string }
          example: u1
        recordHeader:
          name: Record-Header-NAME
          in: header
          description: |
            With a single record: its header `NAME`, in lower case. There may be several, each of another
            name. The request's own `traceparent` (W3C Trace Context) becomes the record's unless it brings
            one, and webhooks pass it on.
          schema: { type: string }
        producerID:
          name: Producer-Id
          in: header
          description: |
            Who appends, for exactly once; comes with `Producer-Epoch` and `Producer-Seq`. Each shard
            remembers a producer's epoch and its last five sequences with a digest of the request: body,
            content type, key and headers. The same again answers with the first offsets and
            `"duplicate":true`; the same sequence with another request is 422 `sequence_reused`; one too old to be told apart is 409 `sequence_too_old`; a lower
            epoch is 403 `stale_producer`.
          schema: { type: string, minLength: 1, maxLength: 255 }
        producerEpoch:
          name: Producer-Epoch
          in: header
          description: The producer's term; the highest seen wins.
          schema: { $ref: "#/components/schemas/UInt64" }
        producerSeq:
          name: Producer-Seq
          in: header
          description: The number of this request within the epoch.
          schema: { $ref: "#/components/schemas/UInt64" }
        idempotencyKey:
          name: Idempotency-Key
          in: header
          description: |
            One key stands for one request of the stream, whichever of its shards the records go to. The
            same request within ten minutes is not appended again: it answers with the first offsets and
            `"duplicate":true`. With another body, content type, record key, header, `key_pointer` or
            shard it is 422 `idempotency_mismatch`, while the first is in progress 409
            `idempotency_in_progress`, and 429 `idempotency_full` when the shard holds too many keys. A
            request that was refused with `applied: no` leaves its key free. It survives kill -9.
          schema: { type: string, minLength: 1, maxLength: 255 }
        contentEncoding:
          name: Content-Encoding
          in: header
          description: "`gzip`: limits hold for the inflated body."
          schema: { enum: [gzip, identity] }

      headers:
        ETag:
          description: Changes with every change.
          schema: { type: string }

      responses:
        Problem:
          description: What went wrong, as RFC 9457 has it.
          headers:
            Retry-After:
              description: "With 429, 503 and 507: seconds after which to come back."
              schema: { type: integer }
            Allow:
              description: "With 405: the methods that the path takes."
              schema: { type: string }
          content: *problem

      schemas:
        Name:
          type: string
          pattern: "^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$"
        UInt64:
          description: A 64-bit number in decimal.
          type: string
          pattern: "^(0|[1-9][0-9]{0,19})$"
          examples: ["1044"]
        Offset:
          description: A record's place in its shard.
          type: string
          pattern: "^(0|[1-9][0-9]{0,18})$"
          examples: ["1044"]
        Time:
          description: RFC 3339 in UTC with milliseconds.
          type: string
          format: date-time
          examples: ["2026-01-01T00:00:00.000Z"]
        AtTime:
          description: "`@` and a time."
          type: string
          pattern: "^@[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$"
          examples: ["@2026-01-01T00:00:00Z"]
        Duration:
          description: A whole number and a unit.
          type: string
          pattern: "^[1-9][0-9]{0,9}(ms|s|m|h|d)$"
          examples: ["7d"]
        DurationOrZero:
          description: A whole number and a unit.
          type: string
          pattern: "^(0|[1-9][0-9]{0,9})(ms|s|m|h|d)$"
          examples: [0s]
        NextPageToken:
          description: The next page's `page_token`; empty on the last page.
          type: string
        Retention:
          description: How long records are kept; whichever ends first.
          type: object
          additionalProperties: false
          properties:
            age:
              description: 7d unless told; null keeps for ever.
              anyOf:
                - { $ref: "#/components/schemas/Duration" }
                - { type: "null" }
            bytes:
              description: Of the whole stream, shared by its shards; null, the default, is no limit.
              anyOf:
                - { type: string, pattern: "^[1-9][0-9]{0,17}$" }
                - { type: "null" }
        LabelName:
          type: string
          pattern: "^[A-Za-z0-9][A-Za-z0-9._~-]{0,62}$"
        StreamSettings:
          type: object
          additionalProperties: false
          properties:
            shards: { type: integer, minimum: 1, maximum: 1024, default: 1 }
            retention: { $ref: "#/components/schemas/Retention" }
            labels:
              type: object
              maxProperties: 64
              propertyNames: { $ref: "#/components/schemas/LabelName" }
              additionalProperties: { type: string, maxLength: 255 }
        StreamPatch:
          type: object
          additionalProperties: false
          properties:
            shards: { type: integer, minimum: 1, maximum: 1024 }
            retention: { $ref: "#/components/schemas/Retention" }
            labels:
              type: object
              maxProperties: 64
              propertyNames: { $ref: "#/components/schemas/LabelName" }
              additionalProperties:
                anyOf:
                  - { type: string, maxLength: 255 }
                  - { type: "null" }
        Stream:
          type: object
          required: [name, incarnation, shards, retention, labels, created_at]
          additionalProperties: false
          properties:
            name: { $ref: "#/components/schemas/Name" }
            incarnation:
              description: Differs from every other stream that had or will have this name.
              $ref: "#/components/schemas/UInt64"
            shards: { type: integer, minimum: 1, maximum: 1024 }
            retention:
              allOf: [ { $ref: "#/components/schemas/Retention" } ]
              required: [age, bytes]
            labels:
              type: object
              additionalProperties: { type: string }
            created_at: { $ref: "#/components/schemas/Time" }
          examples:
            - { name: orders, incarnation: "12", shards: 4, retention: { age: 7d, bytes: null },
                labels: { team: a }, created_at: "2026-01-01T00:00:00.000Z" }
        Shard:
          type: object
          required: [shard, key_range, earliest, tail, bytes, owner, epoch]
          additionalProperties: false
          properties:
            shard: { type: integer, minimum: 0 }
            key_range:
              description: The lowest and the highest key hash that belong here, in hexadecimal.
              type: array
              minItems: 2
              maxItems: 2
              items: { type: string, pattern: "^[0-9a-f]{16}$" }
            earliest:
              description: The first record kept.
              $ref: "#/components/schemas/Offset"
            tail:
              description: The next record's offset.
              $ref: "#/components/schemas/Offset"
            bytes:
              description: Of its records as stored.
              $ref: "#/components/schemas/UInt64"
            owner: { description: The node that writes it., type: string }
            epoch:
              description: The owner's term.
              $ref: "#/components/schemas/UInt64"
          examples:
            - { shard: 0, key_range: ["0000000000000000", "3fffffffffffffff"], earliest: "120",
                tail: "1044", bytes: "52311", owner: local, epoch: "7" }
        Trimmed:
          type: object
          required: [shard, earliest]
          additionalProperties: false
          properties:
            shard: { type: integer, minimum: 0 }
            earliest: { $ref: "#/components/schemas/Offset" }
        DeadLetter:
          description: The stream that takes what could not be delivered; null, the default, drops it.
          anyOf:
            - type: object
              required: [stream]
              additionalProperties: false
              properties:
                stream: { $ref: "#/components/schemas/Name" }
            - { type: "null" }
        Secret:
          description: A key of Standard Webhooks, of 24 to 64 bytes.
          type: string
          pattern: "^whsec_[A-Za-z0-9+/]+={0,2}$"
          minLength: 38
          maxLength: 94
        HiddenSecret:
          description: The secret that there is.
          const: "****"
        SubscriptionSettings:
          type: object
          additionalProperties: false
          properties:
            stream: &sub_stream
              description: The stream that it reads; it must exist.
              $ref: "#/components/schemas/Name"
            start: &sub_start
              description: Where it begins.
              anyOf: &start
                - { enum: [earliest, tail] }
                - { $ref: "#/components/schemas/AtTime" }
              default: earliest
            ordering: &sub_ordering
              description: |
                `key`: a key's next record waits until those before it are settled; records without a key
                wait for nobody. `shard`: the same for a whole shard. `none`: nothing waits.
              enum: [key, shard, none]
              default: key
            ack_deadline: &sub_ack_deadline
              description: |
                After so long without an answer a record is delivered again; 100ms to 12h. Not for webhooks,
                as `max_deliveries` and `backoff`: their `timeout` and `retry` take the place of these.
              allOf: [ { $ref: "#/components/schemas/Duration" } ]
              default: 30s
            max_in_flight: &sub_max_in_flight
              description: Records delivered and not settled, of all consumers together.
              type: integer
              minimum: 1
              maximum: 1000000
              default: 1000
            max_deliveries: &sub_max_deliveries
              description: After so many failed deliveries a record is buried.
              type: integer
              minimum: 1
              maximum: 1000
              default: 16
            backoff: &sub_backoff
              description: |
                How long a record waits after its first failure, its second, …; later ones wait as long as
                the last says. Each at most 7d; none is no wait.
              type: array
              maxItems: 32
              items: { $ref: "#/components/schemas/DurationOrZero" }
              default: [1s, 5s, 30s]
            dead_letter: &sub_dead_letter { $ref: "#/components/schemas/DeadLetter" }
            delivery:
              allOf: [ { $ref: "#/components/schemas/Delivery" } ]
              required: [type]
        SubscriptionPatch:
          type: object
          additionalProperties: false
          properties:
            stream: *sub_stream
            start: *sub_start
            ordering: *sub_ordering
            ack_deadline: *sub_ack_deadline
            max_in_flight: *sub_max_in_flight
            max_deliveries: *sub_max_deliveries
            backoff: *sub_backoff
            dead_letter: *sub_dead_letter
            delivery: { $ref: "#/components/schemas/DeliveryPatch" }
        Delivery:
          description: Fields beside `type` are a webhook's.
          type: object
          additionalProperties: false
          properties:
            type: &del_type { enum: [pull, webhook], default: pull }
            url: &del_url
              description: |
                http or https, without a user or a fragment. A webhook needs it. An address that is not public
                is refused unless the operator allows it (`--webhook-allow`); names are judged when they are
                dialled.
              type: string
              maxLength: 2048
            format: &del_format
              description: |
                `record`: the value's bytes with their type. `cloudevents`: a structured CloudEvent.
                `batch`: an array of records.
              enum: [record, cloudevents, batch]
              default: record
            secret: &del_secret
              description: Made if it is absent; shown when it is made, else as `****`.
              anyOf:
                - { $ref: "#/components/schemas/Secret" }
                - { $ref: "#/components/schemas/HiddenSecret" }
            timeout: &del_timeout
              description: Of an attempt; 100ms to 2m.
              allOf: [ { $ref: "#/components/schemas/Duration" } ]
              default: 15s
            concurrency: &del_concurrency
              description: Attempts at once, at most.
              type: integer
              minimum: 1
              maximum: 256
              default: 8
            rate_limit: &del_rate_limit
              description: Attempts a second, at most; null, the default, is no limit.
              type: [integer, "null"]
              minimum: 1
              maximum: 1000000
            batch: &del_batch
              type: object
              additionalProperties: false
              properties:
                max_records: { type: integer, minimum: 1, maximum: 1000, default: 100 }
                linger:
                  description: How long a batch that is not full waits for more; at most 1m.
                  allOf: [ { $ref: "#/components/schemas/DurationOrZero" } ]
                  default: 100ms
            retry: &del_retry
              description: |
                How long to wait after the first failure, the second, …, give or take a fifth; after the last
                the record is buried. Each at most 7d.
              type: array
              maxItems: 32
              items: { $ref: "#/components/schemas/DurationOrZero" }
              default: [5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h]
            disable_after: &del_disable_after
              description: |
                Failing for so long without one success disables the subscription; 1m to 365d, null is never.
              anyOf:
                - { $ref: "#/components/schemas/Duration" }
                - { type: "null" }
              default: 120h
            headers:
              description: |
                Sent along. Names are told apart, and shown, in lower case. What belongs to the connection,
                to the body, to the signature or to the record (`ce-*`, `millrace-*`, `record-header-*`)
                cannot be set.
              type: object
              maxProperties: 32
              propertyNames: { $ref: "#/components/schemas/HeaderName" }
              additionalProperties: { $ref: "#/components/schemas/HeaderValue" }
        DeliveryPatch:
          type: object
          additionalProperties: false
          properties:
            type: *del_type
            url: *del_url
            format: *del_format
            secret: *del_secret
            timeout: *del_timeout
            concurrency: *del_concurrency
            rate_limit: *del_rate_limit
            batch: *del_batch
            retry: *del_retry
            disable_after: *del_disable_after
            headers:
              type: object
              maxProperties: 64
              propertyNames: { $ref: "#/components/schemas/HeaderName" }
              additionalProperties:
                anyOf:
                  - { $ref: "#/components/schemas/HeaderValue" }
                  - { type: "null" }
        HeaderName:
          type: string
          pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"
        HeaderValue:
          type: string
          maxLength: 4096
          pattern: "^([!-~]([\\t -~]*[!-~])?)?$"
        Subscription:
          type: object
          required:
            [name, incarnation, stream, stream_incarnation, start, ordering, max_in_flight, dead_letter,
             delivery, state, created_at]
          additionalProperties: false
          properties:
            name: { $ref: "#/components/schemas/Name" }
            incarnation:
              description: Differs from every other subscription that had or will have this name.
              $ref: "#/components/schemas/UInt64"
            stream: { $ref: "#/components/schemas/Name" }
            stream_incarnation:
              description: Which of the streams that had or will have this name.
              $ref: "#/components/schemas/UInt64"
            start:
              anyOf: *start
            ordering: { enum: [key, shard, none] }
            ack_deadline:
              description: As `max_deliveries` and `backoff`, not shown of webhooks.
              $ref: "#/components/schemas/Duration"
            max_in_flight: { type: integer, minimum: 1, maximum: 1000000 }
            max_deliveries: { type: integer, minimum: 1, maximum: 1000 }
            backoff:
              type: array
              items: { $ref: "#/components/schemas/DurationOrZero" }
            dead_letter: { $ref: "#/components/schemas/DeadLetter" }
            delivery:
              allOf: [ { $ref: "#/components/schemas/Delivery" } ]
              required: [type]
            state:
              description: |
                `disabled`: the server stopped it, `disabled` says why. `stream_replaced`: its stream is gone;
                it can only be deleted.
              enum: [active, paused, disabled, stream_replaced]
            disabled:
              type: object
              required: [reason, at]
              additionalProperties: false
              properties:
                reason: { description: For people., type: string }
                at: { $ref: "#/components/schemas/Time" }
            created_at: { $ref: "#/components/schemas/Time" }
            status: { $ref: "#/components/schemas/SubscriptionStatus" }
            webhook: { $ref: "#/components/schemas/WebhookStatus" }
          examples:
            - { name: billing, incarnation: "17", stream: orders, stream_incarnation: "12",
                start: earliest, ordering: key, ack_deadline: 30s, max_deliveries: 16,
                backoff: [1s, 5s, 30s], max_in_flight: 1000, dead_letter: { stream: orders.dead },
                delivery: { type: pull }, state: active, created_at: "2026-01-01T00:00:00.000Z" }
        Attempt:
          type: object
          required: [id, cause, status, webhook_id, records, delivery, started_at, latency]
          additionalProperties: false
          properties:
            id: { type: string }
            cause: { enum: [delivery, resend, test] }
            status: { description: succeeded is 2xx., enum: [succeeded, failed] }
            webhook_id: { description: "What `webhook-id` said: the same for every attempt of these records.", type: string }
            records:
              description: What it carried; a test carries none.
              type: array
              items:
                type: object
                required: [shard, offsets]
                additionalProperties: false
                properties:
                  shard: { type: integer, minimum: 0 }
                  offsets: { type: array, minItems: 1, items: { $ref: "#/components/schemas/Offset" } }
            delivery:
              description: 1 for the first attempt; one that did not count, such as a probe, is not counted here.
              type: integer
              minimum: 1
            started_at: { $ref: "#/components/schemas/Time" }
            latency: { type: string, pattern: "^[0-9]+ms$" }
            http_status: { description: Absent if there was no answer., type: integer, minimum: 100, maximum: 999 }
            error: { description: "What is wrong, for people; absent if it succeeded.", type: string }
            answer: { description: "The first 4 KiB of the answer's body, if it is text.", type: string }
            answer_base64: { description: The same of bytes that are no text., type: string, contentEncoding: base64 }
            answer_cut: { description: The answer was longer., type: boolean }
            next_attempt: { $ref: "#/components/schemas/Time" }
          examples:
            - { id: 7-12, cause: delivery, status: failed, webhook_id: msg_v4iFn-RSrgZibpp_Ekzt4jD1,
                records: [ { shard: 0, offsets: ["1044"] } ], delivery: 1, started_at: "2026-01-01T00:00:00.000Z",
                latency: 12ms, http_status: 503, error: the endpoint answered 503, answer: out of order,
                next_attempt: "2026-01-01T00:00:05.000Z" }
        WebhookStatus:
          description: How a webhook is doing.
          type: object
          required: [circuit, concurrency, in_flight, consecutive_failures]
          additionalProperties: false
          properties:
            circuit:
              description: |
                `open`: the endpoint is taken to be down and nothing is sent; `half_open`: one request at a time probes it.
                What fails as a probe uses up no attempt.
              enum: [closed, open, half_open]
            concurrency: { description: Requests at once that it is given now., type: integer, minimum: 1 }
            in_flight: { type: integer, minimum: 0 }
            consecutive_failures: { type: integer, minimum: 0 }
            held_until: { description: "Nothing begins before: a probe is due, the endpoint said Retry-After, or the rate is reached.", $ref: "#/components/schemas/Time" }
            last_success_at: { description: Since the server's start., $ref: "#/components/schemas/Time" }
            last_error:
              description: The last attempt that failed, since the server's start.
              type: object
              required: [at, error]
              additionalProperties: false
              properties:
                at: { $ref: "#/components/schemas/Time" }
                http_status: { type: integer }
                error: { type: string }
        Record:
          type: object
          required: [shard, offset, timestamp]
          additionalProperties: false
          properties:
            shard: { type: integer, minimum: 0 }
            offset: { $ref: "#/components/schemas/Offset" }
            timestamp: { $ref: "#/components/schemas/Time" }
            key: { type: string }
            headers:
              type: object
              additionalProperties: { type: string }
            value: { description: The JSON value as it was sent. }
            value_base64: { description: Opaque bytes., type: string, contentEncoding: base64 }
            content_type: { description: Of the opaque bytes., type: string }
          oneOf:
            - required: [value]
            - required: [value_base64, content_type]
        Page:
          type: object
          required: [records, cursor, up_to_date]
          additionalProperties: false
          properties:
            records:
              type: array
              items: { $ref: "#/components/schemas/Record" }
            cursor: { description: Where to go on from., type: string }
            up_to_date:
              description: There was nothing more when this was answered.
              type: boolean
          examples:
            - records:
                - { shard: 0, offset: "1044", timestamp: "2026-01-01T00:00:00.000Z", key: u1,
                    headers: { trace: a }, value: { total: 12.5 } }
              cursor: c1ACAAA8xDej
              up_to_date: true
        Event:
          description: |
            One server-sent event. `data` is JSON text: of `record` and `message` a Record, of `batch` an
            array of them, of `problem` a Problem.
          type: object
          required: [event, data]
          properties:
            event: { enum: [open, record, message, batch, gap, checkpoint, problem, end] }
            data: { type: string }
            id: { description: A cursor., type: string }
            retry: { description: Milliseconds until the client should come back., type: integer }
        Envelope:
          type: object
          required: [records]
          additionalProperties: false
          properties:
            records:
              type: array
              minItems: 1
              maxItems: 10000
              items: { $ref: "#/components/schemas/NewRecord" }
        NewRecord:
          type: object
          additionalProperties: false
          properties:
            key:
              anyOf:
                - { type: string }
                - { type: "null" }
            headers:
              type: object
              maxProperties: 64
              additionalProperties: { type: string }
            value: { description: Any JSON value; kept byte for byte. }
            value_base64: { description: Opaque bytes., type: string, contentEncoding: base64 }
            content_type:
              description: Of the opaque bytes; `application/octet-stream` unless told.
              type: string
              pattern: "^[ -~]+$"
          oneOf:
            - required: [value]
              not: { anyOf: [ { required: [value_base64] }, { required: [content_type] } ] }
            - required: [value_base64]
              not: { required: [value] }
        CloudEvent:
          description: |
            A CloudEvent 1.0 in the JSON format. The record's value is the event as it came; its key is
            `partitionkey`.
          type: object
          required: [specversion, id, source, type]
          properties:
            specversion: { const: "1.0" }
            id: { type: string, minLength: 1 }
            source: { type: string, minLength: 1 }
            type: { type: string, minLength: 1 }
            datacontenttype: { type: [string, "null"], minLength: 1 }
            dataschema: { type: [string, "null"], minLength: 1 }
            subject: { type: [string, "null"], minLength: 1 }
            time: { type: [string, "null"], minLength: 1 }
            partitionkey: { type: [string, "null"], minLength: 1 }
            data: { description: Any JSON value. }
            data_base64: { type: string, contentEncoding: base64 }
          not: { required: [data, data_base64] }
        Appended:
          type: object
          required: [appended, duplicate, ranges]
          additionalProperties: false
          properties:
            appended: { type: integer, minimum: 1 }
            duplicate:
              description: The same request was answered before; these are its first offsets.
              type: boolean
            ranges:
              description: By shard.
              type: array
              minItems: 1
              items:
                type: object
                required: [shard, start, end]
                additionalProperties: false
                properties:
                  shard: { type: integer, minimum: 0 }
                  start: { $ref: "#/components/schemas/Offset" }
                  end:
                    description: One past the last.
                    $ref: "#/components/schemas/Offset"
        ConsumerName:
          description: For people who look at `consumers`; no control characters.
          type: string
          pattern: "^[^\\u0000-\\u001f\\u007f]+$"
          minLength: 1
          maxLength: 255
        AckID:
          description: Names one delivery of one record. Opaque.
          type: string
          pattern: "^a[A-Za-z0-9_-]{6,43}$"
          examples: [aAMIIAQfGqg]
        Backlog:
          type: object
          required: [records, oldest_age]
          additionalProperties: false
          properties:
            records:
              description: Not yet settled, up to the tail.
              $ref: "#/components/schemas/UInt64"
            oldest_age:
              description: How long ago the oldest of them was appended; null if there is none, or it is not known.
              anyOf:
                - { type: string, pattern: "^[0-9]{1,12}(ms|s|m|h|d)$" }
                - { type: "null" }
        SubscriptionState:
          enum: [active, paused, disabled]
        Message:
          type: object
          required: [ack_id, delivery, record]
          additionalProperties: false
          properties:
            ack_id: { $ref: "#/components/schemas/AckID" }
            delivery:
              description: 1 for the first time.
              type: integer
              minimum: 1
            deadline:
              description: Until then it is to be settled or extended.
              $ref: "#/components/schemas/Time"
            record: { $ref: "#/components/schemas/Record" }
        Pull:
          type: object
          additionalProperties: false
          properties:
            max_messages: { type: integer, minimum: 1, maximum: 10000, default: 100 }
            max_bytes:
              description: About how large the answer may become, at most 16 MiB; at least one message is given.
              type: string
              pattern: "^[1-9][0-9]{0,7}$"
              default: "1048576"
            wait:
              description: How long to wait for the first message, at most 60s.
              type: string
              pattern: "^[0-9]{1,9}(ms|s|m)$"
              default: 0s
            consumer: { $ref: "#/components/schemas/ConsumerName" }
        Pulled:
          type: object
          required: [messages, backlog, state]
          additionalProperties: false
          properties:
            messages:
              type: array
              items: { $ref: "#/components/schemas/Message" }
            backlog:
              description: Null when the wait was cut short because the server stops.
              anyOf:
                - { $ref: "#/components/schemas/Backlog" }
                - { type: "null" }
            state:
              description: Only an active subscription delivers.
              $ref: "#/components/schemas/SubscriptionState"
        Settlement:
          type: object
          additionalProperties: false
          properties:
            ack:
              type: array
              maxItems: 10000
              items: { $ref: "#/components/schemas/AckID" }
            nak:
              type: array
              maxItems: 10000
              items:
                type: object
                required: [ack_id]
                additionalProperties: false
                properties:
                  ack_id: { $ref: "#/components/schemas/AckID" }
                  delay:
                    description: In place of the subscription's `backoff`; at most 7d.
                    $ref: "#/components/schemas/DurationOrZero"
            extend:
              type: array
              maxItems: 10000
              items:
                type: object
                required: [ack_id, by]
                additionalProperties: false
                properties:
                  ack_id: { $ref: "#/components/schemas/AckID" }
                  by:
                    description: From now; 100ms to 12h.
                    $ref: "#/components/schemas/Duration"
            term:
              type: array
              maxItems: 10000
              items:
                type: object
                required: [ack_id]
                additionalProperties: false
                properties:
                  ack_id: { $ref: "#/components/schemas/AckID" }
                  reason:
                    description: Goes with the dead letter.
                    type: string
                    maxLength: 255
        Settled:
          type: object
          required: [results]
          additionalProperties: false
          properties:
            results:
              type: array
              items:
                type: object
                required: [ack_id, status]
                additionalProperties: false
                properties:
                  ack_id: { $ref: "#/components/schemas/AckID" }
                  status: { enum: [ok, stale] }
        MessageEvent:
          description: |
            One server-sent event. `data` is JSON text: of `message` a Message, of `problem` a Problem, of
            `end` a reason: deleted, stream_deleted or delivery_changed.
          type: object
          required: [event, data]
          properties:
            event: { enum: [open, message, problem, end] }
            data: { type: string }
            retry: { description: Milliseconds until the client should come back., type: integer }
        Consumer:
          type: object
          required: [consumer, kind, in_flight, waiting, max_in_flight, since, last_seen]
          additionalProperties: false
          properties:
            consumer: { description: Its name; empty if it gave none., type: string }
            kind: { enum: [pull, sse, webhook] }
            in_flight: { type: integer, minimum: 0 }
            waiting: { description: It would take messages now., type: boolean }
            max_in_flight:
              description: Its own share; null for a fair one.
              type: [integer, "null"]
            since: { $ref: "#/components/schemas/Time" }
            last_seen: { $ref: "#/components/schemas/Time" }
          examples:
            - { consumer: w1, kind: pull, in_flight: 12, waiting: true, max_in_flight: null,
                since: "2026-01-01T00:00:00.000Z", last_seen: "2026-01-01T00:00:30.000Z" }
        InFlight:
          type: object
          required: [ack_id, shard, offset, delivery, consumer, deadline]
          additionalProperties: false
          properties:
            ack_id: { $ref: "#/components/schemas/AckID" }
            shard: { type: integer, minimum: 0 }
            offset: { $ref: "#/components/schemas/Offset" }
            delivery: { type: integer, minimum: 1 }
            consumer: { type: string }
            deadline:
              description: Null for webhooks, which settle by their own clock.
              anyOf:
                - { $ref: "#/components/schemas/Time" }
                - { type: "null" }
          examples:
            - { ack_id: aAMIIAQfGqg, shard: 0, offset: "1044", delivery: 2, consumer: w1,
                deadline: "2026-01-01T00:00:30.000Z" }
        GivenUp:
          type: object
          required: [shard, offset, deliveries, reason, at, place]
          additionalProperties: false
          properties:
            shard: { type: integer, minimum: 0 }
            offset: { $ref: "#/components/schemas/Offset" }
            deliveries: { type: integer, minimum: 0 }
            reason: { type: string }
            at: { $ref: "#/components/schemas/Time" }
            place:
              description: Where it is in the dead-letter stream; null if it is not, or not yet.
              anyOf:
                - type: object
                  required: [shard, offset]
                  additionalProperties: false
                  properties:
                    shard: { type: integer, minimum: 0 }
                    offset: { $ref: "#/components/schemas/Offset" }
                - { type: "null" }
          examples:
            - { shard: 0, offset: "1044", deliveries: 16, reason: max_deliveries,
                at: "2026-01-01T00:00:00.000Z", place: { shard: 0, offset: "7" } }
        SeekPlace:
          description: "`earliest`, `tail`, `@TIME`, or offsets by shard."
          anyOf:
            - { enum: [earliest, tail] }
            - { $ref: "#/components/schemas/AtTime" }
            - type: object
              minProperties: 1
              propertyNames: { pattern: "^(0|[1-9][0-9]{0,3})$" }
              additionalProperties: { $ref: "#/components/schemas/Offset" }
        Replay:
          description: Records of one shard that are delivered again.
          type: object
          required: [id, shard, only, place, end, left]
          additionalProperties: false
          properties:
            id: { $ref: "#/components/schemas/UInt64" }
            shard: { type: integer, minimum: 0 }
            only: { enum: [all, failed] }
            place:
              description: Everything below it is settled again.
              $ref: "#/components/schemas/Offset"
            end:
              description: Where it ends.
              $ref: "#/components/schemas/Offset"
            left:
              description: Records not settled yet.
              $ref: "#/components/schemas/UInt64"
          examples:
            - { id: "4", shard: 0, only: failed, place: "120", end: "1044", left: "17" }
        SubscriptionStatus:
          description: The subscription at work, now.
          type: object
          required: [backlog, in_flight, consumers, blocked_by, counts, shards, gaps, replays]
          additionalProperties: false
          properties:
            backlog: { $ref: "#/components/schemas/Backlog" }
            in_flight: { type: integer, minimum: 0 }
            consumers: { type: integer, minimum: 0 }
            blocked_by:
              description: |
                Why nothing is delivered though records and consumers are there: `window`, too many records
                between the floor and the newest delivered; `dead_letter`, one cannot be appended;
                `journal`, nothing can be written down; `log`, the stream cannot be read.
              anyOf:
                - type: object
                  required: [reason, detail]
                  additionalProperties: false
                  properties:
                    reason: { enum: [window, dead_letter, journal, log] }
                    detail: { type: string }
                - { type: "null" }
            counts:
              description: |
                `acked` and `redeliveries` since the server started, the others since the subscription was made.
              type: object
              required: [acked, redeliveries, dead_letters, dropped, missed]
              additionalProperties: false
              properties:
                acked: { $ref: "#/components/schemas/UInt64" }
                redeliveries: { $ref: "#/components/schemas/UInt64" }
                dead_letters: { $ref: "#/components/schemas/UInt64" }
                dropped: { description: Given up without a dead-letter stream., $ref: "#/components/schemas/UInt64" }
                missed: { description: Trimmed before they were delivered., $ref: "#/components/schemas/UInt64" }
            shards:
              type: array
              items:
                type: object
                required: [shard, floor, tail, settled_above]
                additionalProperties: false
                properties:
                  shard: { type: integer, minimum: 0 }
                  floor: { description: Everything below it is settled., $ref: "#/components/schemas/Offset" }
                  tail: { $ref: "#/components/schemas/Offset" }
                  settled_above: { description: Records settled above the floor., $ref: "#/components/schemas/UInt64" }
            gaps:
              description: The last stretches that were trimmed before they were delivered.
              type: array
              items:
                type: object
                required: [shard, from, to, reason]
                additionalProperties: false
                properties:
                  shard: { type: integer, minimum: 0 }
                  from: { $ref: "#/components/schemas/Offset" }
                  to: { $ref: "#/components/schemas/Offset" }
                  reason: { const: trimmed }
            replays:
              description: Those under way.
              type: array
              items: { $ref: "#/components/schemas/Replay" }
        Problem:
          type: object
          required: [type, title, status, code, detail, retryable, applied, request_id]
          properties:
            type: { type: string, format: uri, examples: ["urn:millrace:problem:tail_moved"] }
            title: { type: string }
            status: { type: integer }
            code: { $ref: "#/components/schemas/ProblemCode" }
            detail: { type: string }
            retryable:
              description: The same request may succeed when it is sent again.
              type: boolean
            applied:
              description: Whether the request took effect; `maybe` only with 500, 502, 503 and 504.
              enum: ["no", maybe, "yes"]
            request_id: { type: string }
            pointer: { description: The JSON pointer of the field that is wrong., type: string }
            parameter: { description: The query parameter that is wrong., type: string }
            header: { description: The header that is wrong., type: string }
            line: { description: "NDJSON: the line that is wrong, from 1.", type: integer }
            record: { description: "The record that is wrong, from 0.", type: integer }
            position: { description: The byte that is wrong., $ref: "#/components/schemas/UInt64" }
            limit: { description: The limit that is passed., type: string }
            max: { description: What the limit allows., $ref: "#/components/schemas/UInt64" }
            fields: { description: What differs., type: array, items: { type: string } }
            name: { description: The name that is not allowed., type: string }
            incarnation:
              description: "`stream_replaced`: the stream's incarnation now."
              $ref: "#/components/schemas/UInt64"
            shard_count: { description: "`too_many_shards`: how many there are.", type: integer }
            shards_max: { description: "`too_many_shards`: how many may be.", type: integer }
            offered: { description: "`not_acceptable`: the types there are.", type: string }
            stream: { description: The stream that is not there., type: string }
            subscription: { description: The subscription that is not there., type: string }
            attempt: { description: The attempt that is not there., type: string }
            subscriptions:
              description: "`stream_in_use`: who uses the stream, the first ten by name."
              type: array
              items: { $ref: "#/components/schemas/Name" }
            subscription_count: { description: "`stream_in_use`: how many use the stream.", type: integer }
            shard: { description: The shard that is meant., type: [integer, string] }
            host: { description: The Host that is not loopback., type: string }
            origin: { description: The Origin that is not named., type: string }
            content_type: { description: The type that is not taken., type: string }
            content_encoding: { description: The encoding that is not taken., type: string }
            hint: { description: What to do instead., type: string }
            file: { description: "`damaged`: the file, below the data directory.", type: string }
            etag: { description: "`revision_mismatch`: the current ETag.", type: string }
            tail: { description: Of the shard., $ref: "#/components/schemas/Offset" }
            earliest: { description: Of the shard., $ref: "#/components/schemas/Offset" }
            cursor: { description: "`trimmed`: where to go on from.", type: string }
            expected_seq: { $ref: "#/components/schemas/UInt64" }
            oldest_seq: { $ref: "#/components/schemas/UInt64" }
            current_epoch: { $ref: "#/components/schemas/UInt64" }
            shards:
              description: What each shard of a batch did.
              type: array
              items:
                type: object
                required: [shard, applied]
                properties:
                  shard: { type: integer }
                  applied: { enum: ["no", maybe, "yes"] }
                  start: { $ref: "#/components/schemas/Offset" }
                  end: { $ref: "#/components/schemas/Offset" }
                  code: { $ref: "#/components/schemas/ProblemCode" }
          examples:
            - { type: "urn:millrace:problem:tail_moved", title: The shard's tail is elsewhere,
                status: 412, code: tail_moved, detail: The shard's tail is 1046., retryable: false,
                applied: "no", request_id: 5f2c1a9b0d3e4f60, tail: "1046" }
        ProblemCode:
          type: string
          enum:
            - malformed_request
            - tls_required
            - bad_name
            - unknown_field
            - missing_field
            - wrong_type
            - bad_value
            - bad_parameter
            - bad_header
            - bad_json
            - bad_encoding
            - bad_cloudevent
            - bad_cursor
            - bad_page_token
            - empty_body
            - key_not_found
            - too_many_shards
            - foreign_origin
            - foreign_host
            - not_found
            - method_not_allowed
            - not_acceptable
            - opaque_values
            - request_timeout
            - unsupported_media_type
            - unsupported_encoding
            - unknown_expectation
            - unsupported_method
            - unsupported_transfer_coding
            - unsupported_http_version
            - record_too_large
            - body_too_large
            - batch_too_large
            - uri_too_long
            - headers_too_large
            - stream_not_found
            - shard_not_found
            - exists_differently
            - already_exists
            - revision_mismatch
            - fixed_field
            - catalog_full
            - catalog_failed
            - stream_replaced
            - stream_in_use
            - subscription_not_found
            - wrong_delivery
            - too_many_consumers
            - bad_ack_id
            - attempt_not_found
            - trimmed
            - beyond_tail
            - tail_moved
            - sequence_reused
            - sequence_too_old
            - sequence_gap
            - stale_producer
            - producers_full
            - idempotency_mismatch
            - idempotency_in_progress
            - idempotency_full
            - overloaded
            - too_many_connections
            - owner_moved
            - stopping
            - not_ready
            - disk_full
            - storage_failed
            - damaged
            - partly_applied
            - internal

    x-problem-codes:
      malformed_request: { status: 400, title: "The request is not well-formed HTTP", retryable: false }
      tls_required: { status: 400, title: "This port speaks TLS", retryable: false }
      bad_name: { status: 400, title: "The name is not allowed", retryable: false }
      unknown_field: { status: 400, title: "There is no such field or parameter", retryable: false }
      missing_field: { status: 400, title: "A required field is missing", retryable: false }
      wrong_type: { status: 400, title: "A field has the wrong type", retryable: false }
      bad_value: { status: 400, title: "A field has a value that is not allowed", retryable: false }
      bad_parameter: { status: 400, title: "A query parameter has a value that is not allowed", retryable: false }
      bad_header: { status: 400, title: "A header has a value that is not allowed", retryable: false }
      bad_json: { status: 400, title: "The body is not valid JSON", retryable: false }
      bad_encoding: { status: 400, title: "The body does not match its encoding", retryable: false }
      bad_cloudevent: { status: 400, title: "The body is not a valid CloudEvent", retryable: false }
      bad_cursor: { status: 400, title: "The cursor is damaged or belongs elsewhere", retryable: false }
      bad_page_token: { status: 400, title: "The page token is damaged", retryable: false }
      empty_body: { status: 400, title: "The body holds nothing", retryable: false }
      key_not_found: { status: 400, title: "A record has no key at key_pointer", retryable: false }
      too_many_shards: { status: 400, title: "The stream has too many shards to read at once", retryable: false }
      foreign_origin: { status: 403, title: "Web pages of this origin may not call this server", retryable: false }
      foreign_host: { status: 403, title: "The Host is not this machine's loopback", retryable: false }
      not_found: { status: 404, title: "There is nothing at this path", retryable: false }
      method_not_allowed: { status: 405, title: "The path does not take this method", retryable: false }
      not_acceptable: { status: 406, title: "No form of the answer is acceptable", retryable: false }
      opaque_values: { status: 406, title: "Newline framing cannot carry opaque bytes", retryable: false }
      request_timeout: { status: 408, title: "The request took too long to arrive", retryable: true }
      unsupported_media_type: { status: 415, title: "The content type is not taken here", retryable: false }
      unsupported_encoding: { status: 415, title: "The content encoding is not taken here", retryable: false }
      unknown_expectation: { status: 417, title: "The expectation cannot be met", retryable: false }
      unsupported_method: { status: 501, title: "The method is not known", retryable: false }
      unsupported_transfer_coding: { status: 501, title: "The transfer coding is not known", retryable: false }
      unsupported_http_version: { status: 505, title: "The HTTP version is not spoken here", retryable: false }
      record_too_large: { status: 413, title: "A record is too large", retryable: false }
      body_too_large: { status: 413, title: "The body is too large", retryable: false }
      batch_too_large: { status: 413, title: "The batch has too many records", retryable: false }
      uri_too_long: { status: 414, title: "The request line is too long", retryable: false }
      headers_too_large: { status: 431, title: "The request's headers are too large", retryable: false }
      stream_not_found: { status: 404, title: "There is no such stream", retryable: false }
      shard_not_found: { status: 404, title: "The stream has no such shard", retryable: false }
      exists_differently: { status: 409, title: "It exists with other settings", retryable: false }
      already_exists: { status: 412, title: "There is one of this name, and only creating was asked for", retryable: false }
      revision_mismatch: { status: 412, title: "It has changed since", retryable: false }
      fixed_field: { status: 409, title: "The field cannot be changed", retryable: false }
      catalog_full: { status: 409, title: "The catalog is full", retryable: false }
      catalog_failed: { status: 500, title: "The catalog could not be changed", retryable: true }
      stream_replaced: { status: 410, title: "The stream was deleted, and perhaps made again", retryable: false }
      stream_in_use: { status: 409, title: "Subscriptions need the stream", retryable: false }
      subscription_not_found: { status: 404, title: "There is no such subscription", retryable: false }
      wrong_delivery: { status: 409, title: "The subscription delivers in another way", retryable: false }
      too_many_consumers: { status: 429, title: "The subscription has too many consumers", retryable: true }
      bad_ack_id: { status: 400, title: "An ack_id is damaged or belongs elsewhere", retryable: false }
      attempt_not_found: { status: 404, title: "There is no such attempt, or it is forgotten", retryable: false }
      trimmed: { status: 410, title: "The records asked for are gone", retryable: false }
      beyond_tail: { status: 416, title: "The offset is beyond the tail", retryable: false }
      tail_moved: { status: 412, title: "The shard's tail is elsewhere", retryable: false }
      sequence_reused: { status: 422, title: "The sequence was used for another body", retryable: false }
      sequence_too_old: { status: 409, title: "The sequence is too old to be told apart", retryable: false }
      sequence_gap: { status: 409, title: "A sequence was skipped", retryable: false }
      stale_producer: { status: 403, title: "A newer epoch of this producer has taken over", retryable: false }
      producers_full: { status: 429, title: "The shard remembers too many producers", retryable: true }
      idempotency_mismatch: { status: 422, title: "The idempotency key was used for another body", retryable: false }
      idempotency_in_progress: { status: 409, title: "The first request with this key is still in progress", retryable: true }
      idempotency_full: { status: 429, title: "The shard remembers too many idempotency keys", retryable: true }
      overloaded: { status: 429, title: "Too much is waiting to be written", retryable: true }
      too_many_connections: { status: 503, title: "There are too many connections", retryable: true }
      owner_moved: { status: 503, title: "The shard has another owner now", retryable: true }
      stopping: { status: 503, title: "The server is stopping", retryable: true }
      not_ready: { status: 503, title: "The server cannot take an append now", retryable: true }
      disk_full: { status: 507, title: "The disk is full", retryable: true }
      storage_failed: { status: 500, title: "The storage failed", retryable: true }
      damaged: { status: 500, title: "Stored records are damaged", retryable: false }
      partly_applied: { status: 503, title: "Some shards took their records, others not", retryable: true }
      internal: { status: 500, title: "Something went wrong here", retryable: false }

    """##
}
