import { defineProcessRunner } from "active-session";

/** Takes half a second for each step, and says how far it is. */
export const slow = defineProcessRunner({
  name: "slow",
  run: async (steps, { report, signal }) => {
    for (let step = 1; step <= steps && !signal.aborted; step++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      report(`${step} of ${steps}`);
    }
    return "done";
  },
});
