// A job of BullMQ over Redis for each response; its progress events are the items.
import { Queue, QueueEvents, Worker } from "bullmq";
import { eventStream, produce } from "./produce.mjs";

const { port } = new URL(process.env.REDIS_URL);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue("work", { connection, streams: { events: { maxLen: 1_000_000 } } });
const events = new QueueEvents("work", { connection });
new Worker(
  "work",
  async (job) => {
    for await (const item of produce(job.data)) await job.updateProgress(item);
  },
  { connection, concurrency: 300 },
);
const responses = new Map();
events.on("progress", ({ jobId, data }) => responses.get(jobId)?.write(`data: ${JSON.stringify(data)}\n\n`));
events.on("completed", ({ jobId }) => {
  responses.get(jobId)?.end();
  responses.delete(jobId);
});
await events.waitUntilReady();
let last = 0;

export async function one(_request, response, wanted) {
  const jobId = `job-${++last}`;
  response.writeHead(200, eventStream);
  responses.set(jobId, response);
  await queue.add("work", wanted, { jobId, removeOnComplete: true });
}
