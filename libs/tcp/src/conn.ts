import { TCP_CLOSE, type Ipv4Addr } from '@skbus/skb';
import { Timed } from './timers.ts';

/** What can stand in the established hash: a TcpSock, a RequestSock or a TimeWaitSock. */
export abstract class Conn extends Timed {
  laddr: Ipv4Addr = 0;
  lport = 0;
  raddr: Ipv4Addr = 0;
  rport = 0;
  /** TCP_ESTABLISHED … ; tells which kind it is. Set by setState() only. */
  state = TCP_CLOSE;
}
