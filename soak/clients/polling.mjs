// Asks for pages, with a plain client: it reads again what it has read, waits for more than there is, and tells what it has got.

export const share = 3;

export async function turn(visitor) {
  const { key, ledger } = await visitor.createQuietly("bursts", { count: 400, every: 200 });
  for (let [offset, closed] = [0, false]; !closed; ) {
    const read = { offset, maxItems: visitor.between(1, 90), signal: visitor.signal };
    if (Math.random() < 0.6) Object.assign(read, { minItems: visitor.between(1, 50), timeout: visitor.random(3) });
    const page = await visitor.client.read(key, read);
    ledger.takeFrom(offset, page.items, page.position);
    closed = page.closed;
    if (closed) ledger.end(page.status);
    if (Math.random() < 0.8) offset = page.position;
    else closed = false; // as if it had not come
    if (Math.random() < 0.2) await visitor.ask(204, `${key}/ack?offset=${offset}`, { method: "POST" });
    await visitor.pause(visitor.random(200));
  }
}
