/** What the page of files may create by itself, over HTTP, without a route of its own. */
import { defineSequenceRunner } from "active-session";
import { z } from "zod";
import { type FoundFile, filesIn } from "./files.js";

/** Makes the definitions for a demo that offers these folders, each name with its path. */
export function definitionsFor(folders: Readonly<Record<string, string>>, list: typeof filesIn = filesIn) {
  const names = Object.keys(folders) as [string, ...string[]];
  const files = defineSequenceRunner({
    name: "files",
    input: z.object({ folder: z.enum(names) }),
    options: { aheadLimit: 2000 },
    run: ({ folder }, { signal }): AsyncIterable<FoundFile> => list(folders[folder]!, signal),
  });
  return [files] as const;
}

/** For the page, which needs to know no more than what can be created, from what, and what that gives. */
export type Definitions = ReturnType<typeof definitionsFor>;
