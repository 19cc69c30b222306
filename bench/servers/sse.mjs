// Items as Server-Sent Events in one of the ways of `ways/`: `/one` is a response with a producer of its own, `/all` one of many readers of
// a producer that the question `begin` sets going, `/resumed` a reader who joins another one.
import { createServer } from "node:http";
import { serve } from "../lib/serve.mjs";

const way = await import(`../ways/${process.argv[2]}.mjs`);

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const wanted = { count: Number(searchParams.get("count")), every: Number(searchParams.get("every")) };
  way[pathname.slice(1)](request, response, wanted).catch((error) => {
    console.error(error);
    response.destroy(error);
  });
});
await serve(server, {
  begin: () => void way.begin(2000),
  peak: () => process.resourceUsage().maxRSS * 1024,
});
