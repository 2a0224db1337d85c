import { formatMac, parseCidr, parseIpv4, parseMac, type Millis } from '@skbus/skb';
import type { SeamDir } from './rule.ts';
import { formatMillis, parseMillis } from './text/values.ts';

/** What may stand for a parameter: how it is called in a usage, an example, and how it is read. */
interface Kind {
  called: string;
  example: string;
  read(text: string): number | undefined;
}

const number = (called: string, min: number, max: number, example: string): Kind => ({
  called,
  example: `a number from ${min} to ${max}, such as ${example}`,
  read: (t) => (/^-?\d+$/.test(t) && Number(t) >= min && Number(t) <= max ? Number(t) : undefined),
});
const IP: Kind = { called: 'IP', example: 'an address such as 10.77.0.2', read: parseIpv4 };
const MAC: Kind = { called: 'MAC', example: `an address such as ${formatMac(0x020000000001)}`, read: parseMac };
const TIME: Kind = { called: 'TIME', example: 'a time such as 500ms or 2s', read: parseMillis };
/** With its sign: which way it goes is the point. */
const STEP: Kind = {
  called: '±TIME',
  example: 'a time with its sign, such as +10s or -500ms',
  read(t) {
    const ms = /^[+-]/.test(t) ? parseMillis(t.slice(1)) : undefined;
    return ms === undefined ? undefined : (t.startsWith('-') ? -1 : 1) * ms;
  },
};
/** Two numbers: the prefix, and its length as `…Len`. */
const PREFIX: Kind = { called: 'PREFIX', example: 'a prefix such as 10.1.0.0/16', read: (t) => parseCidr(t)?.addr };
const DEV: Kind = {
  called: 'DEV',
  example: 'the name of a device',
  read: (t) => (/^[\w.-]{1,15}$/.test(t) ? 0 : undefined),
};

const MTU = number('MTU', 68, 65_535, '1280');
const PORT = number('PORT', 1, 65_535, '80');
const BYTES = number('BYTES', -0x4000_0000, 0x4000_0000, '1000');
/** More would leave the layer no time for anything else. */
const RATE = number('RATE', 1, 10_000, '500');

interface Param {
  name: string;
  kind: Kind;
  /** The word before it. */
  word?: string;
  optional?: true;
}

/** One thing that a layer can do wrong by itself. */
export interface FaultShape {
  layer: string;
  name: string;
  params: readonly Param[];
  /** There for a time, or happens to packets that pass in this direction. */
  acts: 'time' | SeamDir;
  /** There for a time, but counted limits apply to what it changes meanwhile. */
  counts?: true;
  /** Throws dice. */
  dice?: true;
}

const p = (name: string, kind: Kind, more: { word?: string; optional?: true } = {}): Param => ({ name, kind, ...more });
const OPTIONAL = { optional: true } as const;

