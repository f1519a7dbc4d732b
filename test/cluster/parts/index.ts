import type { Part } from '../part.ts';
import { apiServerStop, kill, kubeletStop, load, rollingUpdate } from './disruptions.ts';
import { endToEnd } from './e2e.ts';
import { flush, secondInstance } from './interference.ts';
import { latency } from './latency.ts';
import { manifests } from './manifests.ts';
import { manyServices } from './many-services.ts';
import { memory } from './memory.ts';
import { replace } from './replace.ts';

/** In the order in which they run. */
export const parts: readonly Part[] = [
  manifests,
  load,
  rollingUpdate,
  kill,
  secondInstance,
  flush,
  kubeletStop,
  apiServerStop,
  manyServices,
  replace,
  memory,
  latency,
  endToEnd,
];
