import { describe, expect, test } from '@jest/globals';
import { importsOf, projects, type Project } from '../support/projects.ts';

// DESIGN section 2: who may import whom. Engines form one acyclic order; nothing else may reach into a layer.

/** Vocabulary that every engine may use. */
const FOUNDATION = ['@skbus/skb', '@skbus/wire'];
/** Engines that other engines are made of; a protocol layer's own engine is never among them. */
const SHARED_ENGINES: Record<string, readonly string[]> = {
  '@skbus/tcp': ['@skbus/dst'],
  '@skbus/udp': ['@skbus/dst'],
  '@skbus/ip': ['@skbus/fib', '@skbus/icmp', '@skbus/frag'],
};
/** What shells may use besides their own layer's engines. */
const SHELL_LIBS = [
  '@skbus/contracts',
  '@skbus/bus',
  '@skbus/nest-kit',
  '@skbus/trace',
  '@skbus/net',
  '@skbus/libc',
  '@skbus/dst',
  '@skbus/fault',
  ...FOUNDATION,
];
const OWN_ENGINES: Record<string, readonly string[]> = {
  'apps/tcp': ['@skbus/tcp'],
  'apps/udp': ['@skbus/udp'],
  'apps/ip': ['@skbus/ip', '@skbus/fib', '@skbus/icmp', '@skbus/frag'],
  'apps/neigh': ['@skbus/neigh'],
  'apps/nic': ['@skbus/dev'],
  'apps/socket': ['@skbus/socket'],
  'apps/orchestrator': ['@skbus/boot'],
  'apps/cli': ['@skbus/boot', '@skbus/packetdrill', '@skbus/scenario', '@skbus/toxiproxy'],
  'apps/demo': [],
};

const all = projects();
const isTest = (file: string): boolean => /\.spec\.ts$|\/testing\//.test(file);
const ours = (spec: string): boolean => spec.startsWith('@skbus/');

function violations(p: Project, allowed: (spec: string, file: string) => boolean): string[] {
  return p.sources
    .filter((f) => !isTest(f))
    .flatMap((f) =>
      importsOf(f)
        .filter((s) => !allowed(s, f))
        .map((s) => `${f} imports ${s}`),
    );
}

describe('import rules', () => {
  test.each(all.filter((p) => p.tag === 'engine').map((p) => [p.dir, p] as const))(
    '%s is an engine: no I/O, no other layer',
    (_dir, p) => {
      const allowed = [...FOUNDATION, ...(SHARED_ENGINES[p.name] ?? [])];
      expect(violations(p, (s) => s.startsWith('.') || allowed.includes(s))).toEqual([]);
    },
  );

  test('the foundation imports nothing of ours', () => {
    for (const p of all.filter((x) => FOUNDATION.includes(x.name))) expect(violations(p, (s) => !ours(s))).toEqual([]);
  });

  test.each(all.filter((p) => p.tag === 'app').map((p) => [p.dir, p] as const))(
    '%s imports its own engine and the shells’ libs',
    (dir, p) => {
      const allowed = [...SHELL_LIBS, ...(OWN_ENGINES[dir] ?? [])];
      expect(violations(p, (s) => !ours(s) || allowed.includes(s))).toEqual([]);
    },
  );

  test('simulated hosts are made of engines and know no shell', () => {
    const shells = ['@skbus/bus', '@skbus/nest-kit', '@skbus/net', '@skbus/trace'];
    for (const p of all.filter((x) => x.tag === 'sim'))
      expect(violations(p, (s) => !shells.includes(s) && !s.startsWith('@skbus/app-'))).toEqual([]);
  });

  test('generated code is imported by contracts only', () => {
    const offenders = all
      .filter((p) => p.name !== '@skbus/contracts')
      .flatMap((p) => violations(p, (s) => !/\/gen\//.test(s)));
    expect(offenders).toEqual([]);
  });

  test.each(all.map((p) => [p.dir, p] as const))('%s declares what it imports', (_dir, p) => {
    expect(violations(p, (s) => !ours(s) || p.deps.includes(s))).toEqual([]);
    const used = new Set(p.sources.flatMap(importsOf));
    expect(p.deps.filter((d) => ours(d) && !used.has(d))).toEqual([]);
  });

  test('relative imports stay inside their project', () => {
    const offenders = all.flatMap((p) =>
      p.sources.flatMap((f) => {
        const depth = f.split('/').length - 3; // folders below src
        return importsOf(f)
          .filter(
            (s) =>
              s.startsWith('.') &&
              (s.match(/\.\.\//g)?.length ?? 0) > depth &&
              !(p.name === '@skbus/contracts' && s.includes('/gen/')),
          )
          .map((s) => `${f} imports ${s}`);
      }),
    );
    expect(offenders).toEqual([]);
  });
});
