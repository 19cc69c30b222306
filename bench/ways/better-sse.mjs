// Server-Sent Events by better-sse.
import { createSession } from "better-sse";
import { produce } from "./produce.mjs";

export async function one(request, response, wanted) {
  const session = await createSession(request, response);
  for await (const item of produce(wanted)) session.push(item);
  response.end();
}

const readers = [];

export async function all(request, response) {
  readers.push({ session: await createSession(request, response), response });
}

export async function begin(count) {
  for await (const item of produce({ count })) for (const { session } of readers) session.push(item);
  for (const { response } of readers.splice(0)) response.end();
}
