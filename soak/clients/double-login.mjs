// Clicks twice on the button that logs it in: one answer sets a new cookie, which reaches the work; the former one does not any more.
import { Ledger } from "../lib/ledger.mjs";
import { check } from "../lib/wrong.mjs";

export const share = 2;

export async function turn(visitor) {
  const { key, input } = await visitor.createQuietly("kept", { count: 60, every: 50 });
  const opened = await visitor.open(`${key}?live=sse&offset=0&acks=true`);
  check(opened.statusCode === 200, `before the login: ${opened.statusCode}`);
  const isOver = new Promise((resolve) => opened.resume().once("close", resolve));
  const both = [visitor.tab(), visitor.tab()];
  const click = `${process.pid}-${visitor.random(2 ** 31)}`;
  await Promise.all(both.map((tab) => tab.ask(204, `/login?click=${click}`, { method: "POST" })));
  const loggedIn = both.filter(({ cookie }) => cookie !== visitor.cookie);
  check(loggedIn.length === 1, `${loggedIn.length} of two logins at once have set a new cookie`);
  await Promise.all([isOver, readAll(loggedIn[0], key, input)]);
  for (const [method, rest] of [
    ["GET", "?offset=0"],
    ["HEAD", ""],
    ["POST", "/abort"],
    ["DELETE", ""],
  ])
    await visitor.ask([404, 410], key + rest, { method });
  check((await visitor.client.list()).length === 0, "the former cookie still has runners");
  visitor.forget();
}

async function readAll(tab, key, input) {
  const list = await tab.client.list();
  const isOwn = list.length === 1 && list[0].key === key;
  check(isOwn, `after the login there are ${list.length} runners, and only the own one may be`);
  await new Ledger("kept", input).follow(tab.follow(key, { live: tab.pick(["sse", "long-poll"]) }));
}
