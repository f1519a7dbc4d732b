import { NetlinkSocket } from '../../src/kernel/netlink/socket.ts';
import { MessageWriter, NFNL_SUBSYS_CTNETLINK, NLM_F_REQUEST } from '../../src/kernel/netlink/message.ts';
import { answer } from './helper.ts';

/** Keeps a node's network namespace, and makes its conntrack forget all connections. */
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;

answer(() => {
  const socket = NetlinkSocket.open();
  const writer = new MessageWriter();
  writer.endMessage(writer.beginMessage(CT_DELETE, NLM_F_REQUEST, 1));
  socket?.send(writer.bytes());
  socket?.close();
});
