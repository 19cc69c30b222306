/** The page of files, made of React components: the hooks create, follow and stop. */
import { createClient } from "active-session/client";
import { createRunnerHooks } from "active-session/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import type { Definitions } from "../definitions.js";

const client = createClient<Definitions>("/runners");
const { useRunner, useRunners } = createRunnerHooks(client);

interface File {
  readonly name: string;
  readonly size: number;
}

const folders = { packages: "Installed packages", library: "This library", tests: "Its tests" };
const shown = 10;

function Page() {
  const [folder, setFolder] = useState("packages");
  const files = useRunner({ create: "files", input: { folder }, start: "manual" });
  const { items, status, error, isRunning, start, stop } = files;
  return (
    <>
      <form
        className="bar"
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
      >
        <label htmlFor="folder">Folder</label>
        <select id="folder" value={folder} onChange={({ target }) => setFolder(target.value)}>
          {Object.entries(folders).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
        <button type="submit" disabled={isRunning}>
          List
        </button>
        <button type="button" disabled={!isRunning} onClick={stop}>
          Stop
        </button>
      </form>
      <p id="status" role="status" data-state={isRunning ? "running" : (status ?? "idle")}>
        {error ? error.message : summary(items, status, isRunning)}
      </p>
      <ol className="list" aria-label="Largest files">
        {largest(items).map(({ name, size }) => (
          <li key={name}>
            {name} <small>{formatted(size)}</small>
          </li>
        ))}
      </ol>
      <Runners />
    </>
  );
}

/** Everything that this browser has running on the server, from all pages. */
function Runners() {
  const { runners = [], refresh } = useRunners({ interval: 1000 });
  const running = runners.filter(({ isBackgroundCompleted }) => !isBackgroundCompleted);
  return (
    <section aria-label="Running">
      <h2>{running.length === 0 ? "Nothing of yours is running." : `${running.length} of yours running`}</h2>
      <ul className="list">
        {running.map(({ key, name = "a runner", progress }) => (
          <li key={key}>
            {name}, {progress.current.toLocaleString("en")} so far{" "}
            <button
              type="button"
              onClick={() =>
                void client
                  .abort(key)
                  .catch(() => undefined)
                  .then(refresh)
              }
            >
              Stop
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function summary(items: readonly File[], status: string | undefined, isRunning: boolean): string {
  if (items.length === 0) return isRunning ? "Starting…" : "Choose a folder to begin.";
  const total = items.reduce((sum, { size }) => sum + size, 0);
  const found = `${items.length.toLocaleString("en")} files, ${formatted(total)}`;
  if (isRunning) return `Listing… ${found} so far.`;
  return status === "completed" ? `All listed: ${found}.` : `Stopped: ${found}.`;
}

/** The largest first. */
function largest(items: readonly File[]): File[] {
  const top: File[] = [];
  for (const file of items) {
    if (top.length === shown && file.size <= top[shown - 1]!.size) continue;
    const at = top.findIndex(({ size }) => size < file.size);
    top.splice(at < 0 ? top.length : at, 0, file);
    top.length = Math.min(top.length, shown);
  }
  return top;
}

function formatted(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

createRoot(document.querySelector("main")!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
