import { parseIpv4 } from '@skbus/skb';
import type { Workload } from '../plan.ts';
import { Words, wrong } from './words.ts';

const KINDS = ['download', 'upload', 'echo', 'ping', 'connect'] as const;
const PORTS: Readonly<Record<Workload['kind'], number>> = { download: 80, upload: 80, echo: 7, ping: 0, connect: 80 };
const COUNT_MAX = 100_000;
const BYTES_MAX = 1e12;

/**
 * `download 10MB`, `upload 1MB by stack`, `echo 20 udp every 50ms`, `ping 3 by stack to 10.77.0.9`, `connect 1 to port 81`.
 * By the peer, to the other side, unless told otherwise.
 */
export function parseWorkload(text: string): Workload {
  const words = new Words(text);
  const kind = words.name('workload', KINDS);
  const w: Workload = {
    kind,
    text,
    by: 'peer',
    bytes: 0,
    count: 1,
    everyMs: kind === 'ping' ? 1_000 : 0,
    proto: 'tcp',
    to: undefined,
    port: PORTS[kind],
  };
  if (kind === 'download' || kind === 'upload') {
    const before = words.peek();
    w.bytes = words.size(`how much: ${kind} 10MB`);
    if (w.bytes > BYTES_MAX) wrong({ text: before!, column: text.indexOf(before!) }, 'is more than 1000GB');
  } else if (/^\d/.test(words.peek() ?? '')) w.count = words.count('how often', COUNT_MAX);
  while (words.peek() !== undefined) option(words, w);
  return w;
}

function option(words: Words, w: Workload): void {
  const o = words.next('');
  switch (o.text) {
    case 'by':
      w.by = words.name('side', ['stack', 'peer']);
      return;
    case 'every':
      if (w.bytes > 0) wrong(o, `: a ${w.kind} is done once`);
      w.everyMs = words.time('a time after "every"');
      return;
    case 'tcp':
    case 'udp':
      if (w.kind !== 'echo') wrong(o, 'goes with echo only');
      w.proto = o.text;
      if (o.text === 'udp' && w.everyMs === 0) w.everyMs = 100;
      return;
    case 'port':
    case 'to':
      return target(words, w, o.text === 'port');
    default:
      wrong(o, 'is no word of a workload: by SIDE, every TIME, tcp, udp, to ADDRESS, port N');
  }
}

function target(words: Words, w: Workload, isPort: boolean): void {
  if (isPort || words.eat('port')) {
    if (w.kind === 'ping') wrong({ text: 'port', column: words.text.indexOf('port') }, ': a ping has none');
    w.port = words.count('a port', 65_535);
    return;
  }
  const a = words.next('an address after "to"');
  if (parseIpv4(a.text) === undefined) wrong(a, 'is no IPv4 address');
  w.to = a.text;
}
