/** The page of files, made of React components: the hooks create, follow and stop. */
import { createClient } from "active-session/client";
import { createRunnerHooks } from "active-session/react";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import type { Definitions } from "../definitions.js";
import { count } from "./dom.js";
import { explain, isOver, stateOf, unreachable } from "./words.js";

const client = createClient<Definitions>("/runners");
const { useRunner } = createRunnerHooks(client);

interface File {
  readonly name: string;
  readonly size: number;
}

const folders = { packages: "Installed packages", library: "This library", tests: "Its tests" };
const shown = 10;

function Page() {
  const [folder, setFolder] = useState("packages");
  const [key, setKey] = useState(location.hash.slice(1));
  const named = useRunner<File>(key, { offset: "earliest" }); // by the link to it
  const own = useRunner({ create: "files", input: { folder }, start: "manual", resume: "files" });
  const { items, phase, error, connection, isRunning, stop } = key ? named : own;
  useEffect(() => {
    const look = () => setKey(location.hash.slice(1));
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return (
    <>
      <form
        className="bar"
        onSubmit={(event) => {
          event.preventDefault();
          history.replaceState(null, "", location.pathname);
          setKey("");
          own.start();
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
      <p id="status" role="status" data-state={error ? "problem" : isRunning ? "running" : (phase ?? "idle")}>
        {error ? explain(error, "list") : summary(items, phase)}
      </p>
      {(connection === "retrying" || connection === "offline") && <p role="alert">{unreachable(connection)}</p>}
      <ol className="list" aria-label="Largest files">
        {largest(items).map(({ name, size }) => (
          <li key={name} className="line">
            <span className="name">{name}</span> <small>{formatted(size)}</small>
          </li>
        ))}
      </ol>
      <Running />
    </>
  );
}

/** How long to wait before another overview is created when one has ended, ms. */
const again = 1000;

/** What the user has running on the server, from all pages and tabs. */
function Running() {
  const { latest, isRunning, start } = useRunner({ create: "overview" }, { keep: 1, onUnmount: "stop" });
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (isRunning) return;
    const timer = setTimeout(() => start(), again);
    return () => clearTimeout(timer);
  }, [isRunning, start]);
  const running = (latest?.rows ?? []).filter(({ state }) => !isOver(state));
  const abort = (key: string) =>
    client.abort(key).then(
      () => setProblem(""),
      (error) => setProblem(`It could not be stopped. ${explain(error, "work")}`),
    );
  return (
    <section aria-label="Running">
      <h2>{running.length === 0 ? "Nothing of yours is running." : "What you have running"}</h2>
      {problem && <p role="alert">{problem}</p>}
      <ul className="list">
        {running.map((row) => (
          <li key={row.key} className="line">
            <a className="name" href={`${row.page}#${row.key}`} title={row.title}>
              {row.title}
            </a>{" "}
            <small>
              {stateOf(row)}, {row.current.toLocaleString("en")}
            </small>{" "}
            <button type="button" aria-label={`Stop ${row.title}`} onClick={() => void abort(row.key)}>
              Stop
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function summary(items: readonly File[], phase: string | undefined): string {
  const total = items.reduce((sum, { size }) => sum + size, 0);
  const found = `${count(items.length, "file")}, ${formatted(total)}`;
  if (phase === undefined) return "Choose a folder to begin.";
  if (phase === "starting") return "Starting…";
  if (phase === "running") return `Listing… ${found} so far.`;
  return phase === "completed" ? `All listed: ${found}.` : `Stopped: ${found}.`;
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
