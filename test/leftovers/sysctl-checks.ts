import { applySysctls, type ConntrackLimits, printOutcome } from '../../src/kernel/conntrack-sysctls.ts';
import { readSysctl } from '../../src/kernel/sysctl.ts';
import { type Checks, differs, firstOf, load } from '../netlink/check.ts';

const limits: ConntrackLimits = {
  maxPerCore: 0,
  min: 0,
  tcpEstablishedTimeoutMs: 7_200_000,
  tcpCloseWaitTimeoutMs: 0,
  tcpBeLiberal: true,
  udpTimeoutMs: 0,
  udpStreamTimeoutMs: 0,
};

/** Rules that track connections, so that the kernel does. */
const tracking = 'table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }\n';

export const sysctlChecks: Checks = {
  'timeouts are set in a network namespace': async () => {
    await load(tracking);
    const first = await applySysctls(limits);
    const second = await applySysctls(limits);
    const kinds = (report: typeof first) => report.outcomes.map(({ kind }) => kind);
    return firstOf(
      differs('first', kinds(first), ['set', 'set']),
      differs('second', kinds(second), ['right', 'right']),
      differs('timeout', await readSysctl('/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established'), 7200),
    );
  },
  'the limit, which is the host’s, is said to be so': async () => {
    await load(tracking);
    const { outcomes } = await applySysctls({ ...limits, maxPerCore: 1_000_000, min: 0 }, { cpuCount: 1 });
    const [max] = outcomes;
    if (max?.kind !== 'failed') return `it is not refused: ${max && printOutcome(max)}`;
    const { code = '', message } = max.error;
    return firstOf(
      differs('code', ['EACCES', 'EPERM'].includes(code), true),
      differs('message', message.includes('on the host: sysctl -w net.netfilter.nf_conntrack_max=1000000'), true),
      differs('no table without limit', outcomes.length, 3),
    );
  },
};
