// The names of all tests, for the checks that tie them to the numbers of a document.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Each test as its file and its names, those of the `describe`s around it first. */
export function allTests() {
  return ["src", "test", "examples"].flatMap((folder) => testFiles(folder)).flatMap(testsIn);
}

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

/**
 * The tests of a file, found by their names: a text, then a function, in a call of `describe`, `test` or `it`, or in the second
 * call of their `each`. What stands further to the right than a `describe` before it stands within it; the formatter sees to that.
 */
function testsIn(file) {
  const text = readFileSync(file, "utf8");
  const opening =
    /(?:\b(describe|test|it)((?:\.\w+)*)(?:<[^()]*>)?|\))\(\s*(["'`])((?:\\.|(?!\3)[^\\])*)\3,\s*(?:async\b|function\b|\()/g;
  const around = [];
  const found = [];
  for (const match of text.matchAll(opening)) {
    const [, plain, modifiers = "", , name] = match;
    if (isSkipped(modifiers)) continue;
    const before = text.slice(0, match.index);
    const indent = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))[0].length;
    while (around.length > 0 && around.at(-1).indent >= indent) around.pop();
    const call = plain ?? callBefore(before, indent);
    if (call === "describe") around.push({ indent, name });
    else if (call) found.push({ file, names: [...around.map((outer) => outer.name), name] });
  }
  return found;
}

/** Whose second call it is, as that of `each` or `skipIf`: the last call before it that begins a line as far to the left. */
function callBefore(before, indent) {
  const begin = new RegExp(`^ {${indent}}(describe|test|it)((?:\\.\\w+)+)`);
  const line = before.split("\n").findLast((candidate) => begin.test(candidate)) ?? "";
  const [, call, modifiers] = begin.exec(line) ?? [];
  return isSkipped(modifiers) ? undefined : call;
}

function isSkipped(modifiers) {
  return /\.(?:skip|todo)\b/.test(modifiers);
}
