// Leaves in the middle, comes back a little later, and goes on behind what it has got.

export const share = 4;

const work = [
  ["paced", { count: 60, every: 250 }],
  ["bursts", { count: 2500, every: 100 }],
  ["big", { count: 12 }],
];

export async function turn(visitor) {
  const { follower, ledger, input } = await visitor.create(...visitor.pick(work));
  let following = follower;
  const visits = visitor.between(1, 5);
  for (let visit = 1; visit <= visits; visit++) {
    if (await ledger.follow(following, (input.count * visit) / (visits + 1))) return;
    await visitor.pause(visitor.random(2000));
    const live = visitor.pick(["sse", "sse", "long-poll"]);
    following = visitor.follow(follower.key, { offset: ledger.next, live });
  }
  await ledger.follow(following);
}
