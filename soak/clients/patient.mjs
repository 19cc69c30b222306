// Creates a runner and takes everything until its end.

export const share = 6;

const work = [
  ["fast", { count: 300 }],
  ["fast", { count: 5 }],
  ["paced", { count: 25, every: 700 }],
  ["paced", { count: 12, every: 1500 }],
  ["bursts", { count: 1500, every: 100 }],
  ["failing", { count: 60 }],
  ["failing", { count: 3 }],
  ["big", { count: 6 }],
];

export async function turn(visitor) {
  const { follower, ledger } = await visitor.create(...visitor.pick(work));
  await ledger.follow(follower);
}
