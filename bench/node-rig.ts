import { Keeper, type KeeperOptions, type SyncResult } from '../src/reconcile/keeper.ts';
import type { Kernel } from '../src/kernel/kernel.ts';
import { openSocket } from '../src/kernel/netlink/dump.ts';
import { NetlinkKernel } from '../src/kernel/netlink/netlink-kernel.ts';
import type { NetlinkTransport } from '../src/kernel/netlink/socket.ts';
import { NftKernel } from '../src/kernel/nft.ts';
import { type Cidr, parseCidr } from '../src/net/cidr.ts';
import { type Ip, parseIp } from '../src/net/ip.ts';
import { ClusterStore, observe, type WatchedKind } from '../src/source/cluster-store.ts';
import type { StateOptions } from '../src/source/proxy-state.ts';
import { defaultSettings } from '../src/source/settings.ts';
import { podCidr } from './generate.ts';

export const nftProgram = process.env['VIPMAP_NFT'] ?? 'nft';

/** The node of generate.ts, as the daemon sees it. */
export const stateOptions: StateOptions = {
  nodeName: 'node-1',
  nodeAddresses: [parseIp('192.168.0.2') as Ip],
  settings: { ...defaultSettings, clusterCidrs: [parseCidr(podCidr) as Cidr] },
};

/** What the kernel was asked for, and how long it took. */
export interface KernelTimes {
  /** Transactions by nft: the process and the kernel's part, in milliseconds. */
  nftMs: number;
  /** Transactions by netlink: the kernel's part alone. */
  netlinkMs: number;
  sends: number;
  bytes: number;
}

/** A kernel like the daemon's that keeps count. */
export async function openTimedKernel(): Promise<{ readonly kernel: Kernel; readonly times: KernelTimes }> {
  const times: KernelTimes = { nftMs: 0, netlinkMs: 0, sends: 0, bytes: 0 };
  const nft = await NftKernel.open({ program: nftProgram });
  const timedNft: Kernel = {
    apply: (transaction) =>
      timed(
        () => nft.apply(transaction),
        (ms) => (times.nftMs += ms),
      ),
    readTable: (family) => nft.readTable(family),
    readElements: (family, set) => nft.readElements(family, set),
  };
  const open = () => {
    const transport = openSocket();
    return transport && timedTransport(transport, times);
  };
  const kernel = NetlinkKernel.open(timedNft, { open });
  if (kernel === undefined) throw new Error('netlink cannot be used here, so elements would go by nft');
  return { kernel, times };
}

function timedTransport(transport: NetlinkTransport, times: KernelTimes): NetlinkTransport {
  const note = (bytes: Uint8Array) => (ms: number) => {
    times.netlinkMs += ms;
    times.sends++;
    times.bytes += bytes.length;
  };
  return {
    portId: transport.portId,
    send: (bytes) => {
      const start = performance.now();
      transport.send(bytes);
      note(bytes)(performance.now() - start);
    },
    sendAside: (bytes) => timed(() => transport.sendAside(bytes), note(bytes)),
    receive: () => transport.receive(),
    receiveAside: () => transport.receiveAside(),
    receiveManyAside: () => transport.receiveManyAside(),
    close: () => transport.close(),
  };
}

async function timed<T>(work: () => Promise<T>, note: (ms: number) => void): Promise<T> {
  const start = performance.now();
  const result = await work();
  note(performance.now() - start);
  return result;
}

type Json = Record<string, unknown>;

/** The daemon's way from an object to the kernel, without what gathers changes for a few milliseconds before. */
export class NodeRig {
  readonly store: ClusterStore;
  readonly keeper: Keeper;

  constructor(kernel: Kernel, keeperOptions: KeeperOptions = {}, options = stateOptions) {
    this.store = new ClusterStore(options);
    this.keeper = new Keeper(kernel, keeperOptions);
  }

  /** Takes objects in and makes the kernel follow, adopting what it holds. */
  async start(objects: Iterable<Json>): Promise<SyncResult> {
    for (const object of objects) this.upsert(object);
    const { services, node } = this.store.takeChanges();
    return this.keeper.start({ ...node, servicePorts: [...services.values()].flat() });
  }

  upsert(object: Json): void {
    const kind = object['kind'] as WatchedKind;
    this.store.upsert(kind, observe(kind, object));
  }

  remove(object: Json): void {
    const kind = object['kind'] as WatchedKind;
    this.store.remove(kind, observe(kind, object));
  }

  /** Sends what the objects taken in since the last time have changed. Throws if the kernel did not take it as it was. */
  async sync(): Promise<SyncResult> {
    const { services, node } = this.store.takeChanges();
    const result = await this.keeper.change(services, node);
    if (result.kind !== 'partial' || result.setAside.length > 0) throw new Error('the kernel did not take a change');
    return result;
  }
}
