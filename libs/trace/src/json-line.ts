import { dropReason, isDropReason, mtu, type PrintedEvent, type PrintOptions, skbHex } from './print.ts';

/** One event as one line of JSON, without the end of line. Keys are pwru's where it has them; what is not known is left out. */
export function formatJsonLine(e: PrintedEvent, opts: PrintOptions = {}): string {
  const detail = Object.fromEntries(
    Object.entries(e.detail ?? {}).map(([k, v]) => [k, isDropReason(e, k) ? dropReason(v) : v]),
  );
  return JSON.stringify({
    time: e.timeMs ?? 0,
    skb: e.skb ? skbHex(e.skb) : undefined,
    parent: e.parent ? skbHex(e.parent) : undefined,
    layer: e.layer ?? '',
    netns: opts.netns,
    mark: e.mark || undefined,
    iface: e.ifindex ? opts.ifname?.(e.ifindex) : undefined,
    ifindex: e.ifindex || undefined,
    proto: e.protocol || undefined,
    mtu: mtu(e, opts) || undefined,
    len: e.skb ? (e.len ?? 0) : undefined,
    tuple: e.tuple || undefined,
    func: e.point ?? '',
    detail: Object.keys(detail).length > 0 ? detail : undefined,
  });
}
