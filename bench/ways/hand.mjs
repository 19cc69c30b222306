// Server-Sent Events by hand.
import { eventStream, produce } from "./produce.mjs";

export async function one(_request, response, wanted) {
  response.writeHead(200, eventStream);
  for await (const item of produce(wanted)) {
    if (!response.write(`data: ${JSON.stringify(item)}\n\n`))
      await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
}
