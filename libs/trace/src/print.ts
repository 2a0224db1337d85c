import type { skbus } from '@skbus/contracts';

/** One trace point as it travels; fields that are absent read as 0 or ''. */
export type PrintedEvent = skbus.v1.TraceEvent.$Properties;

/** What an event does not say of itself. */
export interface PrintOptions {
  /** The stack's name. */
  netns?: string;
  /** Name of a device; absent or undefined: its number is shown. */
  ifname?: (ifindex: number) => string | undefined;
  /** A device's MTU; events do not carry it, as a layer does not know the devices. */
  mtuOf?: (ifindex: number) => number | undefined;
  /** Show a TIMESTAMP column: microseconds since this time, on the events' clock. */
  sinceMs?: number;
}

export const skbHex = (id: number | null | undefined): string => `0x${(id ?? 0).toString(16)}`;

/** `eth0:2` as pwru writes it; 0 where there is no device yet. */
export function iface(ifindex: number | null | undefined, opts: PrintOptions): string {
  if (!ifindex) return '0';
  const name = opts.ifname?.(ifindex);
  return name === undefined ? String(ifindex) : `${plain(name)}:${ifindex}`;
}

export const mtu = (e: PrintedEvent, opts: PrintOptions): number =>
  e.mtu || (e.ifindex ? (opts.mtuOf?.(e.ifindex) ?? 0) : 0);

/** `fib_table_lookup(prefix=10.77.0.0/24)`, `kfree_skb(SKB_DROP_REASON_IP_CSUM)`, `ip_rcv` and `empty` after it. */
export function functionOf(e: PrintedEvent, empty = ''): string {
  const name = plain(e.point ?? '');
  const args = Object.entries(e.detail ?? {}).map(([k, v]) => {
    const value = plain(v);
    return isDropReason(e, k) ? dropReason(value) : `${plain(k)}=${value}`;
  });
  return args.length === 0 ? name + empty : `${name}(${args.join(', ')})`;
}

/** The kernel's name of a drop reason. */
export const dropReason = (reason: string): string => `SKB_DROP_REASON_${reason}`;

export const isDropReason = (e: PrintedEvent, key: string): boolean => e.point === 'kfree_skb' && key === 'reason';

/** Events come over the bus: nothing in them may move the cursor of whoever looks. */
export const plain = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
