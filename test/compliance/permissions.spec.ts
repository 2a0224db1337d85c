import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  CredentialsError,
  credentialsFor,
  credentialsIn,
  ensureUsersIn,
  makeCredentials,
  NatsBus,
  natsConfig,
  publicKeyOf,
  readCredentials,
} from '@skbus/bus';
import {
  buckets,
  fits as fitsOne,
  HAND_OVER_OWNER,
  HAND_OVER_SENDERS,
  inboxOf,
  LAYERS,
  permissionsOf,
  SRV_VERBS,
  srvName,
  subjects,
  type Service,
} from '@skbus/contracts';
import { HAND_OVERS } from '@skbus/skb';
import { connect, nkeyAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { startBroker, type TestBroker } from '../support/nats-server.ts';

const SERVICES: readonly Service[] = [...LAYERS, 'orchestrator'];
const VERBS = ['hello', 'register', 'route_query', 'neigh_update', 'hint', 'stats', 'initcall', 'sysctl'];
const NETNS = ['a', 'other'];

const TRANSPORTS = ['tcp', 'udp'] as const;

/** None, and that of an instance. */
const SRV = [undefined, 'x1'];

/** Examples of every kind of subject there is: one that is added to the table is missed here by the compiler. */
const KINDS: Record<keyof typeof subjects, (ns: string) => string[]> = {
  skb: (ns) => HAND_OVERS.map((to) => subjects.skb(ns, to, 2)),
  skCmd: (ns) => TRANSPORTS.map((t) => subjects.skCmd(ns, t)),
  skEvt: (ns) => TRANSPORTS.map((t) => subjects.skEvt(ns, t)),
  tcpWfree: (ns) => [subjects.tcpWfree(ns)],
  ctl: (ns) => SERVICES.flatMap((s) => VERBS.map((v) => subjects.ctl(ns, s, v))),
  all: (ns) => ['rt_cache_flush', 'trace_set', 'layer_state'].map((v) => subjects.all(ns, v)),
  neighUpdate: (ns) => [subjects.neighUpdate(ns)],
  neighHint: (ns) => [subjects.neighHint(ns)],
  trace: (ns) => SERVICES.map((s) => subjects.trace(ns, s)),
  fault: (ns) => SERVICES.map((s) => subjects.fault(ns, s)),
  log: (ns) => SERVICES.map((s) => subjects.log(ns, s)),
  srv: () =>
    SRV_VERBS.flatMap((v) => [
      subjects.srv(v),
      ...SERVICES.flatMap((s) => SRV.map((id) => subjects.srv(v, srvName(s), id))),
    ]),
  wire: (ns) => [subjects.wire('lan', ns)],
};

/** One subject of every kind there is, in our stack and in another one. */
const EACH = NETNS.flatMap((ns) => [
  ...new Set(Object.values(KINDS).flatMap((make) => make(ns))),
  ...SERVICES.map((s) => `${inboxOf(ns, s)}.x.1`),
  ...(Object.keys(buckets) as (keyof typeof buckets)[]).flatMap((b) => [
    `$KV.${buckets[b](ns)}.key`,
    `$KV.${buckets[b](ns)}.count.tcp.key`,
    `$JS.API.STREAM.DELETE.KV_${buckets[b](ns)}`,
    `$JS.API.STREAM.PURGE.KV_${buckets[b](ns)}`,
  ]),
]);
const CATALOG = [...new Set([...EACH, '_INBOX.x.1', 'anything', '$JS.API.STREAM.LIST', '$SYS.REQ.SERVER.PING'])];

const fits = (patterns: readonly string[], subject: string): boolean => patterns.some((p) => fitsOne(p, subject));

/** What the broker lets each service publish and hear, found out by trying. */
describe('permissions on a live broker', () => {
  let broker: TestBroker;
  let root: NatsConnection;
  const clients = new Map<Service, NatsConnection>();

  beforeAll(async () => {
    const configure = (port: number, dir: string): string => {
      const all = makeCredentials('a', 'root');
      writeFileSync(join(dir, 'root'), all.file);
      const everything = { publish: ['>'], subscribe: ['>'] };
      const users = [
        ...ensureUsersIn('a', dir),
        { publicKey: all.publicKey, comment: 'test', permissions: everything },
      ];
      const conf = join(dir, 'nats.conf');
      writeFileSync(conf, natsConfig({ listen: `127.0.0.1:${port}`, name: 't', storeDir: join(dir, 'js'), users }));
      return conf;
    };
    broker = await startBroker({ configure });
    const as = (file: string): Promise<NatsConnection> =>
      connect({ servers: broker.url, authenticator: nkeyAuthenticator(readCredentials(file).seed) });
    root = await as(join(broker.dir, 'root'));
    for (const s of SERVICES) clients.set(s, await as(credentialsIn(broker.dir)(s)));
  }, 30_000);
  afterAll(async () => {
    for (const c of [...clients.values(), root]) await c?.close();
    await broker?.stop();
  });

  test('each service publishes exactly what the table says', async () => {
    const heard = new Set<string>();
    const tag = (s: Service, subject: string): string => `${s} ${subject}`;
    root.subscribe('>', { callback: (_e, m) => void heard.add(`${m.string()} ${m.subject}`) });
    await root.flush();
    for (const [s, nc] of clients) {
      for (const subject of CATALOG) nc.publish(subject, s);
      await nc.flush();
    }
    await root.flush();
    const pairs = SERVICES.flatMap((s) => CATALOG.map((subject) => [s, subject] as const));
    const want = pairs.filter(([s, subject]) => fits(permissionsOf('a', s).publish, subject)).map((p) => tag(...p));
    expect([...heard].filter((h) => pairs.some((p) => tag(...p) === h)).sort()).toEqual(want.sort());
    expect(want.length).toBeGreaterThan(60);
  });

  test('each service hears exactly what the table says', async () => {
    const heard = new Set<string>();
    for (const [s, nc] of clients) {
      for (const subject of CATALOG)
        nc.subscribe(subject, { callback: (e) => void (e ?? heard.add(`${s} ${subject}`)) });
      await nc.flush();
    }
    // Not into JetStream, which would do as it is told.
    for (const subject of CATALOG) if (!subject.startsWith('$JS')) root.publish(subject, 'x');
    await root.flush();
    for (const nc of clients.values()) await nc.flush();
    const want = SERVICES.flatMap((s) =>
      CATALOG.filter((c) => !/^\$(?!SRV)/.test(c) && fits(permissionsOf('a', s).subscribe, c)).map((c) => `${s} ${c}`),
    );
    expect([...heard].sort()).toEqual(want.sort());
    expect(want.length).toBeGreaterThan(40);
  });

  test('somebody says and somebody hears each kind of subject', () => {
    const some = (way: 'publish' | 'subscribe', s: string): boolean =>
      SERVICES.some((service) => fits(permissionsOf('a', service)[way], s));
    for (const [kind, make] of Object.entries(KINDS)) {
      expect([kind, make('a').some((s) => some('publish', s) && some('subscribe', s))]).toEqual([kind, true]);
    }
  });

  // The table itself, from the other side: what must not be, whatever generates it.
  test('nobody speaks for another layer, reads another’s replies, or reaches another stack', () => {
    for (const s of SERVICES) {
      const { publish, subscribe } = permissionsOf('a', s);
      for (const to of HAND_OVERS) {
        expect([s, to, fits(publish, subjects.skb('a', to))]).toEqual([
          s,
          to,
          HAND_OVER_SENDERS[to].includes(s as never),
        ]);
        expect([s, to, fits(subscribe, subjects.skb('a', to))]).toEqual([s, to, HAND_OVER_OWNER[to] === s]);
      }
      for (const o of SERVICES) {
        expect(fits(subscribe, `${inboxOf('a', o)}.x`)).toBe(o === s);
        if (s !== 'orchestrator') expect(fits(subscribe, subjects.ctl('a', o, 'register'))).toBe(o === s);
        expect(fits(publish, subjects.log('a', o))).toBe(o === s && o !== 'orchestrator');
      }
      for (const c of CATALOG.filter((x) => x.includes('.other.') || x.includes('_other_')))
        expect([s, c, fits(publish, c), fits(subscribe, c)]).toEqual([s, c, false, false]);
      for (const c of CATALOG.filter((x) => /DELETE|PURGE|LIST|SYS/.test(x))) expect(fits(publish, c)).toBe(false);
    }
    expect(fits(permissionsOf('a', 'socket').publish, subjects.skEvt('a', 'tcp'))).toBe(false);
    expect(fits(permissionsOf('a', 'udp').publish, subjects.skEvt('a', 'tcp'))).toBe(false);
    expect(fits(permissionsOf('a', 'tcp').publish, `$KV.${buckets.route('a')}.x`)).toBe(false);
    expect(fits(permissionsOf('a', 'ip').publish, `$KV.${buckets.secret('a')}.x`)).toBe(false);
    const faultKeys = ['rule.f1', 'count.f1', 'count.ip.f1', 'count.tcp.f1'].filter((k) =>
      fits(permissionsOf('a', 'tcp').publish, `$KV.${buckets.fault('a')}.${k}`),
    );
    expect(faultKeys).toEqual(['count.tcp.f1']);
    expect(fits(permissionsOf('a', 'ip').publish, `$JS.API.DIRECT.GET.KV_${buckets.secret('a')}.x`)).toBe(false);
  });

  test('a reader of a bucket reads it and cannot write it; its writer can', async () => {
    const bus = (s: Service): Promise<NatsBus> =>
      NatsBus.connect({
        url: broker.url,
        name: s,
        credentials: credentialsFor(credentialsIn(broker.dir)(s), 'a', s),
        onError: () => {},
      });
    const [nic, neigh] = [await bus('nic'), await bus('neigh')];
    try {
      const name = buckets.netdev('a');
      await (await nic.kv(name)).put('2', Uint8Array.of(7));
      const seen: (number | undefined)[] = [];
      await (await neigh.kv(name)).watch((_k, v) => void seen.push(v?.[0]));
      expect(seen).toEqual([7]);
      expect((await (await neigh.kv(name)).get('2'))![0]).toBe(7);
      await expect((await neigh.kv(name)).put('2', Uint8Array.of(8))).rejects.toThrow(/ermission/);
      expect((await (await nic.kv(name)).get('2'))![0]).toBe(7);
    } finally {
      await Promise.all([nic.close(), neigh.close()]);
    }
  }, 30_000);

  test('without credentials, and with a key nobody knows: refused with one sentence', async () => {
    await expect(NatsBus.connect({ url: broker.url, name: 'x', onError: () => {} })).rejects.toThrow(
      /refuses .* credentials/,
    );
    const file = join(broker.dir, 'stranger');
    writeFileSync(file, makeCredentials('a', 'tcp').file);
    const credentials = readCredentials(file);
    expect(publicKeyOf(credentials)).toMatch(/^U/);
    await expect(NatsBus.connect({ url: broker.url, name: 'x', credentials, onError: () => {} })).rejects.toThrow(
      /refuses .* credentials/,
    );
  }, 30_000);

  test('another’s credentials, damaged ones, none: one sentence', () => {
    const tcp = credentialsIn(broker.dir)('tcp');
    expect(() => credentialsFor(tcp, 'a', 'nic')).toThrow(
      new CredentialsError(`${tcp} holds the bus credentials of tcp of stack a, not of nic of stack a`),
    );
    expect(() => credentialsFor(tcp, 'b', 'tcp')).toThrow('not of tcp of stack b');
    const bad = join(broker.dir, 'bad');
    writeFileSync(bad, 'hello');
    expect(() => readCredentials(bad)).toThrow('holds no bus credentials');
    writeFileSync(bad, `# skbus a tcp\nSU${'A'.repeat(56)}\n`);
    expect(() => readCredentials(bad)).toThrow('the nkey seed is damaged');
    expect(() => readCredentials(join(broker.dir, 'none'))).toThrow('cannot read the bus credentials');
  });
});
