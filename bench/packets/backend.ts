import { answer } from './helper.ts';
import {
  bind,
  echo,
  listen,
  openSocket,
  pinToProcessor,
  setOption,
  SOCK_DGRAM,
  SOCK_STREAM,
  socketAddress,
  SOL_TCP,
  TCP_DEFER_ACCEPT,
} from './sockets.ts';
import { endpointPort } from './services.ts';

/*
 * Every endpoint at once: answers at all addresses of its namespace. UDP datagrams go back as they came. TCP connections are set up and
 * torn down by the kernel alone: with TCP_DEFER_ACCEPT no program need be woken up for those that send nothing, so that what is
 * measured is the way there and back.
 */
const parent = process.ppid;
const anyAddress = socketAddress(0, endpointPort);

const tcp = openSocket(SOCK_STREAM);
setOption(tcp, SOL_TCP, TCP_DEFER_ACCEPT, new Int32Array([60]));
bind(tcp, anyAddress);
listen(tcp);

const udp = openSocket(SOCK_DGRAM);
bind(udp, anyAddress);

// On the processor of the first client, so that no time is lost with waking up another one.
pinToProcessor(0);
answer(() => undefined);
// A loop that blocks hears of nothing else: it must see itself that who started it has gone.
echo(udp, () => {
  if (process.ppid !== parent) process.exit();
});
