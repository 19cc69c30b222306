// What `npm pack` and `npm publish` do first: build from nothing, so that what has left src/ leaves the package, too.
import { rmSync } from "node:fs";
import { prepare } from "./prepare.mjs";

rmSync("dist", { recursive: true, force: true });
prepare();
