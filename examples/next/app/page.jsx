"use client";
import { createClient } from "active-session/client";
import { createRunnerHooks } from "active-session/react";

const { useRunner } = createRunnerHooks(createClient("/runners"));

export default function Page() {
  const { items, start, isRunning } = useRunner({ create: "count", start: "manual" });
  return (
    <main>
      <button type="button" onClick={() => start()} disabled={isRunning}>
        Count
      </button>
      <ol>
        {items.map((item) => (
          <li key={item}>{item}</li>
        ))}
      </ol>
    </main>
  );
}
