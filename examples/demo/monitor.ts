/** Measures this very process. */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** One measurement. */
export interface Load {
  /** CPU time used since the measurement before, as a share of the time that has passed, %; over 100 with several threads. */
  readonly cpu: number;
  /** Resident memory, MB. */
  readonly memory: number;
  /** How late the event loop was since the measurement before: the longest of all delays, ms. */
  readonly delay: number;
}

const resolution = 10;

/** Makes a gauge that measures from now on, and what stops it. */
export function createGauge(): { gauge: () => Load; close: () => void } {
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  let used = process.cpuUsage();
  let at = performance.now();
  const gauge = () => {
    const { user, system } = process.cpuUsage(used);
    const elapsed = performance.now() - at;
    used = process.cpuUsage();
    at = performance.now();
    const late = delays.count > 0 ? Math.max(0, delays.max / 1e6 - resolution) : 0;
    delays.reset();
    return {
      cpu: elapsed > 0 ? round((user + system) / 10 / elapsed) : 0,
      memory: round(process.memoryUsage.rss() / 1e6),
      delay: round(late),
    };
  };
  return { gauge, close: () => void delays.disable() };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
