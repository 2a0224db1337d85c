import { fileURLToPath } from 'node:url';
import { run } from './children.mjs';

/** @typedef {import('./stats.mjs').Samples} Samples */
/** @typedef {import('./report.mjs').Section} Section */

const PROGRAM = fileURLToPath(new URL('../programs/engine.mjs', import.meta.url));
const CONNECTIONS = [10, 1_000, 10_000, 100_000];
const OUTSTANDING = [10, 1_000, 10_000];
const IDLE = [10_000, 100_000];
/** Less would measure how code is compiled rather than how it runs. */
const MS_MIN = 1_000;

/** Every measurement: a case of programs/engine.mjs and its size. @type {[part: string, size: number][]} */
const CASES = [
  ['receive', 1],
  ['linear', 1],
  ['send', 1],
  ['requests', 1],
  ['requests', 10_000],
  ...CONNECTIONS.map((n) => /** @type {[string, number]} */ (['connections', n])),
  ...OUTSTANDING.map((n) => /** @type {[string, number]} */ (['outstanding', n])),
  ...OUTSTANDING.map((n) => /** @type {[string, number]} */ (['holes', n])),
  ...IDLE.map((n) => /** @type {[string, number]} */ (['memory', n])),
];
export const TCP_PARTS = [...new Set(CASES.map(([part]) => part))];

const count = (/** @type {number} */ n) => n.toLocaleString('en-US');

/** @type {Section[]} */
export const TCP_SECTIONS = [
  {
    title: 'One connection, per second of CPU time',
    unit: '1000/s',
    scale: 1e-3,
    digits: 0,
    rows: [
      {
        label: 'full segments received in order',
        name: 'receive.1',
        target: { op: '>=', value: 1e6, of: 'median' },
      },
      { label: 'the same, payload behind the header', name: 'linear.1' },
      { label: 'small requests answered', name: 'requests.1' },
      { label: 'the same, 10,000 connections in turn', name: 'requests.10000' },
    ],
  },
  {
    title: 'Bulk sending in TSO packets, per second of CPU time',
    unit: 'Gbit/s',
    scale: 1e-9,
    digits: 1,
    rows: [{ label: 'one connection', name: 'send.1', target: { op: '>=', value: 5e9, of: 'median' } }],
  },
  {
    title: 'Segments received, connections in turn',
    unit: '1000/s',
    scale: 1e-3,
    digits: 0,
    rows: CONNECTIONS.map((n) => ({
      label: `${count(n)} connections`,
      name: `connections.${n}`,
      over: 'connections.10',
      overLabel: '10',
    })),
  },
  ...['outstanding', 'holes'].map((part) => ({
    title: `Two engines, segments on the wire, ${part === 'holes' ? '1 % lost, SACK' : 'none lost'}`,
    unit: '1000/s',
    scale: 1e-3,
    digits: 0,
    rows: OUTSTANDING.map((n) => ({
      label: `${count(n)} outstanding`,
      name: `${part}.${n}`,
      over: `${part}.1000`,
      overLabel: '1,000 outstanding',
    })),
  })),
  {
    title: 'Heap of an idle connection that has been used',
    unit: 'bytes',
    scale: 1,
    digits: 0,
    rows: IDLE.map((n) => ({
      label: `of ${count(n)}`,
      name: `memory.${n}`,
      target: { op: '<=', value: 4096, of: 'median' },
    })),
  },
];

/**
 * Each measurement runs in a process of its own, so that none inherits another's heap or compiled code.
 * @param {{ only: string[], ms: number }} opts @param {Samples} samples
 */
export function tcpParts({ only, ms }, samples) {
  return CASES.filter(([part]) => only.includes(part)).map(([part, size]) => ({
    name: `${part} ${count(size)}`,
    round: async () => {
      const argv = [process.execPath, '--expose-gc', PROGRAM, part, `${size}`, `${Math.max(ms, MS_MIN)}`];
      samples.add(`${part}.${size}`, JSON.parse(await run(argv, { timeoutMs: 60_000 })).value);
    },
  }));
}
