// What every measured child does without a server: it answers its parent's questions, until the parent goes.

/** @param {Record<string, () => unknown>} questions */
export function answerAll(questions) {
  process.on("message", async (question) => {
    globalThis.gc?.();
    process.send({ answer: await questions[question]() });
  });
  process.once("disconnect", () => process.exit());
  process.send({});
}

/** How often in a second of processor time something is done, which the rest of the machine has less part in than in time itself. */
export async function ratePerCpuSecond(count, act) {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return count / ((user + system) / 1e6);
}