/** All of them; each is offered by its layer's engine (a test holds the two together). */
export const LAYER_FAULTS: readonly FaultShape[] = [
  { layer: 'nic', name: 'carrier-off', params: [p('dev', DEV, OPTIONAL)], acts: 'time' },
  { layer: 'nic', name: 'rx-csum-lies', params: [], acts: 'rx' },
  { layer: 'nic', name: 'tx-csum-unfinished', params: [], acts: 'time', counts: true },
  { layer: 'neigh', name: 'arp-silent', params: [p('ip', IP, OPTIONAL)], acts: 'time', counts: true },
  { layer: 'neigh', name: 'arp-late', params: [p('time', TIME), p('ip', IP, OPTIONAL)], acts: 'time', counts: true },
  { layer: 'neigh', name: 'arp-poison', params: [p('mac', MAC), p('ip', IP, OPTIONAL)], acts: 'time', counts: true },
  { layer: 'neigh', name: 'table-full', params: [], acts: 'time' },
  { layer: 'ip', name: 'route-missing', params: [p('prefix', PREFIX)], acts: 'time' },
  {
    layer: 'ip',
    name: 'route-wrong',
    params: [p('prefix', PREFIX), p('via', IP, { word: 'via' }), p('dev', DEV, { word: 'dev', optional: true })],
    acts: 'time',
  },
  { layer: 'ip', name: 'mtu-black-hole', params: [p('mtu', MTU)], acts: 'time', counts: true },
  { layer: 'ip', name: 'mtu-too-big', params: [p('mtu', MTU)], acts: 'time', counts: true },
  { layer: 'tcp', name: 'zero-window', params: [p('port', PORT, { word: 'port', optional: true })], acts: 'time' },
  { layer: 'tcp', name: 'seq-jump', params: [p('bytes', BYTES)], acts: 'tx' },
  { layer: 'tcp', name: 'ports-taken', params: [], acts: 'time', counts: true },
  {
    layer: 'tcp',
    name: 'syn-flood',
    params: [p('rate', RATE), p('ip', IP, { word: 'to' }), p('port', PORT, { word: 'port' })],
    acts: 'time',
    dice: true,
  },
  { layer: 'udp', name: 'ports-taken', params: [], acts: 'time', counts: true },
  ...['nic', 'neigh', 'ip', 'tcp', 'udp', 'socket'].map((layer): FaultShape => ({
    layer,
    name: 'clock-jump',
    params: [p('step', STEP)],
    acts: 'time',
  })),
];

/** Those of one layer. */
export const layerFaults = (layer: string): FaultShape[] => LAYER_FAULTS.filter((f) => f.layer === layer);

export const faultShape = (layer: string, name: string): FaultShape | undefined =>
  LAYER_FAULTS.find((f) => f.layer === layer && f.name === name);

/** `arp-late TIME [IP]` */
export function faultUsage({ name, params }: FaultShape): string {
  const list = params.map((q) => {
    const text = q.word === undefined ? q.kind.called : `${q.word} ${q.kind.called}`;
    return q.optional === true ? `[${text}]` : text;
  });
  return [name, ...list].join(' ');
}

/** The parameters of a fault; else which word is wrong (the name is -1, one that is missing comes after the last), and why. */
export type FaultArgs =
  | { params: Readonly<Record<string, number>>; dev: string | undefined; wrong?: undefined }
  | { params?: undefined; wrong: number; message: string };

export function readFaultArgs(layer: string, name: string, args: readonly string[]): FaultArgs {
  const shape = faultShape(layer, name);
  if (shape === undefined) {
    const known = layerFaults(layer).map(faultUsage).join(', ');
    return { wrong: -1, message: `${layer} has no fault "${name}": ${known}` };
  }
  const params: Record<string, number> = {};
  let dev: string | undefined;
  let i = 0;
  const wrong = (at: number, why: string): FaultArgs => ({ wrong: at, message: `${why}: ${faultUsage(shape)}` });
  for (const { name: key, kind, word, optional } of shape.params) {
    if (word !== undefined && args[i] !== word) {
      if (optional === true) continue;
      return wrong(i, args[i] === undefined ? `"${word}" is missing` : `"${args[i]}" stands where "${word}" should`);
    }
    if (word !== undefined) i++;
    const text = args[i];
    const value = text === undefined ? undefined : kind.read(text);
    if (value === undefined && text === undefined && optional === true && word === undefined) continue;
    if (value === undefined) {
      const why = text === undefined ? `${key} is missing` : `"${text}" is no ${key}`;
      return wrong(i, `${why}, which is ${kind.example}`);
    }
    if (kind === DEV) dev = text;
    else params[key] = value;
    if (kind === PREFIX) params[`${key}Len`] = parseCidr(text!)!.len;
    i++;
  }
  if (i < args.length) return wrong(i, `"${args[i]}" is too much`);
  return { params, dev };
}

/** A period shorter than this would have a layer do nothing else. */
export const FLAP_MIN_MS: Millis = 10;
export const flapTooFast = `a period is not shorter than ${formatMillis(FLAP_MIN_MS)}`;
