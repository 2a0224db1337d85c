import { percentile } from '../../bench/lib/stats.mjs';
import { FAULTS, LAYERS } from './plan.mjs';

/** @typedef {import('./plan.mjs').Fault} Fault */
/** @typedef {{ outcome: 'alive' | 'reset' | 'lost' | 'wrong', ms: number, why?: string }} Verdict */
/** @typedef {{ layer: string, fault: Fault, verdicts: Record<string, Verdict>, unhealed?: boolean }} Result */

export const STATES = ['handshake', 'bulk in', 'bulk out', 'both', 'idle', 'half-closed', 'TIME_WAIT'];
/** Whose longest gap is the blackout: those that transfer all the time. */
const STEADY = ['bulk in', 'bulk out', 'both', 'half-closed'];
const GOAL_MS = { nic: 500, neigh: 500, ip: 500, udp: 500, tcp: 1_000, socket: 1_000, nats: undefined };

/** What a connection does without a fault, by state: nobody can tell a fault from that. @param {Result[]} results */
export function quiet(results) {
  /** @type {Record<string, number>} */
  const limit = {};
  for (const s of STATES) {
    const ms = results.filter((r) => r.fault === 'none').map((r) => r.verdicts[s]?.ms ?? 0);
    limit[s] = Math.max(20, percentile(ms.toSorted(ascending), 0.99) || 0);
  }
  return limit;
}

/** @param {number} a @param {number} b */
const ascending = (a, b) => a - b;
/** @param {number} ms */
const round = (ms) => String(Math.round(ms));

/** @param {Verdict[]} all @param {number} limit */
function cell(all, limit) {
  if (all.length === 0) return '–';
  const alive = all.filter((v) => v.outcome === 'alive');
  const late = alive.filter((v) => v.ms > limit);
  const parts = [`${alive.length - late.length} T`];
  if (late.length > 0) parts.push(`${late.length} D ≤ ${round(Math.max(...late.map((v) => v.ms)))} ms`);
  for (const [outcome, letter] of [
    ['reset', '**R**'],
    ['lost', '**L**'],
    ['wrong', '**WRONG BYTES**'],
  ]) {
    const n = all.filter((v) => v.outcome === outcome).length;
    if (n > 0) parts.push(`${n} ${letter}`);
  }
  return parts.join(', ');
}

/** @param {string[]} head @param {string[][]} rows */
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((r) => `| ${r.join(' | ')} |`).join('\n');

/** @param {Result[]} results @param {{ seed: number, cpus: number, command: string }} about */
export function markdown(results, about) {
  const limit = quiet(results);
  const of = (/** @type {string} */ layer, /** @type {Fault} */ fault) =>
    results.filter((r) => r.layer === layer && r.fault === fault);
  const layers = LAYERS.filter((l) => results.some((r) => r.layer === l));
  const faults = /** @type {Fault[]} */ (Object.keys(FAULTS)).filter((f) => results.some((r) => r.fault === f));
  const sections = faults
    .filter((f) => f !== 'none')
    .map((f) => {
      const rows = layers
        .filter((l) => of(l, f).length > 0)
        .map((l) => {
          const rs = of(l, f);
          const cells = STATES.map((s) => cell(verdictsOf(rs, s), limit[s] ?? 0));
          return [l, String(rs.length), ...cells];
        });
      return `### ${FAULTS[f].title}\n\n${table(['layer', 'times', ...STATES], rows)}`;
    });
  const kills = results.filter((r) => r.fault === 'kill').length;
  const failed = results.filter((r) => r.unhealed).length;
  return `${HEAD}
Made by \`${about.command}\` with seed ${about.seed}: ${results.length} rounds, of which ${kills} are \`kill -9\` (${layers
    .map((l) => `${l} ${of(l, 'kill').length}`)
    .join(
      ', ',
    )}) and ${of('', 'none').length} without a fault, on ${about.cpus} CPUs. In each round all seven connections were open at once.
${failed === 0 ? 'The stack never had to be started anew.' : `**${failed} times the stack had to be started anew.**`}

## Blackout

The longest time in which a transferring connection made no progress (the worst of ${STEADY.join(', ')} in each round), in milliseconds.

${table(['layer', 'fault', 'times', 'p50', 'p99', 'most', 'goal (p99)'], blackouts(results, layers, faults))}

## What became of the connections

T: transparent, no longer without progress than connections are at times without any fault (99 % of ${of('', 'none').length} rounds: ${STATES.map(
    (s) => `${s} ${round(limit[s] ?? 0)} ms`,
  ).join(', ')}). D: delayed, and by how much at most. R: reset or closed. L: lost, no progress for 20 s.

${sections.join('\n\n')}

${TAIL}`;
}

/** @param {Result[]} rs @param {string} state */
const verdictsOf = (rs, state) => rs.map((r) => r.verdicts[state]).filter((v) => v !== undefined);

/** @param {Result[]} results @param {string[]} layers @param {Fault[]} faults */
function blackouts(results, layers, faults) {
  const rows = [];
  for (const layer of ['', ...layers]) {
    for (const fault of faults) {
      if ((layer === '') !== (fault === 'none')) continue;
      const rs = results.filter((r) => r.layer === layer && r.fault === fault);
      if (rs.length === 0) continue;
      const ms = rs.map((r) => worstGap(r)).filter((x) => x !== undefined);
      const sorted = ms.toSorted(ascending);
      const goal = fault === 'kill' ? GOAL_MS[/** @type {keyof typeof GOAL_MS} */ (layer)] : undefined;
      const p99 = percentile(sorted, 0.99);
      rows.push([
        layer || '–',
        FAULTS[fault].title,
        ms.length === rs.length ? String(rs.length) : `${ms.length} of ${rs.length}`,
        ...(sorted.length === 0 ? ['–', '–', '–'] : [percentile(sorted, 0.5), p99, sorted.at(-1) ?? 0].map(round)),
        goal === undefined ? '' : `${goal} ${p99 <= goal ? '✓' : '✗'}`,
      ]);
    }
  }
  return rows;
}

/** `undefined`: one of them did not live on. @param {Result} r */
function worstGap(r) {
  const vs = STEADY.map((s) => r.verdicts[s]);
  if (vs.some((v) => v === undefined || v.outcome !== 'alive')) return undefined;
  return Math.max(...vs.map((v) => v?.ms ?? 0));
}

const HEAD = `# What becomes of connections when a layer dies

Generated by \`npm run resilience\`; do not edit. [SURVIVAL.md](SURVIVAL.md) says how it works.
`;

const TAIL = `## Next to the literature

NewtOS (T. Hruby, D. Vogt, H. Bos, A. S. Tanenbaum: *Keep Net Working – On a Dependable and Fast Networking Stack*, DSN 2012) is the
published stack that is nearest to this one: the network stack of a multiserver operating system, split into servers that are
restarted one by one. It restarts its drivers and IP under running connections, and loses established connections when TCP dies. That
is what tcp's row above has to be held against. Its numbers come from injected software faults, ours from processes that are
killed, stopped and cut off; they cannot be compared one to one and are not repeated here.
`;
