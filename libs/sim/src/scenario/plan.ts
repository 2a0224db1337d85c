import { below, SeededRng, type Millis } from '@skbus/skb';
import type { LinkModel } from '../link.ts';

/** One connection: who opens it, what each side sends, how it reads. */
export interface Flow {
  from: number;
  to: number;
  startMs: Millis;
  bytesThere: number;
  bytesBack: number;
  /** Bytes per write and per read. */
  chunk: number;
  /** How long the reader thinks after each read; 0: not at all. */
  pauseMs: Millis;
}

/** Something that goes wrong, and ends by itself before the healing. */
export type PlannedFault =
  /** A rule as `skbus fault add` takes it, on one host. */
  | { kind: 'rule'; host: number; text: string }
  /** The cable is another one for a while. */
  | { kind: 'link'; model: Partial<LinkModel>; atMs: Millis; forMs: Millis };

/** A whole scenario. Made from a seed, and small enough to be printed, cut down and run again. */
export interface Plan {
  seed: number;
  hosts: number;
  link: Partial<LinkModel>;
  mtu: number;
  busMs: Millis;
  offload: boolean;
  congestion: string;
  flows: Flow[];
  faults: PlannedFault[];
  /** From here on nothing goes wrong any more. */
  healMs: Millis;
}

export interface PlanOptions {
  faults?: number;
  bytes?: number;
  hosts?: number;
  /** Layers that may be killed. */
  mortal?: readonly string[];
}

const FAULTS_UNTIL_MS = 8_000;
/** None of these may lose a byte: what dies comes back, and what was on its way is sent again. */
const MORTAL = ['nic', 'neigh', 'ip', 'udp'];

/** Everything about scenario `seed`. Two hosts and 20 faults unless told otherwise. */
export function planOf(seed: number, o: PlanOptions = {}): Plan {
  const dice = new Dice(seed);
  const hosts = o.hosts ?? (dice.oneIn(4) ? 3 : 2);
  const offload = dice.oneIn(3);
  const plan: Plan = {
    seed,
    hosts,
    link: {
      latencyMs: dice.real(0.05, 20),
      bitsPerSecond: dice.oneIn(3) ? 0 : dice.real(5e6, 200e6),
      queueFrames: 20 + dice.upTo(500),
    },
    mtu: dice.oneIn(2) ? 1500 : 576 + dice.upTo(1_000),
    busMs: dice.oneIn(2) ? 0 : dice.real(0, 1),
    offload,
    congestion: dice.oneOf(['cubic', 'reno']),
    flows: [],
    faults: [],
    healMs: FAULTS_UNTIL_MS + 500,
  };
  const bytes = o.bytes ?? 1_000_000;
  for (let left = bytes; left > 0;) {
    const size = dice.oneIn(3) ? Math.min(left, 1 + dice.upTo(bytes)) : left;
    plan.flows.push(flow(dice, hosts, size));
    left -= size;
  }
  for (let i = o.faults ?? 20; i > 0; i--) plan.faults.push(fault(dice, plan, o.mortal ?? MORTAL));
  return plan;
}

function flow(dice: Dice, hosts: number, bytes: number): Flow {
  const from = dice.upTo(hosts);
  const there = dice.oneIn(3) ? dice.upTo(bytes) : dice.oneIn(2) ? bytes : 0;
  return {
    from,
    to: (from + 1 + dice.upTo(hosts - 1)) % hosts,
    startMs: dice.real(0, FAULTS_UNTIL_MS / 4),
    bytesThere: there,
    bytesBack: bytes - there,
    chunk: 1 << (6 + dice.upTo(11)),
    pauseMs: dice.oneIn(4) ? dice.real(0, 5) : 0,
  };
}

function fault(dice: Dice, plan: Plan, mortal: readonly string[]): PlannedFault {
  const atMs = Math.round(dice.real(0, FAULTS_UNTIL_MS * 0.7));
  const forMs = 10 + Math.round(dice.real(0, Math.min(2_000, FAULTS_UNTIL_MS - atMs - 100)));
  const window = `after ${atMs}ms for ${forMs}ms seed ${dice.upTo(1_000_000)}`;
  if (dice.oneIn(4)) return { kind: 'link', model: badLink(dice), atMs, forMs };
  const rule = (text: string): PlannedFault => ({ kind: 'rule', host: dice.upTo(plan.hosts), text });
  if (dice.oneIn(5)) return rule(`service kill ${dice.oneOf(mortal)} after ${atMs}ms`);
  const dir = dice.oneOf(['rx', 'tx']);
  if (dice.oneIn(3)) return rule(`at socket ${dir} ${netem(dice)} ${window}`);
  if (dice.oneIn(4)) return rule(`at ${wrongByItself(dice, plan.hosts)} ${window}`);
  if (dice.oneIn(6)) {
    const howMany = dice.oneIn(2) ? `first ${1 + dice.upTo(3)}` : `probability ${dice.real(0, 0.2).toFixed(3)}`;
    return rule(`at ${dice.oneOf(TRACE_POINTS)} ${howMany} ${window}`);
  }
  const layer = dice.oneOf(['nic', 'neigh', 'ip', 'tcp']);
  switch (dice.upTo(5)) {
    case 0:
      return rule(`at tcp rx match 'tcp.flags.syn == 1' drop first ${1 + dice.upTo(2)} ${window}`);
    case 1:
      return rule(`at tcp ${dir} match 'tcp.len > 0' drop nth ${1 + dice.upTo(50)} ${window}`);
    case 2:
      return rule(`at ip.ip_rcv truncate ${10 + dice.upTo(60)} probability ${dice.real(0, 0.3).toFixed(3)} ${window}`);
    case 3:
      // Above this the sums have been looked at; below, with offload, they are not filled in yet. Two flipped bits may leave a sum right.
      if (!plan.offload && !plan.faults.some(corrupts))
        return rule(`at ip.ip_rcv corrupt ${dice.real(0, 20).toFixed(2)}% ${window}`);
  }
  return rule(`at ${layer} ${dir} ${netem(dice)} ${window}`);
}

