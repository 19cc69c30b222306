import { serveRunners, withSession } from "../../../lib/sessions.mjs";

const handle = withSession(async (request) => (await serveRunners(request)) ?? new Response(null, { status: 404 }));

export { handle as DELETE, handle as GET, handle as HEAD, handle as POST };
