/**
 * @typedef {object} Row
 * @property {string} label
 * @property {string} name of the samples
 * @property {string} [over] what to divide by
 * @property {string} [overLabel]
 * @property {{ op: '>=' | '<=', value: number, of: 'ratio' | 'median' }} [target]
 */
/** @typedef {{ title: string, unit: string, scale: number, digits: number, rows: Row[] }} Section */

/** @param {string} way @param {'up' | 'down'} dir @returns {Section} */
const bulk = (way, dir) => ({
  title: `Bulk TCP, ${way}`,
  unit: 'Gbit/s',
  scale: 1e-9,
  digits: 3,
  rows: [
    { label: 'kernel, veth, GSO', name: `kernel.gso.${dir}` },
    { label: 'kernel, veth, no GSO', name: `kernel.nogso.${dir}` },
    { label: 'bare broker, 3 hops of 64 KiB', name: 'broker.bulk.64' },
    { label: 'bare broker, 3 hops of 256 KiB', name: 'broker.bulk.256' },
    {
      label: 'skbus, offload',
      name: `stack.offload.${dir}`,
      over: `kernel.nogso.${dir}`,
      overLabel: 'veth, no GSO',
      target: { op: '>=', value: 0.025, of: 'ratio' },
    },
    {
      label: 'skbus, plain frames',
      name: `stack.plain.${dir}`,
      over: `kernel.nogso.${dir}`,
      overLabel: 'veth, no GSO',
      target: { op: '>=', value: 0.01, of: 'ratio' },
    },
  ],
});

/** @param {string} how @param {string} placement @returns {Section} */
const roundTrip = (how, placement) => ({
  title: `1-byte round trip, ${how}`,
  unit: 'µs',
  scale: 1,
  digits: 0,
  rows: [
    { label: 'kernel, veth, p50', name: `kernel.rtt.${placement}.p50` },
    { label: 'kernel, veth, p99', name: `kernel.rtt.${placement}.p99` },
    { label: 'bare broker, 6 hops, p50', name: `broker.rtt.${placement}.p50` },
    { label: 'bare broker, 6 hops, p99', name: `broker.rtt.${placement}.p99` },
    {
      label: 'skbus, p50',
      name: `stack.rtt.${placement}.p50`,
      over: `broker.rtt.${placement}.p50`,
      overLabel: 'bare broker',
      target: { op: '<=', value: 2, of: 'ratio' },
    },
    {
      label: 'skbus, p99',
      name: `stack.rtt.${placement}.p99`,
      over: `broker.rtt.${placement}.p99`,
      overLabel: 'bare broker',
    },
  ],
});

/** What the whole stack is measured by. @type {Section[]} */
const SECTIONS = [
  bulk('peer to stack', 'up'),
  bulk('stack to peer', 'down'),
  {
    title: '32 MiB each way, sent again by either side',
    unit: 'segments',
    scale: 1,
    digits: 0,
    rows: [
      { label: 'skbus, offload', name: 'stack.offload.again', target: { op: '<=', value: 0, of: 'median' } },
      { label: 'skbus, plain frames', name: 'stack.plain.again', target: { op: '<=', value: 0, of: 'median' } },
    ],
  },
  roundTrip('all on one CPU', 'oneCpu'),
  roundTrip('across CPUs', 'across'),
  {
    title: 'Connect, request, close',
    unit: '1/s',
    scale: 1,
    digits: 0,
    rows: [1, 16].flatMap((n) => [
      { label: `kernel, veth, ${n} at once`, name: `kernel.conn.${n}` },
      {
        label: `skbus, ${n} at once`,
        name: `stack.conn.${n}`,
        over: `kernel.conn.${n}`,
        overLabel: 'veth',
        target: /** @type {const} */ ({ op: '>=', value: 500, of: 'median' }),
      },
      { label: `skbus, ${n} at once, failed`, name: `stack.conn.${n}.errors` },
    ]),
  },
  {
    title: '1,000 idle connections',
    unit: 'MiB',
    scale: 1 / (1 << 20),
    digits: 1,
    rows: [
      {
        label: 'skbus, all services, more than before',
        name: 'stack.idle.bytes',
        target: { op: '<=', value: 100 * (1 << 20), of: 'median' },
      },
      { label: 'with the broker and the demo program', name: 'stack.idle.allBytes' },
    ],
  },
];

/**
 * @param {import('./stats.mjs').Samples} samples @param {Row} row
 * @returns {{ median: number | undefined, ratio: number | undefined, met: boolean | undefined }}
 */
function evaluate(samples, row) {
  const median = samples.median(row.name);
  const ratio = row.over === undefined ? undefined : samples.ratio(row.name, row.over);
  const { target } = row;
  const value = target?.of === 'ratio' ? ratio : median;
  const met =
    target && value !== undefined ? (target.op === '>=' ? value >= target.value : value <= target.value) : undefined;
  return { median, ratio, met };
}

/** @param {import('./stats.mjs').Samples} samples @param {Section[]} [sections] */
export function asText(samples, sections = SECTIONS) {
  const lines = [];
  for (const { title, unit, scale, digits, rows } of sections) {
    if (!rows.some((r) => samples.of(r.name).length > 0)) continue;
    lines.push('', `${title} (${unit})`);
    for (const row of rows) {
      const { median, ratio, met } = evaluate(samples, row);
      if (median === undefined) {
        if (row.target) lines.push(`  ${row.label.padEnd(40)} ${'-'.padStart(9)}   not measured`);
        continue;
      }
      const values = samples.of(row.name).map((v) => v * scale);
      const spread = `${Math.min(...values).toFixed(digits)} … ${Math.max(...values).toFixed(digits)}`;
      let line = `  ${row.label.padEnd(40)} ${(median * scale).toFixed(digits).padStart(9)}   ${spread.padEnd(21)}`;
      if (ratio !== undefined) line += ` ${ratio.toFixed(3)} × ${row.overLabel}`;
      if (row.target) {
        const goal = row.target.of === 'ratio' ? row.target.value : row.target.value * scale;
        line += `  (wanted ${row.target.op} ${goal}: ${met === undefined ? 'not measured' : met ? 'met' : 'missed'})`;
      }
      lines.push(line.trimEnd());
    }
  }
  return lines.join('\n');
}

/** @param {import('./stats.mjs').Samples} samples @param {Record<string, unknown>} about @param {Section[]} [sections] */
export function asJson(samples, about, sections = SECTIONS) {
  const results = sections.flatMap(({ title, unit, scale, rows }) =>
    rows.flatMap((row) => {
      const { median, ratio, met } = evaluate(samples, row);
      if (median === undefined) return [];
      const values = samples.of(row.name).map((v) => v * scale);
      const target = row.target && {
        ...row.target,
        value: row.target.of === 'ratio' ? row.target.value : row.target.value * scale,
        met,
      };
      const base = ratio === undefined ? {} : { over: row.over, ratio };
      return [
        {
          section: title,
          name: row.name,
          label: row.label,
          unit,
          median: median * scale,
          samples: values,
          ...base,
          target,
        },
      ];
    }),
  );
  return { ...about, results };
}
