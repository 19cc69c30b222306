/** Finds a tab's work again after a reload. */
export { type SavedRunner, savedRunner } from "./client/saved-runner.js";
