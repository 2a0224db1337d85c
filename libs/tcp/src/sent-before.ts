import type { TcpSock } from './sock.ts';

/**
 * An ACK beyond sndNxt: nonsense, unless the process before this one has sent that far, which only its socket layer knows
 * (TcpSock.sentBefore). Then what is acknowledged counts as sent; the bytes may not even be here again.
 */
export function wasSentBefore(sk: TcpSock, ack: number): boolean {
  if (ack > sk.sentBefore) return false;
  const bytes = sk.finAt >= 0 && ack > sk.finAt ? sk.finAt - 1 : ack - 1;
  sk.skipTo(bytes);
  sk.sndNxt = ack;
  // what we have acknowledged came with a number that is too old for the peer to look at the rest of it
  sk.ackNow = true;
  return true;
}
