import { count } from "../../lib/count.mjs";
import { withSession } from "../../lib/sessions.mjs";

export const POST = withSession(async (request) => {
  const runner = await request.activeSession.createSequenceRunner(count());
  return Response.json({ key: runner.key, ...(await runner.getRequired({ advance: 3 })) }, { status: 201 });
});
