// What every measured child does without a server: it answers its parent's questions, until the parent goes.

/**
 * @param {Record<string, () => unknown>} questions
 * @param {{ collect?: boolean }} [options] whether garbage is collected before each answer; default: true
 */
export function answerAll(questions, { collect = true } = {}) {
  process.on("message", async (question) => {
    if (collect) globalThis.gc?.();
    process.send({ answer: await questions[question]() });
  });
  process.once("disconnect", () => process.exit());
  process.send({});
}

/** How often something is done in a second of processor time, which is less disturbed by other processes than time itself. */
export async function ratePerCpuSecond(count, act) {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return count / ((user + system) / 1e6);
}
