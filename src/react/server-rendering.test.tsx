/** On a server, where no page and no window are: components are rendered as they are before anything is known, and ask for nothing. */
import { Writable } from "node:stream";
import { StrictMode, Suspense } from "react";
import { renderToPipeableStream, renderToString } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { turns } from "../../test/support/control.js";
import { openRunnerServer } from "../../test/support/runner-server.js";
import { createRunnerHooks } from "./hooks.js";

const targets = [
  ["a creation", { create: "search", input: { word: "a" } }],
  ["a creation by hand", { create: "search", start: "manual" }],
  ["a key", "1"],
  ["no key", null],
] as const;

function renderable(suspense: boolean) {
  const server = openRunnerServer();
  const { useRunner, useRunners } = createRunnerHooks(server.client);
  function One({ target }: { readonly target: (typeof targets)[number][1] }) {
    return <p>{JSON.stringify(useRunner(target as string, { suspense }))}</p>;
  }
  function List() {
    return <p>{JSON.stringify(useRunners())}</p>;
  }
  const page = (
    <StrictMode>
      <Suspense fallback="wait">
        {targets.map(([name, target]) => (
          <One key={name} target={target} />
        ))}
        <List />
      </Suspense>
    </StrictMode>
  );
  return { server, page };
}

const empty = [
  "<p>{&quot;items&quot;:[],&quot;paused&quot;:false,&quot;connection&quot;:&quot;closed&quot;,&quot;isRunning&quot;:false}</p>",
  "<p>{}</p>",
];

describe.each([false, true])("with suspense: %s", (suspense) => {
  test("a page rendered as a text is empty, and nothing is asked for", async () => {
    const { server, page } = renderable(suspense);
    const html = renderToString(page);
    expect(html.match(/<p>.*?<\/p>/g)).toEqual([...targets.map(() => empty[0]), empty[1]]);
    expect(html).not.toContain("wait");
    await turns();
    expect(server.asked).toEqual([]);
  });

  test("a page rendered as a stream is empty, and nothing is asked for", async () => {
    const { server, page } = renderable(suspense);
    const problems: unknown[] = [];
    const html = await new Promise<string>((resolve, reject) => {
      let text = "";
      const sink = new Writable({
        write: (chunk, _, next) => {
          text += chunk;
          next();
        },
        final: (next) => {
          resolve(text);
          next();
        },
      });
      const { pipe } = renderToPipeableStream(page, {
        onAllReady: () => pipe(sink),
        onShellError: reject,
        onError: (error) => void problems.push(error),
      });
    });
    expect(html.match(/<p>.*?<\/p>/g)).toEqual([...targets.map(() => empty[0]), empty[1]]);
    await turns();
    expect([server.asked, problems]).toEqual([[], []]);
  });
});
