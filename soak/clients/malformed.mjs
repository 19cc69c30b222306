// Requests that are wrong in every way: each is refused as documented, and does no harm.
import { expectStatus, head } from "../lib/socket.mjs";
import { roomy } from "../settings.mjs";

export const share = 1;

const json = { "content-type": "application/json" };

const creations = [
  [422, { headers: json, body: "{" }],
  [422, { headers: json, body: '{"seed":"text"}' }],
  [422, { headers: json, body: "[".repeat(50_000) }],
  [413, { headers: json, body: "x".repeat(110_000) }],
  [415, { headers: { "content-type": "text/plain" }, body: "{}" }],
  [415, { headers: { ...json, "content-encoding": "gzip" }, body: "{}" }],
  [400, { headers: { ...json, "idempotency-key": "a b" }, body: '{"seed":1}' }],
  [403, { headers: { ...json, "sec-fetch-site": "cross-site" }, body: '{"seed":1}' }],
  [403, { headers: { ...json, origin: "http://elsewhere.example" }, body: '{"seed":1}' }],
];

const reads = [
  "offset=",
  "offset=1&offset=2",
  "offset=abc",
  "offset=99999999999999999",
  "offset=-2",
  "live=sse",
  "live=page&offset=0",
  "offset=0&max-items=0",
  "offset=0&live=long-poll&timeout=61",
  "offset=0&live=sse&acks=yes",
  "offset=5000",
];

const others = [
  [405, "PUT", ""],
  [405, "POST", ""],
  [405, "GET", "/ack"],
  [404, "GET", "/nothing"],
  [404, "GET", "/state/more"],
  [400, "POST", "/ack"],
  [400, "POST", "/ack?offset=-1"],
  [400, "POST", "/ack?offset=5000"],
];

const raw = [
  ["not HTTP at all\r\n\r\n", [400]],
  ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]],
  [head("GET", "/runners", { "X-Long": "x".repeat(20_000) }), [431]],
  [`${head("POST", "/runners/fast", { ...json, "Transfer-Encoding": "chunked" })}zz\r\n`, [400, undefined]],
  [head("POST", "/runners/fast", { ...json, "Content-Length": "-1" }), [400]],
  ["GET /runners HTTP/1.1\r\n\r\n", [400]],
  [head("GET", "/runners/%ff%fe", { Connection: "close" }), [404]],
  [head("GET", `/runners/${"0".repeat(5000)}`, { Connection: "close" }), [404]],
];

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("kept", { count: 60, every: 100 });
  const began = performance.now();
  try {
    for (const [status, init] of creations) await visitor.ask(status, "fast", { method: "POST", ...init });
    for (const query of reads) await visitor.ask(400, `${key}?${query}`);
    for (const [status, method, rest] of others) await visitor.ask(status, key + rest, { method });
    for (const [text, expected] of raw) await expectStatus(visitor, text, expected);
    await visitor.ask(200, key);
  } catch (error) {
    // What is refused is no use of the runner: where the server is frozen or busy, it idles out before the end.
    const hasIdledOut = performance.now() - began > roomy.options.runnerIdleTimeout - 1_000;
    if (!(hasIdledOut && /RUNNER_GONE/.test(error.message))) throw error;
  }
}
