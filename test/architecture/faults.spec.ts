import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { LAYER_FAULTS, TRACE_STOPS } from '@skbus/fault';
import { twoHosts } from '@skbus/sim';
import { projects } from '../support/projects.ts';

/** Whose layer the functions of an engine are. */
const LAYER_OF: Record<string, string> = {
  dev: 'nic',
  neigh: 'neigh',
  ip: 'ip',
  icmp: 'ip',
  tcp: 'tcp',
  udp: 'udp',
  socket: 'socket',
};

test('where functions can fail is what the engines ask about', () => {
  const asked = projects()
    .filter((p) => LAYER_OF[p.dir.replace('libs/', '')] !== undefined)
    .flatMap((p) => {
      const layer = LAYER_OF[p.dir.replace('libs/', '')]!;
      const text = p.sources.filter((f) => !f.endsWith('.spec.ts')).map((f) => readFileSync(f, 'utf8'));
      return text.flatMap((t) => [...t.matchAll(/\.fails\(\s*'(\w+)'/g)].map((m) => `${layer}:${m[1]}`));
    });
  const listed = Object.entries(TRACE_STOPS).flatMap(([layer, stops]) =>
    Object.keys(stops).map((s) => `${layer}:${s}`),
  );
  expect([...new Set(asked)].sort()).toEqual(listed.sort());
});

test('each fault of a layer is offered by its engine, and each that is offered has a name', () => {
  const { shells } = twoHosts().a;
  for (const [layer, shell] of Object.entries(shells)) {
    const named = LAYER_FAULTS.filter((f) => f.layer === layer);
    const { layerFaults } = shell.faults;
    expect([layer, ...Object.keys(layerFaults).sort()]).toEqual([layer, ...named.map((f) => f.name).sort()]);
    for (const { name, acts } of named) expect(layerFaults[name]).toHaveProperty(acts === 'time' ? 'begin' : 'hit');
  }
});

test('docs/FAULTS.md has a row for each of them', () => {
  const docs = readFileSync('docs/FAULTS.md', 'utf8');
  for (const { layer, name } of LAYER_FAULTS)
    expect(docs).toMatch(new RegExp(`^\\| (${layer}|each) \\| \`${name}[ \`]`, 'm'));
});
