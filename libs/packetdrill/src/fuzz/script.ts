import { errnoName } from '@skbus/skb';
import { TCP_ACK, TCP_RST, TCP_SYN } from '@skbus/wire';
import { RTT_US, type Epoch, type Reply } from './play.ts';
import { TSVAL_0, type Call, type Handshake, type Scenario, type Segment, type Step } from './scenario.ts';

/** The TSval that stands for the stack's first one. */
const STACK_TSVAL = 100;
/** The stack of the kernel: what it answers is what the script expects. */
const TOLERANCE_US = 25_000;

/** A packetdrill script of the scenario that expects what one target did. */
export function toScript(s: Scenario, epochs: readonly Epoch[], note: string): string {
  const writer = new Writer(s);
  writer.handshake(epochs[0]!);
  let at = 0;
  writer.begin(epochs[0]!);
  for (const step of s.steps) {
    if (step.gapUs > 0) {
      writer.end(epochs[at]!, at > 0);
      writer.begin(epochs[++at]!);
    }
    writer.step(step, epochs[at]!);
  }
  writer.end(epochs[at]!, at > 0);
  const head = [`// Scenario ${s.seed}: ${note}`, `--tolerance_usecs=${TOLERANCE_US}`, ''];
  return `${[...head, ...writer.lines].join('\n')}\n`;
}

class Writer {
  readonly lines: string[] = [];
  private readonly h: Handshake;
  private fd = 3;
  /** Answers of the epoch that the calls in it have not used. */
  private answers: Epoch['answers'] = [];
  private pending: string[] = [];
  private lastUs = 0;

  constructor(s: Scenario) {
    this.h = s.handshake;
  }

  handshake(first: Epoch): void {
    const { how, win } = this.h;
    const add = (...l: string[]): void => void this.lines.push(...l);
    const syn = { kind: 'segment', gapUs: 0, win, urgent: 0, length: 0, seq: 0 } as const;
    add('0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3');
    const [stackSyn] = first.replies;
    if (how === 'passive' || how === 'half') {
      add('+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0', '+0 bind(3, ..., ...) = 0', '+0 listen(3, 1) = 0');
      add(this.inbound({ ...syn, flags: TCP_SYN, ack: 0 }), this.outbound(stackSyn!));
      if (how === 'half') return;
      const tsVal = this.h.timestamps ? { tsVal: TSVAL_0 } : {};
      add(this.inbound({ ...syn, gapUs: RTT_US, seq: 1, ack: 1, flags: TCP_ACK, ...tsVal }));
      add('+0 accept(3, ..., ...) = 4', '+0 close(3) = 0');
      this.fd = 4;
      return;
    }
    add('+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0');
    add('+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)', this.outbound(stackSyn!));
    if (how === 'asked') return;
    add(this.inbound({ ...syn, gapUs: RTT_US, flags: TCP_SYN | TCP_ACK, ack: 1 }));
  }

  begin(e: Epoch): void {
    this.answers = [...e.answers];
  }

  /** The time since the line before, which was made at `lastUs`. */
  private since(atUs: number): string {
    const us = Math.max(0, atUs - this.lastUs);
    this.lastUs += us;
    return `+${Math.round(us / 100) / 1e4}`;
  }

  /** The steps, and what came back, in the order it came. */
  end(e: Epoch, all: boolean): void {
    this.lines.push(...this.pending);
    this.pending = [];
    // The handshake's first reply stands there already.
    for (const r of all ? e.replies : e.replies.slice(1))
      this.lines.push(this.outbound(r, all ? this.since(r.atUs) : '+0'));
    if (!all) this.lastUs = Math.max(e.startUs, ...e.replies.map((r) => r.atUs));
  }

  step(step: Step, e: Epoch): void {
    const when = e.startUs === 0 ? '+0' : this.since(e.startUs);
    this.pending.push(step.kind === 'segment' ? this.inbound(step, when) : this.call(step, when));
  }

  private call({ name, arg }: Call, when: string): string {
    const text = {
      send: `send(${this.fd}, ..., ${arg}, MSG_DONTWAIT|MSG_NOSIGNAL)`,
      recv: `recv(${this.fd}, ..., ${arg}, MSG_DONTWAIT)`,
      shutdown: `shutdown(${this.fd}, ${['SHUT_RD', 'SHUT_WR', 'SHUT_RDWR'][arg]})`,
      close: `close(${this.fd})`,
      nodelay: `setsockopt(${this.fd}, SOL_TCP, TCP_NODELAY, [${arg}], 4)`,
      cork: `setsockopt(${this.fd}, SOL_TCP, TCP_CORK, [${arg}], 4)`,
    }[name];
    const a = this.answers.shift();
    const result = a === undefined || a.ret >= 0 ? String(a?.ret ?? 0) : `-1 ${errnoName(a.errno)}`;
    return `${when} ${text} = ${result}`;
  }

  private inbound(s: Segment, when = gap(s.gapUs)): string {
    const options: string[] = [];
    const syn = (s.flags & TCP_SYN) !== 0;
    if (syn) options.push(`mss ${this.h.mss}`);
    if (syn && this.h.sackOk) options.push('nop', 'nop', 'sackOK');
    const tsVal = s.tsVal ?? (syn && this.h.timestamps ? TSVAL_0 : undefined);
    if (tsVal !== undefined)
      options.push('nop', 'nop', `TS val ${tsVal >>> 0} ecr ${s.flags & TCP_ACK ? STACK_TSVAL : 0}`);
    if (syn && this.h.wscale !== undefined) options.push('nop', `wscale ${this.h.wscale}`);
    if (s.sack !== undefined) options.push('nop', 'nop', `sack ${s.sack[0] >>> 0}:${s.sack[1] >>> 0}`);
    const ack = s.flags & TCP_ACK ? ` ack ${s.ack >>> 0}` : '';
    const urgent = s.urgent > 0 ? ` urg ${s.urgent}` : '';
    const list = options.length > 0 ? ` <${options.join(',')}>` : '';
    return `${when} < ${flagText(s.flags)} ${range(s.seq, s.length)}${ack} win ${s.win}${urgent}${list}`;
  }

  private outbound(r: Reply, when = '+0'): string {
    const ack = r.flags & TCP_ACK ? ` ack ${r.ack >>> 0}` : '';
    const sack = r.sack.map(([a, b]) => `${a >>> 0}:${b >>> 0}`).join(' ');
    // Options of a SYN name the TSval that later echoes stand for.
    const o = r.synOptions;
    let options = sack === '' ? '' : ` <nop,nop,sack ${sack}>`;
    if (r.ecr !== undefined || o !== undefined) options = ' <...>';
    if (o?.tsVal !== undefined) {
      const tail = o.wscale === undefined ? '' : `,nop,wscale ${o.wscale}`;
      const head = o.sackPermitted ? 'sackOK' : 'nop,nop';
      options = ` <mss ${o.mss},${head},TS val ${STACK_TSVAL} ecr ${r.ecr ?? 0}${tail}>`;
    }
    const closed = r.win === 0 && !(r.flags & TCP_RST) ? ' win 0' : '';
    return `${when} > ${flagText(r.flags)} ${range(r.seq, r.length)}${ack}${closed}${options}`;
  }
}

const gap = (us: number): string => `+${us / 1e6}`;
const range = (seq: number, length: number): string => `${seq >>> 0}:${(seq + length) >>> 0}(${length})`;
const flagText = (flags: number): string =>
  ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'].filter((_, i) => flags & (1 << i)).join('') || '-';
