import { functionOf, plain, type PrintedEvent, type PrintOptions, skbHex } from './print.ts';

/** Events of one skb, in order. */
interface Journey {
  skb: number;
  events: PrintedEvent[];
}

/** ftrace's marks for what took long, and from how many microseconds on. */
const SLOW: readonly (readonly [us: number, mark: string])[] = [
  [1_000_000, '$'],
  [100_000, '@'],
  [10_000, '*'],
  [1000, '#'],
  [100, '!'],
  [10, '+'],
];

const HEADER = [
  '# tracer: function_graph',
  '#',
  '# LAYER         DURATION      FUNCTION CALLS',
  '# |              |   |         |   |   |   |',
];

/**
 * Events as ftrace's function_graph prints calls, one journey (skb) after the other in the order in which they began. A
 * hand-over to another layer is where the kernel calls on, so it nests: `ip_rcv() { … tcp_v4_rcv() { … } }`.
 */
export function formatFtrace(events: readonly PrintedEvent[], opts: PrintOptions = {}): string[] {
  const sorted = [...events].sort((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0));
  const lines = [...HEADER];
  for (const j of journeys(sorted)) lines.push(...(j.skb === 0 ? flat(j.events) : nested(j, opts)));
  return lines;
}

/** Events without an skb (system calls, timers, boot) are no journey: runs of them stay where they are. */
function journeys(events: readonly PrintedEvent[]): Journey[] {
  const all: Journey[] = [];
  const bySkb = new Map<number, Journey>();
  for (const e of events) {
    const skb = e.skb ?? 0;
    let j = skb === 0 ? all.at(-1) : bySkb.get(skb);
    if (j === undefined || j.skb !== skb) {
      all.push((j = { skb, events: [] }));
      if (skb !== 0) bySkb.set(skb, j);
    }
    j.events.push(e);
  }
  return all;
}

function flat(events: readonly PrintedEvent[]): string[] {
  return events.map((e) => line(e.layer, undefined, 0, `${functionOf(e, '()')};`));
}

function nested({ skb, events }: Journey, opts: PrintOptions): string[] {
  const lines = [`/* ${caption(skb, events, opts)} */`];
  const open: PrintedEvent[] = [];
  for (const [i, e] of events.entries()) {
    const next = events[i + 1];
    if (e.layer !== open.at(-1)?.layer) {
      lines.push(line(e.layer, undefined, open.length, `${functionOf(e, '()')} {`));
      open.push(e);
    } else {
      // What a function took is what passed until the next one; the last of a layer did not say when it ended.
      const us = next !== undefined && next.layer === e.layer ? elapsedUs(e, next) : undefined;
      lines.push(line(e.layer, us, open.length, `${functionOf(e, '()')};`));
    }
  }
  const last = events.at(-1)!;
  for (let e = open.pop(); e !== undefined; e = open.pop()) {
    lines.push(line(e.layer, elapsedUs(e, last), open.length, `} /* ${plain(e.point ?? '')} */`));
  }
  return lines;
}

function caption(skb: number, events: readonly PrintedEvent[], { netns }: PrintOptions): string {
  const parent = events.find((e) => e.parent)?.parent;
  const tuple = events.find((e) => e.tuple)?.tuple;
  const parts = [`skb ${skbHex(skb)}`];
  if (parent) parts.push(`of ${skbHex(parent)}`);
  if (netns) parts.push(`netns ${netns}`);
  if (tuple) parts.push(plain(tuple));
  return parts.join(', ');
}

const elapsedUs = (from: PrintedEvent, to: PrintedEvent): number =>
  Math.max(0, ((to.timeMs ?? 0) - (from.timeMs ?? 0)) * 1000);

function line(layer: string | null | undefined, us: number | undefined, depth: number, call: string): string {
  const mark = SLOW.find(([from]) => us !== undefined && us > from)?.[1] ?? ' ';
  const duration = us === undefined ? ' '.repeat(13) : `${us.toFixed(3).padStart(10)} us`;
  return `${plain(layer ?? '').padStart(7)}) ${mark} ${duration} |  ${'  '.repeat(depth)}${call}`;
}
