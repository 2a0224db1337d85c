import type { HeaderStart } from './filter/filter.ts';
import type { Seam, SeamDir, SeamPattern } from './rule.ts';

export interface SeamRow {
  func: string;
  dir: SeamDir;
  /** Which header stands at `skb.data`. */
  starts: HeaderStart;
  /** On the layer's side towards the cable: where a rule sits that names no func. */
  outer: boolean;
  carries: 'skb' | 'message';
}

const skb = (func: string, dir: SeamDir, starts: HeaderStart, outer = false): SeamRow => ({
  func,
  dir,
  starts,
  outer,
  carries: 'skb',
});
const message = (func: string, dir: SeamDir, outer = false): SeamRow => ({
  func,
  dir,
  starts: 'none',
  outer,
  carries: 'message',
});

/** Every seam of every layer, control messages (`ctl.VERB`) aside. */
export const SEAMS: Readonly<Record<string, readonly SeamRow[]>> = {
  nic: [
    skb('wire', 'rx', 'eth', true),
    skb('wire', 'tx', 'eth', true),
    skb('ip_rcv', 'rx', 'ip'),
    skb('arp_rcv', 'rx', 'arp'),
    skb('dev_queue_xmit', 'tx', 'eth'),
  ],
  neigh: [
    skb('arp_rcv', 'rx', 'arp', true),
    skb('dev_queue_xmit', 'tx', 'eth', true),
    skb('neigh_output', 'tx', 'ip'),
    skb('ipv4_link_failure', 'rx', 'ip'),
  ],
  ip: [
    skb('ip_rcv', 'rx', 'ip', true),
    skb('neigh_output', 'tx', 'ip', true),
    skb('dev_queue_xmit', 'tx', 'eth', true),
    skb('tcp_v4_rcv', 'rx', 'tcp'),
    skb('udp_rcv', 'rx', 'udp'),
    skb('tcp_v4_err', 'rx', 'ip'),
    skb('udp_err', 'rx', 'ip'),
    skb('ipv4_link_failure', 'rx', 'ip', true),
    skb('ip_queue_xmit', 'tx', 'tcp'),
    skb('ip_send_skb', 'tx', 'udp'),
    skb('icmp_send', 'tx', 'ip'),
  ],
  tcp: [
    skb('tcp_v4_rcv', 'rx', 'tcp', true),
    skb('tcp_v4_err', 'rx', 'ip', true),
    skb('ip_queue_xmit', 'tx', 'tcp', true),
    message('sk_evt', 'rx'),
    message('sk_cmd', 'tx'),
  ],
  udp: [
    skb('udp_rcv', 'rx', 'udp', true),
    skb('udp_err', 'rx', 'ip', true),
    skb('ip_send_skb', 'tx', 'udp', true),
    skb('icmp_send', 'tx', 'ip', true),
    message('sk_evt', 'rx'),
    message('sk_cmd', 'tx'),
  ],
  socket: [message('sk_evt', 'rx', true), message('sk_cmd', 'tx', true)],
};

export const isControl = (func: string): boolean => func.startsWith('ctl.');

export const seamRow = (layer: string, dir: SeamDir, func: string): SeamRow | undefined =>
  SEAMS[layer]?.find((r) => r.dir === dir && r.func === func);

/** Whether it leaves the layer here; else it comes in. */
export const leaves = (r: SeamRow): boolean => (r.dir === 'tx') === r.outer;

/** Which way that travels which comes into the layer by this func. Control messages: in is rx, out is tx. */
export const entryDir = (layer: string, func: string): SeamDir =>
  SEAMS[layer]?.find((r) => r.func === func && !leaves(r))?.dir ?? 'rx';

/** Whether a rule sits at this seam. */
export function sitsAt(at: SeamPattern, seam: Seam): boolean {
  if (at.layer !== seam.layer || (at.dir !== undefined && at.dir !== seam.dir)) return false;
  if (at.func === undefined) return seamRow(seam.layer, seam.dir, seam.func)?.outer === true;
  return at.func === seam.func || (at.func === 'ctl.*' && isControl(seam.func));
}

/** Whether anything at those seams is an skb. */
export function carriesSkbs(at: SeamPattern): boolean {
  return (SEAMS[at.layer] ?? []).some(
    (r) => r.carries === 'skb' && sitsAt(at, { layer: at.layer, dir: r.dir, func: r.func }),
  );
}
