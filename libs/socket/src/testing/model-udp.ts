import { ERRNO, type Millis, type SkCmd, type SkEvt, type SkId, TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';

const LADDR = 0x0a4d0002;

interface ModelDgramSock {
  id: SkId;
  opSeq: number;
  opErrno: number;
  lport: number;
  raddr: number;
  rport: number;
  offset: number;
}

/** UDP on the seam, as simple as can be: datagrams go from one socket of the model to another. */
export class ModelUdp {
  readonly socks = new Map<SkId, ModelDgramSock>();
  private nextPort = 50_000;
  private readonly emit: (evt: SkEvt) => void;

  constructor(emit: (evt: SkEvt) => void) {
    this.emit = emit;
  }

  onCmd(cmd: SkCmd, _now: Millis): void {
    let s = this.socks.get(cmd.sk);
    if (s === undefined) {
      if (cmd.opSeq !== 1 || cmd.close) return this.emit({ sk: cmd.sk, opAck: 0, opErrno: 0, unknown: true });
      s = { id: cmd.sk, opSeq: 0, opErrno: 0, lport: 0, raddr: 0, rport: 0, offset: 0 };
      this.socks.set(s.id, s);
    }
    if (cmd.opSeq > s.opSeq) {
      s.opSeq = cmd.opSeq;
      s.opErrno = this.run(s, cmd);
    }
    if (cmd.opSeq > 0) this.say(s, 0);
    if (cmd.sendto) this.send(s, cmd.sendto);
    if (s.opSeq > 0 && cmd.close) this.socks.delete(s.id);
  }

  /** An ICMP error for a connected socket. */
  error(id: SkId, err: number): void {
    const s = this.socks.get(id);
    if (s === undefined) return;
    this.say(s, err);
    this.say(s, 0);
  }

  restart(): void {
    this.socks.clear();
  }

  private run(s: ModelDgramSock, cmd: SkCmd): number {
    if (cmd.bind) {
      const port = cmd.bind.port || this.nextPort++;
      for (const o of this.socks.values()) if (o !== s && o.lport === port) return ERRNO.EADDRINUSE;
      s.lport = port;
    } else if (cmd.connect) {
      s.lport ||= this.nextPort++;
      s.raddr = cmd.connect.addr;
      s.rport = cmd.connect.port;
    }
    return 0;
  }

  private send(s: ModelDgramSock, d: NonNullable<SkCmd['sendto']>): void {
    const port = d.port || s.rport;
    const to = [...this.socks.values()].find((o) => o.lport === port);
    if (to === undefined) {
      if (s.rport !== 0) this.error(s.id, ERRNO.ECONNREFUSED);
      return;
    }
    const charge = d.data.length + 256;
    this.emit({
      sk: to.id,
      opAck: to.opSeq,
      opErrno: to.opErrno,
      dgram: { addr: LADDR, port: s.lport, offset: to.offset, charge, data: d.data.slice(), daddr: LADDR },
    });
    to.offset += charge;
  }

  private say(s: ModelDgramSock, err: number): void {
    this.emit({
      sk: s.id,
      opAck: s.opSeq,
      opErrno: s.opErrno,
      view: {
        state: s.rport === 0 ? TCP_CLOSE : TCP_ESTABLISHED,
        laddr: LADDR,
        lport: s.lport,
        raddr: s.raddr,
        rport: s.rport,
        sndGot: 0,
        sndUna: 0,
        sndLimit: 0,
        rcvNxt: s.offset,
        finRcvd: false,
        finAcked: false,
        err,
        softErr: 0,
      },
    });
  }
}
