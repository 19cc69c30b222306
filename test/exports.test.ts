/** What each entry exports, by name: a name that comes, goes or turns from a value into a type shows up here. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { exports: Record<string, unknown> };

/** The names that a declaration file exports. */
function declaredNames(file: string): string[] {
  const text = readFileSync(file, "utf8");
  if (/^export (\*|default)/m.test(text)) throw new Error(`${file} exports what cannot be told by name`);
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(","));
  const listed = lists.map((item) => item.trim().split(" ").at(-1)!).filter((name) => name !== "");
  const declarations = text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:class|const|function|interface|type) (\w+)/gm,
  );
  return [...new Set([...listed, ...[...declarations].map((match) => match[1]!)])];
}

/** The exports of an entry, one a line, each list in alphabetical order. */
async function exportsOf(entry: string): Promise<string> {
  const values = Object.keys(await import(`active-session${entry.slice(1)}`)).sort();
  const names = declaredNames(`${root}dist/${entry === "." ? "index" : entry.slice(2)}.d.ts`);
  expect(names, "every value is declared").toEqual(expect.arrayContaining(values));
  const types = names.filter((name) => !values.includes(name)).sort();
  return [...values, ...types.map((name) => `type ${name}`)].join("\n");
}

describe("the exports of", () => {
  test("active-session", async () => {
    expect(await exportsOf(".")).toMatchInlineSnapshot(`
      "ActiveSessionError
      createActiveSessions
      defineProcessRunner
      defineProperty
      defineSequenceRunner
      type AbortReason
      type ActiveSession
      type ActiveSessionErrorOptions
      type ActiveSessionEvents
      type ActiveSessions
      type ActiveSessionsOptions
      type ActiveSessionsStats
      type CleanupSummary
      type CloseSummary
      type DefinitionOptions
      type ErrorCode
      type FinalStatus
      type Issue
      type LimitOptions
      type LockOptions
      type Logger
      type Measurement
      type Ownership
      type ProcessBody
      type ProcessContext
      type ProcessDefinition
      type ProcessRunner
      type ProcessSink
      type Producer
      type Properties
      type PropertyDefinition
      type ReadOptions
      type RequiredReadOptions
      type Resource
      type Retain
      type Runner
      type RunnerContext
      type RunnerDefinition
      type RunnerId
      type RunnerKind
      type RunnerOptions
      type RunnerProgress
      type RunnerResult
      type RunnerState
      type RunnerStatus
      type SequenceDefinition
      type SequenceRunner
      type SequenceSink
      type SequenceSource
      type SessionGroup
      type SessionLock
      type Source
      type StandardSchema
      type TimeSeries"
    `);
  });

  test("active-session/express", async () => {
    expect(await exportsOf("./express")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveSessionMiddlewareOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/node", async () => {
    expect(await exportsOf("./node")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveRequest
      type ActiveSessionOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/fetch", async () => {
    expect(await exportsOf("./fetch")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveRequest
      type ActiveSessionOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/fastify", async () => {
    expect(await exportsOf("./fastify")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveSessionOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/hono", async () => {
    expect(await exportsOf("./hono")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveSessionEnv
      type ActiveSessionOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/koa", async () => {
    expect(await exportsOf("./koa")).toMatchInlineSnapshot(`
      "activeSession
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      runnerRouter
      type ActiveSessionContext
      type ActiveSessionOptions
      type CookieOptions
      type RotateOptions
      type RunnerRouterOptions
      type Scope"
    `);
  });

  test("active-session/awilix", async () => {
    expect(await exportsOf("./awilix")).toMatchInlineSnapshot(`
      "awilixScopes
      type AwilixOptions
      type AwilixScopes
      type Container
      type ContainerScope
      type FoundService
      type LockedService"
    `);
  });

  test("active-session/client", async () => {
    expect(await exportsOf("./client")).toMatchInlineSnapshot(`
      "ActiveSessionError
      createClient
      type AbortReason
      type AsJson
      type ClientOptions
      type ConnectionState
      type CreateOptions
      type Definitions
      type ErrorCode
      type FollowOptions
      type PageOptions
      type RequestOptions
      type RunnerClient
      type RunnerFollower
      type RunnerPlace
      type RunnerProgress
      type RunnerState
      type RunnerStatus
      type RunnerUpdate"
    `);
  });

  test("active-session/react", async () => {
    expect(await exportsOf("./react")).toMatchInlineSnapshot(`
      "createRunnerHooks
      type CreateTarget
      type RunnerHandle
      type RunnerHooks
      type RunnersHandle
      type UseRunnerOptions"
    `);
  });

  test("active-session/resume", async () => {
    expect(await exportsOf("./resume")).toMatchInlineSnapshot(`
      "forget
      saveAs
      saved"
    `);
  });

  test("active-session/nest", async () => {
    expect(await exportsOf("./nest")).toMatchInlineSnapshot(`
      "ActiveSession
      ActiveSessionModule
      ActiveSessions
      refreshSession
      requestSignal
      resolveIdentity
      rotateSession
      type ActiveSessionModuleAsyncOptions
      type ActiveSessionModuleOptions
      type ActiveSessionPlace
      type ActiveSessionServices
      type ActiveSessionSettings
      type CookieOptions
      type RotateOptions
      type Scope"
    `);
  });

  test("active-session/testing", async () => {
    expect(await exportsOf("./testing")).toMatchInlineSnapshot(`
      "adapterScenarios
      type AdapterApplication
      type AdapterPlan
      type AdapterRoute
      type AdapterScenario
      type AdapterUnderTest"
    `);
  });

  test("the package are all of the above", () => {
    const servers = ["./express", "./node", "./fetch", "./fastify", "./hono", "./koa", "./nest"];
    const entries = [".", ...servers, "./awilix", "./client", "./react", "./resume", "./testing", "./package.json"];
    expect(Object.keys(exports)).toEqual(entries);
  });
});
