/** Small tools for the pages. */

/** The page's element with this id. */
export function element<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${id}`);
}

/** A new element with its text, and a class if it has one. */
export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  text = "",
  className = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/**
 * Asks before something is ended.
 * @returns true if the user has agreed
 */
export function ask(question: string, yes: string, no: string): Promise<boolean> {
  const dialog = make("dialog");
  const form = make("form");
  form.method = "dialog";
  const [agree, refuse] = [make("button", yes), make("button", no)];
  agree.value = "yes";
  form.append(agree, refuse);
  dialog.append(make("p", question), form);
  document.body.append(dialog);
  dialog.showModal();
  refuse.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/** A number with its thing: `1 match`, `1,234 matches`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** An amount of bytes in a unit that suits it. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const step = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}
