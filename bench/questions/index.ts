import type { Question } from '../question.ts';
import { besideKubeProxy } from './beside-kube-proxy.ts';
import { coldLoad } from './cold-load.ts';
import { compiling } from './compiling.ts';
import { ipvs } from './ipvs.ts';
import { manyChanges } from './many-changes.ts';
import { memory } from './memory.ts';
import { oneChange } from './one-change.ts';
import { packets } from './packets.ts';
import { restart } from './restart.ts';

/** In the order of the report. */
export const questions: readonly Question[] = [
  besideKubeProxy,
  coldLoad,
  restart,
  oneChange,
  manyChanges,
  packets,
  compiling,
  memory,
  ipvs,
];
