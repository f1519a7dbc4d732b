import { tableName } from '../../ruleset/nftables/ruleset.ts';
import type { ElementCommand, Transaction } from '../../ruleset/nftables/transaction.ts';
import { KernelError, type KernelFailure } from '../kernel.ts';
import { NetlinkError } from './errors.ts';
import type { Answer } from './message.ts';
import { type Batch, commandAtFault } from './write-elements.ts';

/** What nf_tables says, in strerror's words, as nft gives them; others go by their names. */
const words: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EINVAL: 'Invalid argument',
  ENFILE: 'Too many open files in system',
  EMLINK: 'Too many links',
  EMSGSIZE: 'Message too long',
  ENOBUFS: 'No buffer space available',
  EOPNOTSUPP: 'Operation not supported',
};

function failureOf(code: string): KernelFailure {
  switch (code) {
    case 'EPERM':
      return 'not-permitted';
    case 'EMSGSIZE':
    case 'ENOBUFS':
      return 'too-big';
    // What nf_tables answers when a set has as many elements as its size allows.
    case 'ENFILE':
      return 'full';
    default:
      return 'refused';
  }
}

/** The error for a transaction to which the kernel gave these answers, all of them errors; it has changed nothing. */
export function refusal(
  { commands }: Transaction,
  batch: Batch,
  errors: readonly [Answer, ...Answer[]],
  durationMs: number,
): KernelError {
  // In the order of the transaction: a later one may follow from the first.
  const [first] = [...errors].sort((a, b) => a.sequence - b.sequence) as [Answer];
  const { code = '', sequence, offset } = first;
  const index = commandAtFault(batch, sequence, offset);
  const command = index === undefined ? undefined : (commands[index] as ElementCommand | undefined);
  const reason = [words[code] ?? code, ...(first.words === undefined ? [] : [first.words])].join(', ');
  const stderr = command === undefined ? reason : `${reason}: ${printCommand(command)}`;
  return new KernelError(failureOf(code), explain(failureOf(code), stderr), {
    command: 'netlink',
    durationMs,
    stderr,
  });
}

function explain(failure: KernelFailure, stderr: string): string {
  switch (failure) {
    case 'not-permitted':
      return `this process may not change the kernel's rules (${stderr}); run as root or with CAP_NET_ADMIN`;
    case 'too-big':
      return `the transaction does not fit the netlink socket's buffer (${stderr})`;
    case 'full':
      return `a set or map is full (${stderr})`;
    default:
      return `the kernel refused: ${stderr}`;
  }
}

function printCommand({ verb, family, set, key, value }: ElementCommand): string {
  const element = verb === 'delete' || value === '' ? key : `${key} : ${value}`;
  return `${verb} element ${family} ${tableName} ${set.name} { ${element} }`;
}

/** The error for a transaction that could not be sent. The kernel has not seen it. */
export function sendFailure(error: unknown, durationMs: number): unknown {
  if (!(error instanceof NetlinkError)) return error;
  const { code } = error;
  // ENOMEM: no memory for a message of that size.
  const failure = code === 'ENOMEM' ? 'too-big' : failureOf(code);
  const stderr = words[code] ?? code;
  const details = { command: 'netlink', durationMs, stderr };
  // Anything else is the socket's fault, which no other transaction would mend.
  if (failure === 'refused') return new KernelError('unsupported', `netlink does not work here (${stderr})`, details);
  return new KernelError(failure, explain(failure, stderr), details);
}

/** The error for a transaction whose answers were lost or did not come: it may have been made or not. */
export function receiveFailure(error: unknown, durationMs: number): unknown {
  if (!(error instanceof NetlinkError)) return error;
  return new KernelError(
    error.code === 'ETIMEDOUT' ? 'timeout' : 'crashed',
    `${error.message}; the kernel takes a transaction as a whole or not at all, so read it again before the next one`,
    { command: 'netlink', durationMs, stderr: words[error.code] ?? error.code },
  );
}
