#!/usr/bin/env node
// Differential fuzzing: random segments at the edges, fed to our engines and to the kernel of this machine.
//   npm run fuzz:tcp -- --seed N --count M [--out DIR]
// Each difference prints its seed and a packetdrill script that Linux passes; --out writes the scripts to files.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { differential, LinuxTarget, makeTarget, showSide, whyNoLinux } from '@skbus/packetdrill';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    out: { type: 'string' },
  },
});
const whyNot = whyNoLinux();
if (whyNot !== undefined) {
  process.stderr.write(`fuzz: ${whyNot}\n`);
  process.exit(1);
}
const [from, count] = [Number(values.seed), Number(values.count)];
if (values.out) mkdirSync(values.out, { recursive: true });
const linux = new LinuxTarget();
const run = await differential(
  linux,
  await makeTarget('engine'),
  Array.from({ length: count }, (_, i) => from + i),
  ({ seed, difference, script }) => {
    const { epoch, expected, actual } = difference;
    process.stdout.write(
      `seed ${seed}, step ${epoch}:\n  linux:  ${showSide(expected)}\n  engine: ${showSide(actual)}\n`,
    );
    if (values.out) writeFileSync(join(values.out, `seed-${seed}.pkt`), script);
    else process.stdout.write(`${script}\n`);
  },
);
await linux.dispose();
const { compared, known, unsteady, findings } = run;
for (const { seed, why } of known) process.stdout.write(`seed ${seed}, as is known: ${why}\n`);
if (unsteady.length > 0) process.stdout.write(`a timer fell on a step: seeds ${unsteady.join(', ')}\n`);
process.stdout.write(
  `${compared} compared, ${findings.length} differ, ${known.length} as is known, ${unsteady.length} left out\n`,
);
process.exitCode = findings.length > 0 ? 1 : 0;
