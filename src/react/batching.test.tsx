// @vitest-environment happy-dom
/** Many items a second: how often a component is rendered, that nothing is lost, and what happens when the page cannot keep up. */
import { cleanup, render } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { turns } from "../../test/support/control.js";
import { openPage } from "../../test/support/page.js";
import { completed, openRunnerServer, piece } from "../../test/support/runner-server.js";
import { createRunnerHooks, type UseRunnerOptions } from "./hooks.js";

const page = openPage(cleanup);

// Within `act` React renders when that ends; here it is to render when it wants to.
const environment = globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean };
beforeEach(() => {
  environment.IS_REACT_ACT_ENVIRONMENT = false;
});
afterEach(() => {
  environment.IS_REACT_ACT_ENVIRONMENT = true;
});

/** A component that follows a runner, and counts how often it is rendered. */
async function open(options: UseRunnerOptions = {}) {
  const server = openRunnerServer();
  const { useRunner } = createRunnerHooks(server.client);
  const seen: (readonly number[])[] = [];
  function One() {
    const { items } = useRunner<number>("1", options);
    seen.push(items);
    return null;
  }
  const { unmount } = render(<One />);
  await turns();
  const following = server.find("GET /1");
  let sent = 0;
  return {
    ...{ server, following, unmount, seen },
    get items() {
      return seen.at(-1)!;
    },
    /** Sends so many items, in pieces of so many. */
    async send(count: number, each = 100) {
      for (let left = count; left > 0; left -= each) {
        const items = Array.from({ length: Math.min(each, left) }, () => sent++);
        following.send(piece(items, sent));
      }
      await turns(20);
    },
  };
}

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

test("10,000 items a second are rendered once a frame, all of them in order", async () => {
  const it = await open();
  await it.send(1);
  page.frame();
  await turns();
  const before = it.seen.length;
  for (let frame = 0; frame < 60; frame++) {
    await it.send(167, 10);
    await vi.advanceTimersByTimeAsync(16);
    expect(it.seen, "nothing is rendered between two frames").toHaveLength(before + frame);
    page.frame();
    await turns();
    expect(it.seen).toHaveLength(before + frame + 1);
  }
  expect(it.items).toEqual(upTo(1 + 60 * 167));
});

test("a frame is asked for only when something has come, and only once", async () => {
  const it = await open();
  expect([page.waiting, vi.getTimerCount() > 0]).toEqual([0, true]); // the timer is the connection's
  await it.send(10, 1);
  expect(page.waiting).toBe(1);
  page.frame();
  await turns();
  const renders = it.seen.length;
  expect(page.waiting).toBe(0);
  page.frame();
  await vi.advanceTimersByTimeAsync(1000);
  await turns();
  expect(it.seen).toHaveLength(renders);
});

test("a page that shows no frames is told every 250 ms, and the frame that comes at last finds nothing to do", async () => {
  const it = await open();
  const before = it.seen.length;
  await it.send(5);
  await vi.advanceTimersByTimeAsync(249);
  expect(it.seen).toHaveLength(before);
  await vi.advanceTimersByTimeAsync(1);
  await turns();
  expect(it.items).toEqual(upTo(5));
  expect(page.waiting).toBe(0);
  await it.send(5);
  await vi.advanceTimersByTimeAsync(250);
  await turns();
  expect(it.items).toEqual(upTo(10));
  expect(it.seen).toHaveLength(before + 2);
});

test("where frames are unknown, the timer does it alone", async () => {
  vi.stubGlobal("requestAnimationFrame", undefined);
  vi.stubGlobal("cancelAnimationFrame", undefined);
  const it = await open();
  await it.send(5);
  await vi.advanceTimersByTimeAsync(250);
  await turns();
  expect(it.items).toEqual(upTo(5));
  it.unmount();
  await vi.advanceTimersByTimeAsync(0);
});

test("when 10,000 items wait to be shown no more are taken, until they have been", async () => {
  const places: number[] = [];
  const it = await open({ onPlace: ({ offset }) => places.push(offset) });
  await it.send(12_000, 100);
  expect(it.items).toEqual([]);
  expect(places.at(-1), "the server is not told of more than the page has").toBeLessThanOrEqual(10_000);
  page.frame();
  await turns(20);
  expect(it.items).toEqual(upTo(10_000));
  page.frame();
  await turns(20);
  expect(it.items).toEqual(upTo(12_000));
});

test("a component that goes while items wait for a frame lets go of the connection", async () => {
  const it = await open();
  await it.send(12_000);
  it.unmount();
  await vi.advanceTimersByTimeAsync(0);
  await turns(20);
  expect(it.following.signal?.aborted).toBe(true);
  expect([vi.getTimerCount(), page.waiting]).toEqual([0, 0]);
});

test("the end is shown with the last items, not before them", async () => {
  const it = await open();
  await it.send(150);
  it.following.send(piece([150], 151, completed));
  await turns(20);
  page.frame();
  await turns();
  expect(it.seen.filter((items) => items.length > 0)).toEqual([upTo(151)]);
});
