import type { IpvsStep } from '../../ruleset/ipvs/print-step.ts';
import type { FailedStep } from '../ipvs-kernel.ts';
import { refused } from '../ipvs-restore.ts';
import { countedSteps, unacceptable } from '../ipvs-unmet.ts';
import { Turns } from './dump.ts';
import { NetlinkError } from './errors.ts';
import { writeStep } from './ipvs-encode.ts';
import { wordsOf } from './ipvs-failure.ts';
import { type Answer, MessageWriter, NLM_F_ACK, readAnswer, readMessages } from './message.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

export interface IpvsSocket {
  readonly transport: NetlinkTransport;
  /** The message type of the family IPVS. */
  readonly type: number;
}

/** So many steps in one send: the kernel needs milliseconds for them, and their answers must fit into the socket. */
const stepsPerSend = 200;

/**
 * Carries the steps out in their order and gives those that failed, after what IpvsKernel.apply promises. Throws a NetlinkError; then a
 * part of them has been carried out.
 */
export async function carryOut(socket: IpvsSocket, steps: readonly IpvsStep[]): Promise<readonly FailedStep[]> {
  const failed: FailedStep[] = [];
  const accepted: IpvsStep[] = [];
  for (const step of steps) {
    const reason = unacceptable(step);
    if (reason === undefined) accepted.push(step);
    else failed.push(refused(step, reason));
  }
  const first = await sendAll(socket, accepted);
  if (first.size === 0) return failed;
  const counted = countedSteps(accepted);
  const reasons = new Map([...first].filter(([step, answer]) => counted.has(step) && !isSoAlready(step, answer)));
  // It is there, in this form or in another.
  const existing = [...reasons].flatMap(([step, { code }]) =>
    step.verb === 'add' && code === 'EEXIST' ? [{ step, edit: { ...step, verb: 'edit' as const } }] : [],
  );
  const second = await sendAll(
    socket,
    existing.map(({ edit }) => edit),
  );
  for (const { step, edit } of existing) {
    const answer = second.get(edit);
    if (answer === undefined) reasons.delete(step);
    else reasons.set(step, answer);
  }
  for (const [step, answer] of reasons) failed.push(refused(step, wordsOf(step, answer)));
  return failed;
}

/** Nothing is there to be deleted. */
function isSoAlready({ verb }: IpvsStep, { code = '' }: Answer): boolean {
  return verb === 'delete' && ['ESRCH', 'ENOENT'].includes(code);
}

/** What the kernel answered to the steps that it did not carry out, in their order. */
async function sendAll(
  { transport, type }: IpvsSocket,
  steps: readonly IpvsStep[],
): Promise<ReadonlyMap<IpvsStep, Answer>> {
  const errors = new Map<IpvsStep, Answer>();
  const turns = new Turns();
  for (let from = 0; from < steps.length; from += stepsPerSend) {
    const end = Math.min(from + stepsPerSend, steps.length);
    const writer = new MessageWriter(1 << 15);
    for (const [i, step] of steps.slice(from, end).entries()) {
      // Failures are always answered, successes on demand; the last answer says that all are worked off.
      const isLast = from + i === end - 1;
      writeStep(writer, step, { type, sequence: from + i, flags: isLast ? NLM_F_ACK : 0 });
    }
    transport.send(writer.bytes());
    for (const answer of await receiveErrors(transport, end - 1)) {
      const step = steps[answer.sequence];
      if (step !== undefined) errors.set(step, answer);
    }
    if (turns.isOver) await turns.next();
  }
  return errors;
}

async function receiveErrors(transport: NetlinkTransport, last: number): Promise<readonly Answer[]> {
  const errors: Answer[] = [];
  for (;;) {
    for (const message of readMessages(await receiveSoon(transport, 30_000))) {
      const answer = readAnswer(message);
      if (answer === undefined) continue;
      if (answer.code === 'EPERM') throw new NetlinkError('EPERM', 'netlink: EPERM');
      if (answer.code !== undefined) errors.push(answer);
      if (answer.sequence === last) return errors;
    }
  }
}
