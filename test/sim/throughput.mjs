#!/usr/bin/env node
// What congestion control makes of a path, in virtual time: node test/sim/throughput.mjs [--write]
// 4 MB over 50 Mbit/s, queue of one bandwidth-delay product; in Mbit/s. --write: into test/golden/throughput.txt.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { availableCongestionControls } from '@skbus/tcp';
import { transfer, twoHosts } from '@skbus/sim';

const BYTES = 4_000_000;
const RATE = 50e6;
const DELAYS = [1, 10, 50];
const LOSSES = [0, 0.001, 0.01, 0.03];
export const FILE = fileURLToPath(new URL('../golden/throughput.txt', import.meta.url));

/** @param {string} congestion @param {number} rttMs @param {number} loss */
function mbits(congestion, rttMs, loss) {
  const queueFrames = Math.max(20, Math.ceil((RATE / 8 / 1500) * (rttMs / 1000)));
  const link = { latencyMs: rttMs / 2, bitsPerSecond: RATE, queueFrames, loss };
  const two = twoHosts(link, { seed: 1, codec: false, tcp: { tcpCongestionControl: congestion } });
  return (BYTES * 8) / transfer(two, BYTES).took / 1000;
}

/** The table as text. */
export function table() {
  const lines = [
    'Mbit/s each way, 4 MB both ways at once over 50 Mbit/s   loss',
    `${'cc'.padEnd(8)}${'RTT ms'.padStart(7)}${LOSSES.map((l) => `${l * 100} %`.padStart(9)).join('')}`,
  ];
  for (const cc of availableCongestionControls().toSorted())
    for (const rtt of DELAYS)
      lines.push(
        `${cc.padEnd(8)}${String(rtt).padStart(7)}${LOSSES.map((l) => mbits(cc, rtt, l).toFixed(2).padStart(9)).join('')}`,
      );
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = table();
  process.stdout.write(text);
  if (process.argv.includes('--write')) writeFileSync(FILE, text);
  else if (text !== readFileSync(FILE, 'utf8'))
    process.stdout.write('this is not what test/golden/throughput.txt says; --write makes it so\n');
}