const corrupts = (f: PlannedFault): boolean => f.kind === 'rule' && f.text.includes(' corrupt ');

/** Where a function may fail or its packet be freed, and the connection goes on. */
const TRACE_POINTS = [
  'nic:netif_receive_skb drop NOMEM',
  'nic:dev_queue_xmit drop NOMEM',
  'neigh:arp_rcv drop NOMEM',
  'neigh:neigh_resolve_output drop NOMEM',
  'neigh:__neigh_create drop NOMEM',
  'neigh:arp_send_dst drop NOMEM',
  'ip:ip_rcv drop NOMEM',
  'ip:ip_rcv_finish drop IP_NOPROTO',
  'ip:ip_local_deliver drop NETFILTER_DROP',
  'ip:ip_local_out drop NETFILTER_DROP',
  'ip:ip_finish_output2 drop NOMEM',
  'tcp:tcp_v4_rcv drop XFRM_POLICY',
  'tcp:tcp_v4_do_rcv drop SOCKET_FILTER',
  'tcp:tcp_rcv_established drop NOMEM',
  'tcp:tcp_data_queue drop PROTO_MEM',
  'tcp:tcp_transmit_skb drop NOMEM',
  'tcp:tcp_connect drop NOMEM',
  'tcp:inet_reqsk_alloc drop NOMEM',
  'tcp:tcp_v4_syn_recv_sock drop NOMEM',
  'tcp:tcp_make_synack drop NOMEM',
];

/**
 * Semantic faults after which a stack recovers by itself. Not here: those that change bytes or a connection's numbers for good, and
 * route-missing: without a route the SYN-ACK's timer gives a half-open connection up (inet_connection_sock.c:reqsk_timer_handler), and
 * the peer, who takes it for established, is reset.
 */
function wrongByItself(dice: Dice, hosts: number): string {
  const somebody = `10.77.0.${1 + dice.upTo(hosts)}`;
  switch (dice.upTo(11)) {
    case 0:
      return 'nic layer carrier-off';
    case 1:
      return 'nic layer tx-csum-unfinished';
    case 2:
      return 'neigh layer arp-silent';
    case 3:
      return `neigh layer arp-late ${1 + dice.upTo(800)}ms`;
    case 4:
      return 'neigh layer arp-poison 02:00:00:00:00:99';
    case 5:
      return 'neigh layer table-full';
    case 6:
      return `ip layer route-wrong 10.77.0.0/24 via ${somebody}`;
    case 7:
      return `ip layer mtu-black-hole ${576 + dice.upTo(900)}`;
    case 8:
      return `ip layer mtu-too-big ${576 + dice.upTo(900)}`;
    case 9:
      return 'tcp layer zero-window';
    default:
      return 'tcp layer ports-taken';
  }
}

function badLink(dice: Dice): Partial<LinkModel> {
  switch (dice.upTo(5)) {
    case 0:
      return { loss: 1 };
    case 1:
      return { loss: dice.real(0, 0.4) };
    case 2:
      return { duplicate: dice.real(0, 0.5), reorder: dice.real(0, 0.5), reorderMs: dice.real(0, 50) };
    case 3:
      return { latencyMs: dice.real(20, 400) };
    default:
      return { bitsPerSecond: dice.real(0.3e6, 3e6), queueFrames: 3 + dice.upTo(20) };
  }
}

function netem(dice: Dice): string {
  const percent = (max: number): string => `${dice.real(0, max).toFixed(2)}%`;
  switch (dice.upTo(5)) {
    case 0:
      return `loss ${percent(40)}`;
    case 1:
      return `duplicate ${percent(50)}`;
    case 2:
      return `delay ${dice.real(0.1, 80).toFixed(2)}ms ${dice.real(0, 40).toFixed(2)}ms`;
    case 3:
      return `delay ${dice.real(0.1, 40).toFixed(2)}ms reorder ${percent(50)} 25%`;
    default:
      return `loss gemodel ${percent(10)} ${dice.real(5, 60).toFixed(1)}%`;
  }
}

class Dice {
  private readonly rng: SeededRng;

  constructor(seed: number) {
    this.rng = new SeededRng(Math.imul(seed, 0x9e37_79b1));
  }

  /** 0 … n - 1 */
  upTo(n: number): number {
    return below(this.rng, Math.max(1, n));
  }

  real(from: number, to: number): number {
    return from + (this.rng.u32() / 0x1_0000_0000) * (to - from);
  }

  oneIn(n: number): boolean {
    return this.upTo(n) === 0;
  }

  oneOf<T>(all: readonly T[]): T {
    return all[this.upTo(all.length)]!;
  }
}
