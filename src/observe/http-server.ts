import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Answerer, requestListener } from './answer.ts';

/** A TCP address to listen on. */
export interface ListenAddress {
  /** An IP address; absent: every address of both families, or of IPv4 where the kernel has no IPv6. */
  readonly host?: string;
  /** 0: one that the kernel chooses. */
  readonly port: number;
  /** Leaves IPv4 out where the host is `::`. */
  readonly ipv6Only?: boolean;
}

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /** Frees the port and cuts every connection, idle or not; settles within a moment. */
  close(): Promise<void>;
}

/** A client that is gone without a word is found by TCP's own probes, as in Go's net package. */
const tcpKeepAliveMs = 15_000;

/** A server that listens. Rejects with node's error if it cannot: `code` is EADDRINUSE, EADDRNOTAVAIL, EACCES, ... */
export async function openHttpServer(answer: Answerer, { host, port, ipv6Only }: ListenAddress): Promise<HttpServer> {
  const options = {
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
    // None: a load balancer that keeps its connection and asks every 5 s would meet node's 5 s now and then, and lose a probe.
    keepAliveTimeout: 0,
  };
  const server = createServer(options, requestListener(answer));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }), ...(ipv6Only !== undefined && { ipv6Only }) }, resolve);
  });
  server.removeAllListeners('error');
  // From here on an error is a connection that could not be accepted (EMFILE): the client's loss, not the server's end.
  server.on('error', () => undefined);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** `EADDRINUSE, another program listens there; ...`: why listening failed and what to do, of node's error. */
export function explainListenFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return 'EADDRINUSE, another program listens there; `ss -ltnp` names it';
    case 'EADDRNOTAVAIL':
      return 'EADDRNOTAVAIL, no interface of this node has that address';
    case 'EACCES':
      return 'EACCES, ports below 1024 need CAP_NET_BIND_SERVICE';
    case 'EAFNOSUPPORT':
      return "EAFNOSUPPORT, this node's kernel has no IPv6";
    default:
      return message;
  }
}
