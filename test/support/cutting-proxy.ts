/** A network that breaks: a TCP proxy on loopback which cuts answers wherever its plan says, byte by byte if need be. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { atEnd } from "./cleanup.js";

/** Where a connection is cut, and how. */
export interface Cut {
  /** So many bytes of what the server says on the connection get through; -1: it is not even accepted. */
  readonly after: number;
  /** `destroy`: the client sees a reset. `end`: it sees a regular end of the connection, after the bytes that got through. */
  readonly how: "destroy" | "end";
  /** Until then they come through in dribs and drabs, a few in each turn of the event loop. */
  readonly isSlow?: boolean;
}

/** See {@link openCuttingProxy}. */
export interface CuttingProxy {
  readonly url: string;
  /** The cuts that were made. */
  readonly cuts: readonly Cut[];
  /** Closes it together with its connections. */
  close(): Promise<void>;
}

/**
 * Opens a proxy before `target`; it is closed when the test is over.
 * @param nextCut is asked for each new connection: where to cut it, or `undefined` to let everything pass
 */
export async function openCuttingProxy(target: string, nextCut: () => Cut | undefined): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const cuts: Cut[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const cut = nextCut();
    watch(client);
    if (cut?.after === -1) {
      cuts.push(cut);
      client.resetAndDestroy();
      return;
    }
    const upstream = watch(connect({ host: hostname, port: Number(port), noDelay: true }));
    client.on("data", (bytes) => upstream.write(bytes));
    client.on("close", () => upstream.destroy());
    client.on("end", () => upstream.end());
    upstream.on("close", () => client.end());
    upstream.on("end", () => client.end());
    let left = cut?.after ?? Number.POSITIVE_INFINITY;
    const pass = cut?.isSlow ? dribbling(client) : (bytes: Buffer) => void client.write(bytes);
    upstream.on("data", (bytes: Buffer) => {
      if (client.writableEnded || client.destroyed) return;
      if (bytes.length <= left) {
        left -= bytes.length;
        pass(bytes);
        return;
      }
      cuts.push(cut!);
      upstream.destroy();
      cutOff(client, cut!.isSlow ? bytes.subarray(0, 0) : bytes.subarray(0, left), cut!.how);
    });
  });
  function watch(socket: Socket): Socket {
    sockets.add(socket);
    return socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
  }
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cuts, close };
}

/** What has not come through when the connection is cut never does, nor anything behind it. */
function dribbling(client: Socket): (bytes: Buffer) => void {
  let waiting: Buffer = Buffer.alloc(0);
  const step = () => {
    if (client.writableEnded || client.destroyed) return;
    client.write(waiting.subarray(0, 97));
    waiting = waiting.subarray(97);
    if (waiting.length > 0) setImmediate(step);
  };
  return (bytes) => {
    const isIdle = waiting.length === 0;
    waiting = Buffer.concat([waiting, bytes]);
    if (isIdle) setImmediate(step);
  };
}

function cutOff(client: Socket, rest: Buffer, how: Cut["how"]): void {
  if (how === "end") client.end(rest);
  else if (rest.length === 0) client.resetAndDestroy();
  else client.write(rest, () => client.destroy()); // written first, so that the bytes arrive before the end does
}
