/** What pages may create by themselves, over HTTP, without a route of its own. */
import { defineProcessRunner, defineSequenceRunner } from "active-session";
import { z } from "zod";
import type { FoundFile, filesIn } from "./files.js";
import type { overview, RunnerRow } from "./overview.js";

/** A session and what is in it. */
export interface Overview {
  /** Grows with each session that a user has had. */
  readonly generation: number;
  readonly rows: readonly RunnerRow[];
}

/** Makes the definitions for a demo that offers these folders, each name with its path. */
export function definitionsFor(
  folders: Readonly<Record<string, string>>,
  work: { readonly filesIn: typeof filesIn; readonly overview: typeof overview },
) {
  const names = Object.keys(folders) as [string, ...string[]];
  const files = defineSequenceRunner({
    name: "files",
    input: z.object({ folder: z.enum(names) }),
    options: { aheadLimit: 2000, retain: "all" }, // a reload shows everything again
    run: ({ folder }, { signal }): AsyncIterable<FoundFile> => work.filesIn(folders[folder]!, signal),
  });
  const session = defineProcessRunner({
    name: "overview",
    input: z.undefined(),
    // A page that was left needs it no longer, nor the numbers of that time: one that comes back begins again.
    options: { idleTimeout: 10_000, finishedTimeout: 1 },
    run: async (_input, { report, session, signal }): Promise<Overview> => {
      const { generation } = session;
      const tell = (rows: RunnerRow[]) => report({ generation, rows });
      return { generation, rows: await work.overview(session, tell, signal) };
    },
  });
  return [files, session] as const;
}

/** For the pages, which need to know no more than what can be created, from what, and what that gives. */
export type Definitions = ReturnType<typeof definitionsFor>;
