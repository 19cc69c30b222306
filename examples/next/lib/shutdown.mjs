import { sessions } from "./sessions.mjs";

process.once("SIGTERM", () => sessions.close()); // ends all work, and with it the event streams, for which Next waits
