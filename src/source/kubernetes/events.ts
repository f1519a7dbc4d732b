import { type ApiServer, ApiError } from './api-server.ts';

export interface EventTarget {
  readonly kind: 'Node' | 'Service';
  /** `''` for a Node. */
  readonly namespace: string;
  readonly name: string;
}

export interface ClusterEvent {
  readonly regarding: EventTarget;
  readonly type: 'Normal' | 'Warning';
  /** `FailedToStartServiceHealthcheck` */
  readonly reason: string;
  /** `Listen` */
  readonly action: string;
  readonly note: string;
}

/** The API's bound for notes. */
const maxNote = 1024;

/** Events as `kubectl get events` shows them (events.k8s.io/v1). That one could not be written is told and matters no further. */
export class EventRecorder {
  readonly #apiServer: ApiServer;
  readonly #nodeName: string;
  readonly #warn: (message: string) => void;

  constructor(apiServer: ApiServer, nodeName: string, warn: (message: string) => void) {
    this.#apiServer = apiServer;
    this.#nodeName = nodeName;
    this.#warn = warn;
  }

  async record({ regarding, type, reason, action, note }: ClusterEvent): Promise<void> {
    const now = new Date();
    const namespace = regarding.namespace === '' ? 'default' : regarding.namespace;
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // As client-go names them: unique enough, and sorted by time.
      metadata: { name: `${regarding.name}.${(BigInt(now.getTime()) * 1_000_000n).toString(16)}`, namespace },
      eventTime: now.toISOString().replace('Z', '000Z'),
      reportingController: 'vipmap',
      reportingInstance: this.#nodeName,
      type,
      reason,
      action,
      note: note.slice(0, maxNote),
      regarding: {
        apiVersion: 'v1',
        kind: regarding.kind,
        name: regarding.name,
        ...(regarding.kind === 'Node' ? { uid: regarding.name } : { namespace }),
      },
    };
    try {
      await this.#apiServer.create(`/apis/events.k8s.io/v1/namespaces/${namespace}/events`, event);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#warn(`event ${reason} about ${regarding.kind} ${regarding.name} could not be written: ${error.message}`);
    }
  }
}
