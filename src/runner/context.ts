import type { LazySignal } from "./lazy-signal.js";
import type { RunnerContext } from "./producer.js";
import type { Runner } from "./runner.js";
import type { RunnerOwner } from "./runner-owner.js";

/** Makes the context of a runner's work. Its getters create the id, the signal and the services only when the work asks for them. */
export function contextOf(runner: Pick<Runner, "id">, owner: RunnerOwner, work: LazySignal): RunnerContext {
  return {
    get id() {
      return runner.id;
    },
    get signal() {
      return work.signal;
    },
    session: owner.session,
    get services() {
      return owner.services;
    },
  };
}
