// A page that is reloaded has nothing any more: it reads everything again, from the beginning.

export const share = 3;

export async function turn(visitor) {
  const { key, ledger } = await visitor.createQuietly("kept", { count: 80, every: 200 });
  for (let reloads = visitor.between(1, 4); reloads > 0; reloads--) {
    ledger.next = 0;
    await ledger.follow(visitor.follow(key), visitor.between(1, 70));
    await visitor.pause(visitor.random(1000));
  }
  ledger.next = 0;
  await ledger.follow(visitor.follow(key));
}
