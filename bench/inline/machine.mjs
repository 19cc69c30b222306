// The fixed computation on the core of the measured processes.
import { answerAll } from "../lib/answer.mjs";
import { computeFixed } from "../lib/machine.mjs";

answerAll({ compute: computeFixed }, { collect: false });
