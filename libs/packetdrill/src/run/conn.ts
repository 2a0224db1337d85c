import { parseIpv4 } from '@skbus/skb';
import type { Ports } from '../lang/ast.ts';
import type { LivePacket } from '../wire/live.ts';
import type { RunConfig } from './config.ts';

export type ConnState = 'new' | 'listening' | 'connecting' | 'connected';

/** A socket of the script as the wire knows it: its ports, and how the script's numbers become real ones. */
export class Conn {
  state: ConnState = 'new';
  /** The script's file descriptor; undefined: not accepted yet, or a packet without a socket. */
  scriptFd: number | undefined = undefined;
  /** 0: not known yet. */
  localPort: number;
  remotePort: number;
  /**
   * The initial sequence numbers as the script writes them and, of the stack, as they are on the wire. Packets with SYN
   * carry the script's numbers as they are; in all others 1 is the first byte, wherever the SYN was.
   */
  remoteScriptIsn: number | undefined = undefined;
  localScriptIsn = 0;
  localIsn: number | undefined = undefined;
  /** The next SYN that the stack sends begins a new incarnation. */
  awaitsSyn = true;
  /** Timestamp values: what the script calls them → what the stack sent. */
  readonly tsVals = new Map<number, number>();
  /** The first pair of them, and when it was seen. */
  tsBase: { script: number; live: number; atUs: number } | undefined = undefined;
  /** Where a variation adds timestamps: which side's SYN had one, and the stack's newest. */
  readonly ts = { ours: false, theirs: false, last: 0 };

  constructor(localPort: number, remotePort: number) {
    this.localPort = localPort;
    this.remotePort = remotePort;
  }

  /** What has to be added to the script's numbers of the stack; nothing before its SYN was seen. */
  localShift(syn: boolean): number {
    return this.localIsn === undefined ? 0 : this.localIsn - (syn ? this.localScriptIsn : 0);
  }

  /** The same for the remote host's, before a variation moves them. */
  remoteShift(syn: boolean): number {
    return syn ? 0 : (this.remoteScriptIsn ?? 0);
  }
}

/** Every connection of a script; one of them is "under test": packets without ports belong to it. */
export class Conns {
  current: Conn | undefined = undefined;
  readonly localIp: number;
  readonly remoteIp: number;
  private readonly config: RunConfig;
  private readonly all: Conn[] = [];
  private nextEphemeral = 40_000;

  constructor(config: RunConfig) {
    this.config = config;
    this.localIp = parseIpv4(config.localIp)!;
    this.remoteIp = parseIpv4(config.remoteIp)!;
  }

  /** socket(): later packets belong to it. */
  open(scriptFd: number): Conn {
    const c = this.add(new Conn(0, 0));
    c.scriptFd = scriptFd;
    return c;
  }

  ofFd(scriptFd: number): Conn | undefined {
    return this.all.findLast((c) => c.scriptFd === scriptFd);
  }

  /** accept() gave a descriptor: which connection is it? */
  accepted(scriptFd: number, peerPort: number | undefined): void {
    const candidates = this.all.filter((c) => c.scriptFd === undefined && c.state === 'connected');
    const c = candidates.find((x) => x.remotePort === peerPort) ?? (peerPort === undefined ? candidates[0] : undefined);
    if (c === undefined) return;
    c.scriptFd = scriptFd;
    this.current = c;
  }

  closed(scriptFd: number): void {
    const c = this.ofFd(scriptFd);
    if (c === undefined) return;
    c.scriptFd = undefined;
    // Packets that follow are for a port where nobody listens any more.
    if (c.state === 'listening') c.state = 'new';
  }

  /** The connection that a script's inbound packet belongs to; a listener's child is made when its first one comes. */
  forInbound(ports: Ports | undefined): Conn {
    if (ports !== undefined) {
      const known = this.find(ports.dst, ports.src);
      this.current = known ?? this.child(ports.dst, ports.src);
      return this.current;
    }
    const c = this.current;
    if (c !== undefined && (c.state === 'connected' || c.state === 'connecting')) return c;
    const local = c === undefined || c.localPort === 0 ? this.config.bindPort : c.localPort;
    return this.child(local, this.nextEphemeral++);
  }

  /** The one that the next outbound packet is expected from. */
  forOutbound(ports: Ports | undefined): Conn | undefined {
    if (ports === undefined) return this.current;
    const known = this.find(ports.src, ports.dst);
    return known ?? this.all.find((c) => c.state === 'connecting' && c.localPort === 0 && c.remotePort === ports.dst);
  }

  /** The connection that a packet of the stack belongs to. */
  ofLive(p: LivePacket): Conn | undefined {
    if (p.ip.saddr !== this.localIp || p.ip.daddr !== this.remoteIp) return undefined;
    if (p.proto === 'icmp') return this.current;
    const known = this.find(p.sport, p.dport);
    if (known !== undefined) return known;
    // An active open, or a datagram: only now the port is known that the stack chose.
    const fresh = this.all.find(
      (c) => c.state === 'connecting' && c.localPort === 0 && (c.remotePort === p.dport || c.remotePort === 0),
    );
    if (fresh !== undefined) {
      fresh.localPort = p.sport;
      fresh.remotePort = p.dport;
    }
    return fresh;
  }

  private find(localPort: number, remotePort: number): Conn | undefined {
    return this.all.findLast(
      (c) => c.localPort === localPort && c.remotePort === remotePort && c.state !== 'listening',
    );
  }

  private child(localPort: number, remotePort: number): Conn {
    const c = this.add(new Conn(localPort, remotePort));
    c.state = 'connected';
    return c;
  }

  private add(c: Conn): Conn {
    this.all.push(c);
    this.current = c;
    return c;
  }
}
