import type { Part } from '../part.ts';
import { apiServerStop, kill, kubeletStop, load, rollingUpdate } from './disruptions.ts';
import { endToEnd } from './e2e.ts';
import { flush, secondInstance } from './interference.ts';
import { latency } from './latency.ts';
import { manifests } from './manifests.ts';
import { manyServices } from './many-services.ts';
import { memory } from './memory.ts';
import { replace } from './replace.ts';

/**
 * In the order in which they run. Upstream's tests come before thousands of services: the cluster's controllers work off the deletion of
 * those for minutes, and new endpoints and pods wait for them.
 */
export const parts: readonly Part[] = [
  manifests,
  load,
  rollingUpdate,
  kill,
  secondInstance,
  flush,
  kubeletStop,
  apiServerStop,
  endToEnd,
  manyServices,
  replace,
  memory,
  latency,
];
