// @vitest-environment happy-dom
/** A page takes over what a server has rendered: the first render is the server's, and what there is comes after it. */
import { act, cleanup, render } from "@testing-library/react";
import { StrictMode, Suspense } from "react";
import { renderToString } from "react-dom/server";
import { describe, expect, test, vi } from "vitest";
import { openPage } from "../../test/support/page.js";
import { completed, firstPage, openRunnerServer, piece } from "../../test/support/runner-server.js";
import { createRunnerHooks } from "./hooks.js";

const page = openPage(cleanup);
const settle = () => act(() => page.settle());

/** Renders on a server, and hydrates that; `problems` is what React has had to mend. */
function hydrate(target: string | { readonly create: string }, suspense: boolean) {
  const server = openRunnerServer();
  const { useRunner, useRunners } = createRunnerHooks(server.client);
  function One() {
    const { items, status } = useRunner(target as string, { suspense });
    const { runners } = useRunners({ interval: Number.POSITIVE_INFINITY });
    return <p>{`items ${items.join()} ${status} runners ${runners?.length}`}</p>;
  }
  const all = (
    <StrictMode>
      <Suspense fallback={<p>wait</p>}>
        <One />
      </Suspense>
    </StrictMode>
  );
  const container = document.createElement("div");
  document.body.append(container);
  vi.stubGlobal("document", undefined); // as on a server
  const html = renderToString(all);
  vi.unstubAllGlobals();
  container.innerHTML = html;
  const paragraph = container.querySelector("p");
  const problems: unknown[] = [];
  render(all, { container, hydrate: true, onRecoverableError: (problem) => void problems.push(problem) });
  return { server, container, problems, paragraph };
}

describe.each([false, true])("with suspense: %s", (suspense) => {
  test.each(["1", { create: "search" }])("%j", async (target) => {
    const { server, container, problems, paragraph } = hydrate(target, suspense);
    await settle();
    expect(paragraph?.textContent).toBe("items  undefined runners undefined");
    if (typeof target === "string") server.find("GET /1").send(piece(["a"], 1, completed));
    else server.find("POST /search").respond(firstPage(["a"], { closed: true, status: "completed" }), 201);
    await settle();
    await settle();
    server.find("GET ").respond([]);
    await settle();
    expect(container.textContent).toBe("items a completed runners 0");
    expect(container.querySelector("p")).toBe(paragraph);
    expect(problems).toEqual([]);
  });
});
