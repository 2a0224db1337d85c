import { DROP_REASONS } from '@skbus/skb';
import type { FaultOp, SendCopy } from '../rule.ts';
import { formatMillis, parseMillis } from './values.ts';

// What was done to one item, as a log shows it and as `script` takes it: `drop NOMEM`, `send +0ms, +12.5ms flip 77`,
// `set ip.ttl=1 csum keep`. Ops of one item are joined by `then`.

export function formatOp(o: FaultOp): string {
  switch (o.op) {
    case 'drop':
      return `drop ${o.reason}`;
    case 'send':
      return `send ${o.copies.map(formatCopy).join(' and ')}`;
    case 'truncate':
      return `truncate ${o.bytes}`;
    case 'set':
      return formatSet(o.fields, o.csum);
    case 'hold':
      return 'hold';
    case 'end':
      return `end ${o.name}`;
    default:
      return [o.op, o.name, ...o.args].join(' ');
  }
}

export function formatSet(fields: Readonly<Record<string, string>>, csum: 'fix' | 'keep'): string {
  const list = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return `set ${list.join(' ')}${csum === 'keep' ? ' csum keep' : ''}`;
}

const formatCopy = (c: SendCopy): string =>
  `+${formatMillis(c.delayMs)}${c.flip === undefined ? '' : ` flip ${c.flip}`}${c.ce === true ? ' ce' : ''}`;

/** `3: drop NOMEM; 5: send +1ms then …` as text of a script. */
export function formatSteps(steps: ReadonlyMap<number, readonly FaultOp[]>): string {
  const list = [...steps].sort(([a], [b]) => a - b);
  return list.map(([n, ops]) => `${n}: ${ops.map(formatOp).join(' then ')}`).join('; ');
}

/** A sentence: what is wrong. */
export function parseSteps(text: string): ReadonlyMap<number, readonly FaultOp[]> | string {
  const steps = new Map<number, readonly FaultOp[]>();
  for (const part of text.split(';')) {
    const m = /^\s*(\d+)\s*:\s*(.+?)\s*$/.exec(part);
    if (m === null) return `"${part.trim()}" is no step: write "3: drop NOMEM"`;
    const ops: FaultOp[] = [];
    for (const one of m[2]!.split(/\s+then\s+/)) {
      const o = parseOp(one);
      if (typeof o === 'string') return o;
      ops.push(o);
    }
    if (steps.has(Number(m[1]))) return `step ${m[1]} is there twice`;
    steps.set(Number(m[1]), ops);
  }
  return steps;
}

/** A sentence: what is wrong. */
export function parseOp(text: string): FaultOp | string {
  const [op, ...rest] = text.trim().split(/\s+/);
  switch (op) {
    case 'drop':
      return rest.length === 1 && isReason(rest[0]!)
        ? { op, reason: rest[0]! }
        : `"${text}": drop takes one drop reason`;
    case 'send':
      return parseSend(rest.join(' '));
    case 'truncate':
      return rest.length === 1 && /^\d+$/.test(rest[0]!)
        ? { op, bytes: Number(rest[0]) }
        : `"${text}": truncate takes bytes`;
    case 'set':
      return parseSet(rest);
    case 'hold':
      return rest.length === 0 ? { op } : `"${text}": hold takes nothing`;
    case 'end':
      return rest.length === 1 ? { op, name: rest[0]! } : `"${text}": end takes a name`;
    case 'layer':
    case 'service':
      return rest.length > 0 ? { op, name: rest[0]!, args: rest.slice(1) } : `"${text}": ${op} takes a name`;
    default:
      return `"${op}" is nothing that can be done: drop, send, truncate, set, hold, layer, end or service`;
  }
}

export const isReason = (name: string): boolean => (DROP_REASONS as readonly string[]).includes(name);

function parseSet(list: readonly string[]): FaultOp | string {
  const at = list.indexOf('csum');
  const tail = at < 0 ? [] : list.slice(at);
  if (at >= 0 && (tail.length !== 2 || (tail[1] !== 'fix' && tail[1] !== 'keep'))) return '"csum" takes fix or keep';
  const fields: Record<string, string> = {};
  for (const w of at < 0 ? list : list.slice(0, at)) {
    const m = /^([^=]+)=(.+)$/.exec(w);
    if (m === null) return `"${w}" is no field=value`;
    fields[m[1]!] = m[2]!;
  }
  if (Object.keys(fields).length === 0) return 'set takes field=value';
  return { op: 'set', fields, csum: tail[1] === 'keep' ? 'keep' : 'fix' };
}

function parseSend(text: string): FaultOp | string {
  const copies: SendCopy[] = [];
  for (const one of text.split(/\s+and\s+/)) {
    const m = /^\+(\S+)(?: flip (\d+))?( ce)?$/.exec(one.trim());
    const delayMs = m === null ? undefined : parseMillis(m[1]!);
    if (m === null || delayMs === undefined) return `"${one}" is no copy: write "+12.5ms flip 77 ce"`;
    copies.push({
      delayMs,
      ...(m[2] === undefined ? {} : { flip: Number(m[2]) }),
      ...(m[3] === undefined ? {} : { ce: true }),
    });
  }
  return { op: 'send', copies };
}
