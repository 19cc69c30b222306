// Comparisons within one child process, of each question with its floor.
import { start } from "./child.mjs";
import { compare } from "./measure.mjs";

/** Asks a child `question` and `question:floor`, in turn, and gives what the first is against the second. */
export async function* compareInline(file, questions, rounds) {
  for (const question of questions) {
    const child = await start(file);
    const ask = (text) => async () => (await child.ask(text)).answer;
    try {
      const sides = { floor: ask(`${question}:floor`), ours: ask(question) };
      const { ours } = await compare(sides, { rounds, floor: "floor", warmUp: 1500 });
      yield [question, ours];
    } finally {
      await child.stop();
    }
  }
}
