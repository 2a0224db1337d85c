import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { BOOT_TABLE, bootOrder, registersWith, type BootLayer } from '@skbus/boot';
import { LAYERS } from '@skbus/contracts';
import { parse } from 'yaml';
import { root } from '../support/projects.ts';

interface Service {
  image?: string;
  build?: { target: string };
  pull_policy?: string;
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  read_only?: boolean;
  cap_drop?: string[];
  cap_add?: string[];
  devices?: string[];
  ports?: string[];
  volumes?: string[];
  networks?: string[];
}

const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
const { services, volumes } = parse(text, { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const keyVolumes = Object.keys(volumes)
  .filter((v) => v.startsWith('keys-'))
  .sort();
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
const stages = new Map([...dockerfile.matchAll(/^FROM (\S+) AS (\S+)$/gm)].map((m) => [m[2]!, m[1]!]));
const dependsOn = (name: string): string[] => Object.keys(services[name]!.depends_on ?? {});

/** Everything that has to be healthy before a service starts. */
function before(name: string, seen = new Set<string>()): Set<string> {
  for (const d of dependsOn(name)) {
    if (seen.has(d)) continue;
    seen.add(d);
    before(d, seen);
  }
  return seen;
}

describe('docker-compose.yml and the boot table', () => {
  test('a service for each owner of an initcall, and one image stage for each service', () => {
    const owners = new Set(BOOT_TABLE.map((e) => e.owner));
    expect(Object.keys(services).sort()).toEqual([...owners, 'nats', 'keys', 'demo', 'peer'].sort());
    expect([...bootOrder()].sort()).toEqual([...LAYERS].sort());
    for (const [name, s] of Object.entries(services)) {
      if (s.build === undefined) continue;
      expect(s.build.target).toBe(name);
      expect(s.image).toBe(`\${SKBUS_IMAGES:-skbus}-${name}`);
      expect(stages.get(name)).toBe('runtime');
      expect(dockerfile).toContain(
        name === 'keys' ? '"apps/orchestrator/dist/keys.js"' : `"apps/${name}/dist/main.js"`,
      );
    }
    expect(dockerfile).not.toMatch(/^#\s*syntax=/m);
  });

  test.each(bootOrder().map((l) => [l] as const))(
    '%s waits for those in whose tables it registers, and for nobody that boots later',
    (layer) => {
      const order: string[] = bootOrder();
      expect(dependsOn(layer)).toEqual(expect.arrayContaining(['nats', ...registersWith(layer)]));
      for (const d of before(layer)) {
        if (d === 'nats' || d === 'keys') continue;
        expect(order.indexOf(d)).toBeGreaterThanOrEqual(0);
        expect(order.indexOf(d)).toBeLessThan(order.indexOf(layer as BootLayer));
      }
    },
  );

  test('starting in dependency order is a boot order: whoever is needed first has nothing in front of it', () => {
    const started: string[] = [];
    const start = (name: string): void => {
      if (started.includes(name)) return;
      for (const d of dependsOn(name)) start(d);
      started.push(name);
    };
    for (const name of Object.keys(services)) start(name);
    expect(started.filter((n) => bootOrder().includes(n as BootLayer))).toEqual(bootOrder());
  });

  test('the orchestrator waits for all of them, programs for the orchestrator', () => {
    expect(dependsOn('orchestrator').sort()).toEqual(['nats', ...LAYERS].sort());
    expect(dependsOn('demo')).toEqual(['orchestrator']);
    expect(services.orchestrator!.environment).toMatchObject({ SKBUS_SPAWN: 'none' });
    for (const [name, s] of Object.entries(services)) {
      for (const [on, d] of Object.entries(s.depends_on ?? {}))
        expect(d.condition).toBe(on === 'keys' ? 'service_completed_successfully' : 'service_healthy');
      // No node is started to look after one: that would cost a second of CPU every two.
      expect(name === 'keys' || name === 'peer' ? undefined : s.healthcheck!.test[1]).not.toBe('node');
    }
    for (const s of Object.entries(services).filter(([name]) => name !== 'keys' && name !== 'peer')) {
      expect(s[1].healthcheck?.test.length).toBeGreaterThan(1);
    }
  });
});

describe('docker-compose.yml and least privilege', () => {
  test('what is built here is never fetched', () => {
    for (const [name, s] of Object.entries(services))
      expect([name, s.pull_policy === 'never']).toEqual([name, s.build !== undefined]);
  });

  const capabilities: Record<string, string[]> = { nic: ['NET_ADMIN'], keys: ['CHOWN', 'DAC_OVERRIDE'] };

  test.each(Object.entries(services).filter(([name]) => name !== 'peer'))(
    '%s can write nowhere and has no capability it does not need',
    (name, s) => {
      expect(s.read_only).toBe(true);
      expect(s.cap_drop).toEqual(['ALL']);
      expect(s.cap_add).toEqual(capabilities[name]);
      expect(s.devices).toEqual(name === 'nic' ? ['/dev/net/tun:/dev/net/tun'] : undefined);
    },
  );

  test('published on this machine only: the control API, SOCKS5 and HTTP CONNECT', () => {
    const published = Object.entries(services).flatMap(([name, s]) => (s.ports ?? []).map((p) => `${name} ${p}`));
    expect(published.sort()).toEqual([
      'orchestrator 127.0.0.1:${SKBUS_API_PORT:-7070}:7070',
      'socket 127.0.0.1:${SKBUS_HTTP_PROXY_PORT:-}:8118',
      'socket 127.0.0.1:${SKBUS_SOCKS_PORT:-1080}:1080',
    ]);
  });

  test('each service sees its own credentials only; the images hold none', () => {
    for (const [name, s] of Object.entries(services)) {
      const keys = (s.volumes ?? []).filter((v) => v.startsWith('keys-'));
      if (name === 'keys') expect(keys.map((v) => v.split(':')[0]).sort()).toEqual(keyVolumes);
      else expect(keys).toEqual(['demo', 'peer'].includes(name) ? [] : [`keys-${name}:/keys:ro`]);
    }
  });

  test('a layer that publishes its health says so where the check looks', () => {
    for (const layer of LAYERS) {
      const port = services[layer]!.environment!.SKBUS_HEALTH_PORT;
      expect(services[layer]!.healthcheck!.test.slice(-2)).toEqual([port, '/health/live']);
    }
  });
});
