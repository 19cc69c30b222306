// Users of a server: they create work, read it to its end, and have it removed.
import { Agent, request } from "node:http";

const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const marker = '"text":';
const concurrency = 16;

/** One request; gives status, headers and the whole text. */
export function ask({ port }, method, path, input) {
  return new Promise((resolve, reject) => {
    const body = input === undefined ? undefined : JSON.stringify(input);
    const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": body.length };
    const sent = request({ port, host: "127.0.0.1", method, path, agent, headers }, (response) => {
      let text = "";
      response.setEncoding("latin1");
      response.on("data", (part) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Runs `visit` so many times, some at once, and gives how many items come in a second of the server's processor. */
export async function itemsPerCpuSecond(server, times, visit) {
  let left = times;
  let items = 0;
  const { answer: before } = await server.ask("cpu");
  const workers = Array.from({ length: Math.min(concurrency, times) }, async () => {
    while (left-- > 0) {
      const got = await visit(server);
      items += got; // only now: `+= await` would add to what others have added to meanwhile
    }
  });
  await Promise.all(workers);
  const { answer: after } = await server.ask("cpu");
  return items / ((after - before) / 1e6);
}

/** Creates work of `count` items, reads it to its end in pages of 100, and removes it. */
export async function byPages(server, count) {
  const created = check(await ask(server, "POST", "/runners/count?max-items=100&min-items=1", { count }), 200, 201);
  let taken = itemsIn(created);
  const key = created.headers.location;
  while (taken < count) {
    const path = `/runners/${key}?live=long-poll&max-items=100&offset=${taken}`;
    taken += itemsIn(check(await ask(server, "GET", path), 200));
  }
  return remove(server, key, taken, count);
}

/** Creates work of `count` items, and reads it by one event stream from what the creation has not told. */
export async function byEvents(server, count) {
  const created = check(await ask(server, "POST", "/runners/count?max-items=1&min-items=1", { count }), 200, 201);
  const key = created.headers.location;
  const response = check(await ask(server, "GET", `/runners/${key}?live=sse&offset=1`), 200);
  return remove(server, key, 1 + itemsIn(response), count);
}

/** What was created with everything kept is read again from the beginning. */
export async function again(server, key, count) {
  let taken = 0;
  while (taken < count) {
    taken += itemsIn(check(await ask(server, "GET", `/runners/${key}?offset=${taken}&max-items=1000`), 200));
  }
  return taken;
}

async function remove(server, key, taken, count) {
  if (taken !== count) throw new Error(`There were ${taken} items of ${count}`);
  // What fits into the answer of its creation is not kept.
  if (key) check(await ask(server, "DELETE", `/runners/${key}`), 204);
  return taken;
}

function itemsIn({ text }) {
  return text.split(marker).length - 1;
}

function check(response, ...statuses) {
  if (statuses.includes(response.status)) return response;
  throw new Error(`The server answered ${response.status}: ${response.text.slice(0, 300)}`);
}
