// What server, clients and judge have agreed on.

/** Both places read the same cookie: signed by two secrets, each would replace that of the other. */
const secret = "what the soak signs its cookies with";

/** Where well-behaved clients are served; its limits are theirs, and nothing that they use may be taken from them. */
export const roomy = {
  path: "/runners",
  options: {
    secret,
    idleTimeout: 30_000,
    runnerIdleTimeout: 20_000,
    finishedTimeout: 20_000,
    maxLifetime: 180_000,
    limits: {
      ...{ sessions: 50_000, runners: 50_000, openReads: 50_000, retainedItems: 20_000_000 },
      ...{ sessionsPerClient: 2, runnersPerClient: 10, openReadsPerClient: 6 },
      whenReached: "refuse",
    },
  },
};

/** Where there is never enough for all: what is idle makes room, and sessions end of age. */
export const tight = {
  path: "/tight",
  options: {
    secret,
    idleTimeout: 3_000,
    runnerIdleTimeout: 2_000,
    finishedTimeout: 2_000,
    maxLifetime: 8_000,
    limits: {
      ...{ sessions: 60, runners: 100, openReads: 40, retainedItems: 20_000 },
      ...{ sessionsPerClient: 1, runnersPerClient: 6, openReadsPerClient: 4 },
      whenReached: "end-idle",
    },
  },
};

/** Where no client ever comes back: what such clients can make the process hold is bounded, whatever else is not. */
export const crowded = {
  path: "/crowded",
  options: {
    secret,
    idleTimeout: 10_000,
    runnerIdleTimeout: 10_000,
    finishedTimeout: 10_000,
    limits: { unconfirmedSessions: 50, unconfirmedItems: 10_000, unconfirmedRunners: 3 },
  },
  /** How far a runner may go ahead: by so many items the bound may be passed before room is made. */
  aheadLimit: 1000,
};

/** Short, so that responses end and begin all the time. */
export const router = { longPollTimeout: 4, rotateAfter: 8_000, heartbeat: 2_000 };

/** Connections that say nothing are cut by Node after so long, ms. */
export const connections = { headersTimeout: 5_000, requestTimeout: 8_000, connectionsCheckingInterval: 1_000 };

/** For so long the server is frozen once, in the middle of a run that is not too short, ms: longer than runners may be idle. */
export const freeze = { lasts: 25_000, fromMinutes: 1 };

/** What a client does in one go must be over after so long, ms, the freeze included; else it hangs. */
export const turnDeadline = 80_000 + freeze.lasts + 10_000;
