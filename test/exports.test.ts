/** The exports of each entry, by name: a name that is added, removed, or turned from a value into a type shows up here. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { exports: Record<string, unknown> };

/** The names that a declaration file exports, those of `export *` included. */
function declaredNames(file: string): string[] {
  const text = readFileSync(file, "utf8");
  if (/^export default/m.test(text)) throw new Error(`${file} has a default export`);
  const others = [...text.matchAll(/^export \* from "([^"]+)\.js";/gm)].flatMap(([, path]) =>
    declaredNames(join(dirname(file), `${path}.d.ts`)),
  );
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(","));
  const listed = lists.map((item) => item.trim().split(" ").at(-1)!).filter((name) => name !== "");
  const declarations = text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:class|const|function|interface|type) (\w+)/gm,
  );
  return [...new Set([...others, ...listed, ...[...declarations].map((match) => match[1]!)])];
}

/** The exports of an entry: values, then types, each in alphabetical order. */
async function exportsOf(entry: string): Promise<string[]> {
  const values = Object.keys(await import(`active-session${entry.slice(1)}`)).sort();
  const names = declaredNames(`${root}dist/${entry === "." ? "index" : entry.slice(2)}.d.ts`);
  expect(names, "every value is declared").toEqual(expect.arrayContaining(values));
  return [
    ...values,
    ...names
      .filter((name) => !values.includes(name))
      .sort()
      .map((name) => `type ${name}`),
  ];
}

const ofAllAdapters = [
  ...["activeSession", "refreshSession", "requestSignal", "resolveIdentity", "rotateSession", "runnerRouter"],
  ...["type CookieOptions", "type RotateOptions", "type RunnerRouterOptions", "type Scope"],
];

const expected: Record<string, readonly string[]> = {
  ".": [
    "ActiveSessionError",
    "createActiveSessions",
    "defineProcessRunner",
    "defineProperty",
    "defineSequenceRunner",
    "type AbortReason",
    "type ActiveSession",
    "type ActiveSessionErrorOptions",
    "type ActiveSessionEvents",
    "type ActiveSessions",
    "type ActiveSessionsOptions",
    "type ActiveSessionsStats",
    "type CleanupSummary",
    "type CloseSummary",
    "type DefinitionOptions",
    "type DrainOptions",
    "type ErrorCode",
    "type FinalStatus",
    "type Health",
    "type Issue",
    "type LimitOptions",
    "type LockOptions",
    "type Logger",
    "type Measurement",
    "type Ownership",
    "type ProcessBody",
    "type ProcessContext",
    "type ProcessDefinition",
    "type ProcessRunner",
    "type ProcessSink",
    "type Producer",
    "type Properties",
    "type PropertyDefinition",
    "type ReadOptions",
    "type RequiredReadOptions",
    "type Resource",
    "type Retain",
    "type Runner",
    "type RunnerContext",
    "type RunnerDefinition",
    "type RunnerId",
    "type RunnerKind",
    "type RunnerOptions",
    "type RunnerPhase",
    "type RunnerProgress",
    "type RunnerResult",
    "type RunnerState",
    "type RunnerStatus",
    "type SequenceContext",
    "type SequenceDefinition",
    "type SequenceRunner",
    "type SequenceSink",
    "type SequenceSource",
    "type SessionGroup",
    "type SessionLock",
    "type Source",
    "type StandardSchema",
    "type TimeSeries",
  ],
  "./express": [...ofAllAdapters, "type ActiveSessionMiddlewareOptions"],
  "./node": [...ofAllAdapters, "type ActiveRequest", "type ActiveSessionOptions"],
  "./fetch": [...ofAllAdapters, "type ActiveRequest", "type ActiveSessionOptions"],
  "./fastify": [...ofAllAdapters, "type ActiveSessionOptions"],
  "./hono": [...ofAllAdapters, "type ActiveSessionEnv", "type ActiveSessionOptions"],
  "./koa": [...ofAllAdapters, "type ActiveSessionContext", "type ActiveSessionOptions"],
  "./nest": [
    "ActiveSession",
    "ActiveSessionModule",
    "ActiveSessions",
    "refreshSession",
    "requestSignal",
    "resolveIdentity",
    "rotateSession",
    "type ActiveSessionModuleAsyncOptions",
    "type ActiveSessionModuleOptions",
    "type ActiveSessionPlace",
    "type ActiveSessionServices",
    "type ActiveSessionSettings",
    "type CookieOptions",
    "type RotateOptions",
    "type Scope",
  ],
  "./awilix": [
    "awilixScopes",
    "type AwilixOptions",
    "type AwilixScopes",
    "type Container",
    "type ContainerScope",
    "type FoundService",
    "type LockedService",
  ],
  "./client": [
    "ActiveSessionError",
    "createClient",
    "type AbortReason",
    "type AsJson",
    "type ClientOptions",
    "type ConnectionState",
    "type CreateOptions",
    "type Definitions",
    "type ErrorCode",
    "type FollowOptions",
    "type ListOptions",
    "type PageOptions",
    "type RequestOptions",
    "type RunnerClient",
    "type RunnerFollower",
    "type RunnerPhase",
    "type RunnerPlace",
    "type RunnerProgress",
    "type RunnerState",
    "type RunnerStatus",
    "type RunnerUpdate",
  ],
  "./react": [
    "createRunnerHooks",
    "type CreateTarget",
    "type RunnerHandle",
    "type RunnerHooks",
    "type RunnersHandle",
    "type UseRunnerOptions",
  ],
  "./resume": ["savedRunner", "type SavedRunner"],
  "./testing": [
    "adapterScenarios",
    "type AdapterApplication",
    "type AdapterPlan",
    "type AdapterRoute",
    "type AdapterScenario",
    "type AdapterUnderTest",
  ],
};

describe("the exports of", () => {
  test("the package are the entries listed here", () => {
    expect(
      Object.keys(exports)
        .filter((key) => key !== "./package.json")
        .sort(),
    ).toEqual(Object.keys(expected).sort());
  });

  test.each(Object.entries(expected))("%s", async (entry, names) => {
    expect(await exportsOf(entry)).toEqual([...names].sort(byKind));
  });
});

/** Values before types, each in alphabetical order. */
function byKind(a: string, b: string): number {
  const isType = (name: string) => Number(name.startsWith("type "));
  return isType(a) - isType(b) || (a < b ? -1 : 1);
}
