// A stream of its own on a Durable Streams server in this process, written by an idempotent producer as it comes; the reader is sent there.
import { DurableStream, IdempotentProducer } from "@durable-streams/client";
import { DurableStreamTestServer } from "@durable-streams/server";
import { produce } from "./produce.mjs";

const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1" });
const url = await server.start();
let last = 0;

export async function one(_request, response, wanted) {
  const stream = await DurableStream.create({ url: `${url}/stream-${++last}`, contentType: "application/json" });
  response.writeHead(303, { location: `${stream.url}?offset=-1&live=sse` }).end();
  const producer = new IdempotentProducer(stream, `producer-${last}`);
  for await (const item of produce(wanted)) producer.append(JSON.stringify(item));
  await producer.close();
}
