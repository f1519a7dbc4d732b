import { callApi, slice, slicesPath } from './api.ts';
import { backendPort, createService, deleteService } from './backends.ts';
import { inParallel } from './wait.ts';

const width = 24;

/** Services bulk-FIRST up to before bulk-END, without selectors, each with a slice of the given addresses; gives the last one's address. */
export async function createServices(
  first: number,
  end: number,
  addressesOf: (index: number) => readonly string[],
): Promise<string> {
  let last = '';
  await inParallel(range(first, end), width, async (index) => {
    const ip = await createService(`bulk-${index}`, addressesOf(index));
    if (index === end - 1) last = ip;
  });
  return last;
}

export async function deleteServices(first: number, end: number): Promise<void> {
  await inParallel(range(first, end), width, (index) => deleteService(`bulk-${index}`));
}

/** Gives the slices of these services other addresses, one write after another for each. */
export async function changeSlices(
  indices: readonly number[],
  addressesOf: (index: number) => readonly string[],
): Promise<void> {
  await inParallel(indices, width, (index) =>
    callApi('PUT', `${slicesPath}/bulk-${index}`, slice(`bulk-${index}`, addressesOf(index), backendPort)),
  );
}

export const range = (first: number, end: number): readonly number[] =>
  Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);

/** So many addresses of pods that nobody has, different ones for each service and each round. */
export function madeUpAddresses(service: number, count: number, round = 0): readonly string[] {
  return range(0, count).map((index) => {
    const number = (service * count + index + round * 7919) % 64_000;
    return `10.244.${3 + Math.floor(number / 254)}.${1 + (number % 254)}`;
  });
}
