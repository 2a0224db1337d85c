import { NETEM_LIMIT_DEFAULT, type NetemLoss, type NetemRate, type NetemSlot, type NetemSpec } from './spec.ts';
import { formatPercent, formatRate, formatTime } from './units.ts';

/** The one text for a spec: parseNetem() makes the same of it. Options that do nothing are left out. */
export function formatNetem(spec: NetemSpec): string {
  const out: string[] = [];
  const { delay, loss, duplicate, reorder, corrupt, rate, slot } = spec;
  if (spec.limit !== NETEM_LIMIT_DEFAULT) out.push(`limit ${spec.limit}`);
  if (delay) {
    out.push('delay', formatTime(delay.delayMs));
    if (delay.jitterMs > 0 || delay.correlation > 0) out.push(formatTime(delay.jitterMs));
    if (delay.correlation > 0) out.push(formatPercent(delay.correlation));
    if (delay.distribution !== 'uniform') out.push('distribution', delay.distribution);
  }
  if (loss) out.push('loss', ...lossWords(loss));
  if (spec.ecn) out.push('ecn');
  if (duplicate) out.push('duplicate', ...chance(duplicate));
  if (reorder) {
    out.push('reorder', ...chance(reorder));
    if (reorder.gap > 1) out.push(`gap ${reorder.gap}`);
  }
  if (corrupt) out.push('corrupt', ...chance(corrupt));
  if (rate) out.push('rate', ...rateWords(rate));
  if (slot) out.push('slot', ...slotWords(slot));
  if (spec.seed !== undefined) out.push(`seed ${spec.seed}`);
  return out.join(' ');
}

const chance = ({ p, correlation }: { p: number; correlation: number }): string[] =>
  correlation > 0 ? [formatPercent(p), formatPercent(correlation)] : [formatPercent(p)];

function lossWords(loss: NetemLoss): string[] {
  switch (loss.model) {
    case 'random':
      return chance(loss);
    case 'state':
      return ['state', ...shares([loss.p13, loss.p31, loss.p32, loss.p23, loss.p14], [1 - loss.p13, 0, 1, 0])];
    default:
      return ['gemodel', ...shares([loss.p, loss.r, loss.lossBad, loss.lossGood], [1 - loss.p, 1, 0])];
  }
}

/** Without those at the end that are what they are by default. */
function shares(all: readonly number[], defaults: readonly number[]): string[] {
  let n = all.length;
  while (n > 1 && all[n - 1] === defaults[n - 2]) n--;
  return all.slice(0, n).map(formatPercent);
}

function rateWords(r: NetemRate): string[] {
  const more = [r.packetOverhead, r.cellSize, r.cellOverhead];
  while (more.length > 0 && more.at(-1) === 0) more.pop();
  return [formatRate(r.bytesPerSec), ...more.map(String)];
}

function slotWords({ every, packets, bytes }: NetemSlot): string[] {
  const out =
    'distribution' in every
      ? ['distribution', every.distribution, formatTime(every.delayMs), formatTime(every.jitterMs)]
      : [formatTime(every.minMs)];
  if ('maxMs' in every && every.maxMs !== every.minMs) out.push(formatTime(every.maxMs));
  if (packets > 0) out.push(`packets ${packets}`);
  if (bytes > 0) out.push(`bytes ${bytes}`);
  return out;
}
