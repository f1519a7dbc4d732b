import { type Accepts, oneOf } from './fields.ts';

/** A mode of kube-proxy's on Linux; `''`: none is named. */
export type ProxyMode = '' | 'iptables' | 'ipvs' | 'nftables';
/** What runs here. */
export type RunningMode = 'nftables' | 'ipvs';

export const aMode: Accepts<ProxyMode> = oneOf('', 'iptables', 'ipvs', 'nftables');
export const aRunningMode: Accepts<RunningMode> = oneOf('nftables', 'ipvs');

/** Mode nftables takes the place of iptables, which is kube-proxy's default. */
export function runningMode(mode: ProxyMode): RunningMode {
  return mode === 'ipvs' ? 'ipvs' : 'nftables';
}

/** kube-proxy's --proxy-mode, as what runs here. */
export const aProxyMode: Accepts<RunningMode> = {
  expected: aMode.expected,
  parse: (value) => {
    const mode = aMode.parse(value);
    return mode === undefined ? undefined : runningMode(mode);
  },
};

/**
 * The mode by which a file's blocks count: the file's own, for a flag that asks for another changes what runs, not what the file says.
 * Of a file that names no mode the iptables block counts, as for kube-proxy, unless mode ipvs is what runs.
 */
export function countingMode(fileMode: ProxyMode, running: RunningMode): ProxyMode {
  return fileMode === '' && running === 'ipvs' ? 'ipvs' : fileMode;
}

/** The block of the file that has the sync periods of a mode; kube-proxy's default mode is iptables. */
export function modeBlock(mode: ProxyMode): 'iptables' | 'ipvs' | 'nftables' {
  return mode === '' ? 'iptables' : mode;
}
