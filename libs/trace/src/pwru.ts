import { functionOf, iface, mtu, plain, type PrintedEvent, type PrintOptions, skbHex } from './print.ts';

/** pwru's columns and widths; its CPU is our layer, its PROCESS the title of the layer's process. */
const WIDTHS = {
  skb: 18,
  cpu: 6,
  process: 16,
  timestamp: 16,
  netns: 10,
  mark: 8,
  iface: 16,
  proto: 6,
  mtu: 5,
  len: 5,
  tuple: 48,
};

/** The line above the events. */
export function formatPwruHeader(opts: PrintOptions = {}): string {
  return columns(
    {
      skb: 'SKB',
      cpu: 'CPU',
      process: 'PROCESS',
      timestamp: 'TIMESTAMP',
      netns: 'NETNS',
      mark: 'MARK/x',
      iface: 'IFACE',
      proto: 'PROTO',
      mtu: 'MTU',
      len: 'LEN',
      tuple: 'TUPLE',
    },
    'FUNC',
    opts,
  );
}

/** One event as one line, as `pwru --output-meta --output-tuple` would print it. */
export function formatPwru(e: PrintedEvent, opts: PrintOptions = {}): string {
  const layer = plain(e.layer ?? '');
  return columns(
    {
      skb: skbHex(e.skb),
      cpu: layer,
      process: `skbus-${layer}${opts.netns ? `[${opts.netns}]` : ''}`,
      timestamp: String(Math.round(((e.timeMs ?? 0) - (opts.sinceMs ?? 0)) * 1000)),
      netns: opts.netns ?? '-',
      mark: (e.mark ?? 0).toString(16),
      iface: iface(e.ifindex, opts),
      proto: `0x${(e.protocol ?? 0).toString(16).padStart(4, '0')}`,
      mtu: String(mtu(e, opts)),
      len: String(e.len ?? 0),
      tuple: plain(e.tuple ?? '') || '-',
    },
    functionOf(e),
    opts,
  );
}

function columns(cells: Record<keyof typeof WIDTHS, string>, func: string, opts: PrintOptions): string {
  const names = (Object.keys(WIDTHS) as (keyof typeof WIDTHS)[]).filter(
    (n) => n !== 'timestamp' || opts.sinceMs !== undefined,
  );
  return [...names.map((n) => (n === 'iface' ? centred(cells[n], WIDTHS[n]) : cells[n].padEnd(WIDTHS[n]))), func].join(
    ' ',
  );
}

function centred(text: string, width: number): string {
  return text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width);
}
