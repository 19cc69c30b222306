// A list that fills while 10,000 items arrive, by one of three hooks, and what it costs the page: how often the component is rendered,
// and how long its frames are.
import {
  QueryClient,
  QueryClientProvider,
  experimental_streamedQuery as streamedQuery,
  useQuery,
} from "@tanstack/react-query";
import { createClient } from "active-session/client";
import { createRunnerHooks } from "active-session/react";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const wanted = 10_000;
const shown = 20;
const { useRunner } = createRunnerHooks(createClient("/runners"));
const input = { count: wanted };

const hooks = {
  ours: () => useRunner({ create: "count", input }).items,
  streamed: () => useQuery({ queryKey: ["items"], queryFn: streamedQuery({ streamFn: () => arriving() }) }).data ?? [],
  hand() {
    const [items, setItems] = useState([]);
    useEffect(() => {
      let isOver = false;
      void (async () => {
        for await (const item of arriving()) {
          if (isOver) return;
          setItems((before) => [...before, item]);
        }
      })();
      return () => {
        isOver = true;
      };
    }, []);
    return items;
  },
};

/** The items of an event stream, one by one. */
async function* arriving() {
  const response = await fetch(`/events?count=${wanted}`);
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part.slice("data: ".length));
  }
}

let renders = 0;
const frames = [];
const use = hooks[new URLSearchParams(location.search).get("way")];

function List() {
  const items = use();
  renders++;
  useEffect(() => {
    if (items.length === wanted) document.title = "done";
  });
  return (
    <ul data-count={items.length}>
      {items.slice(-shown).map(({ n, text }) => (
        <li key={n}>{text}</li>
      ))}
    </ul>
  );
}

let before = performance.now();
requestAnimationFrame(function measure(now) {
  frames.push(now - before);
  before = now;
  requestAnimationFrame(measure);
});

globalThis.result = () => {
  const sorted = frames.slice(1).sort((a, b) => a - b);
  return { renders: renders / frames.length, frame: sorted[Math.floor(sorted.length * 0.95)], time: performance.now() };
};
createRoot(document.body).render(
  <QueryClientProvider client={new QueryClient()}>
    <List />
  </QueryClientProvider>,
);
