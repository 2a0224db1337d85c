import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { credentialsFor, credentialsIn, NatsBus, type Bus } from '@skbus/bus';
import {
  encodeCmds,
  encodeEvts,
  encodeSkbList,
  LAYERS,
  mayPublish,
  pb,
  subjects,
  type Service,
} from '@skbus/contracts';
import { HAND_OVERS, SeededRng, below, SkBuff } from '@skbus/skb';
import { Stack, whyNoTap, type ServiceStatus } from '../support/stack.ts';
import { expectConserved } from '../support/conservation.ts';

const suite = whyNoTap() ? describe.skip : describe;
const VERBS = [
  'stats',
  'initcall',
  'sysctl',
  'register',
  'link',
  'neigh',
  'addr',
  'route',
  'route_query',
  'ping',
  'sock_diag',
  'expose',
];
const ROUNDS = 150;

interface Status {
  nats: string;
  runDir: string;
  sock: string;
  services: (ServiceStatus & { rssBytes?: number })[];
}

/** A bus that says each thing as somebody who may say it: what a service does that has gone mad. */
async function fromWithin(
  netns: string,
  { nats, runDir }: Status,
): Promise<Pick<Bus, 'publish' | 'request' | 'flush' | 'close'>> {
  const services: readonly Service[] = [...LAYERS, 'orchestrator'];
  const buses = new Map<Service, NatsBus>();
  for (const s of services) {
    const credentials = credentialsFor(credentialsIn(runDir)(s), netns, s);
    buses.set(s, await NatsBus.connect({ url: nats, name: 'fuzz', credentials, onError: () => {} }));
  }
  const as = (subject: string): NatsBus => {
    const who = services.find((s) => mayPublish(netns, s, subject));
    if (who === undefined) throw new Error(`nobody may publish on ${subject}`);
    return buses.get(who)!;
  };
  const all = [...buses.values()];
  return {
    publish: (subject, data) => as(subject).publish(subject, data),
    request: (subject, data, timeoutMs) => as(subject).request(subject, data, timeoutMs),
    flush: async () => void (await Promise.all(all.map((b) => b.flush()))),
    close: async () => void (await Promise.all(all.map((b) => b.close()))),
  };
}

suite('random bytes on every subject and at every door', () => {
  let stack: Stack;
  let bus: Pick<Bus, 'publish' | 'request' | 'flush' | 'close'>;
  let before: Status;
  const rng = new SeededRng(20_261_122);
  const noise = (max: number): Uint8Array => Uint8Array.from({ length: below(rng, max) }, () => below(rng, 256));
  /** A valid message with a few bytes changed: gets past the first checks. */
  const bent = (valid: Uint8Array): Uint8Array => {
    const b = valid.slice();
    for (let i = below(rng, 4); i >= 0; i--) b[below(rng, b.length)] = below(rng, 256);
    return b;
  };

  beforeAll(async () => {
    stack = await Stack.up('e2e-fuzz');
    before = await stack.json<Status>('status');
    bus = await fromWithin(stack.name, before);
  }, 90_000);
  afterAll(async () => {
    await bus?.close();
    await stack?.down();
  }, 30_000);

  /** Every service is the process it was, and the stack does its job. */
  async function unharmed(): Promise<void> {
    const now = await stack.json<Status>('status');
    const pids = (s: Status): [string, number, number][] => s.services.map((x) => [x.name, x.pid, x.restarts]);
    expect(pids(now)).toEqual(pids(before));
    expect((await stack.peer('ping', '-c', '2', '-i', '0.2', '-W', '2', '10.77.0.2')).stdout).toMatch(
      / 0% packet loss/,
    );
    expect(
      (await stack.peer('curl', '-sS', '--max-time', '10', '--retry', '5', '--retry-all-errors', 'http://10.77.0.2/'))
        .stdout,
    ).toMatch(/skbus/);
  }

  test('skbs', async () => {
    const ip = Uint8Array.from([0x45, 0, 0, 60, 0, 1, 0, 0, 64, 6, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2]);
    for (let i = 0; i < ROUNDS; i++) {
      for (const to of HAND_OVERS) {
        const subject = subjects.skb(stack.name, to, to === 'dev_queue_xmit' ? 1 + below(rng, 3) : 0);
        const head = Uint8Array.from([...noise(20), ...ip, ...noise(80)]);
        const skb = new SkBuff(head, below(rng, head.length), head.length, [noise(100)]);
        skb.networkHeader = below(rng, head.length);
        skb.gsoSize = below(rng, 3) ? 0 : below(rng, 65536);
        bus.publish(subject, noise(200));
        bus.publish(subject, encodeSkbList(7, i, i, [skb]));
        bus.publish(subject, bent(encodeSkbList(8, i, i, [skb, skb])));
      }
    }
    await bus.flush();
    await unharmed();
    await expectConserved(stack, { strangers: true });
  }, 60_000);

  test('the socket seam', async () => {
    const view = { sndTo: 9, rcvGot: 9, rcvRead: 9, finGot: true, haveChild: true, accepted: true };
    const cmd = encodeCmds(7, [
      { sk: 2, opSeq: 1, connect: { addr: 0x0a4d0001, port: 9 }, view, data: { offset: 0, data: noise(50) } },
    ]);
    const evt = encodeEvts(7, [{ sk: 2, opAck: 1, opErrno: 0, data: { offset: 3, data: noise(50) } }]);
    for (let i = 0; i < ROUNDS; i++) {
      for (const t of ['tcp', 'udp'] as const) {
        for (const m of [noise(200), bent(cmd)]) bus.publish(subjects.skCmd(stack.name, t), m);
        for (const m of [noise(200), bent(evt)]) bus.publish(subjects.skEvt(stack.name, t), m);
      }
    }
    await bus.flush();
    await unharmed();
  }, 60_000);

  test('control', async () => {
    const ask = (subject: string, m: Uint8Array): Promise<unknown> =>
      bus.request(subject, m, 2_000).catch((e: unknown) => e);
    for (const layer of LAYERS) {
      for (const verb of VERBS) {
        await Promise.all(Array.from({ length: 20 }, () => ask(subjects.ctl(stack.name, layer, verb), noise(60))));
      }
    }
    for (let i = 0; i < ROUNDS; i++) {
      for (const verb of ['trace_set', 'rt_cache_flush']) bus.publish(subjects.all(stack.name, verb), noise(40));
      bus.publish(subjects.neighHint(stack.name), noise(40));
      bus.publish(subjects.log(stack.name, 'tcp'), noise(40));
      bus.publish(subjects.ctl(stack.name, 'orchestrator', 'hello'), noise(40));
    }
    bus.publish(subjects.all(stack.name, 'trace_set'), pb.TraceSet.encode({ on: false }).finish());
    await bus.flush();
    await unharmed();
  }, 120_000);

  test('the doors: Unix socket, SOCKS5, API', async () => {
    const knock = (to: { path: string } | { port: number; host: string }): Promise<void> =>
      new Promise((resolve) => {
        const s = createConnection(to as never);
        s.on('error', () => {});
        s.on('close', () => resolve());
        s.on('connect', () => s.end(noise(300)));
        s.resume();
        s.setTimeout(3_000, () => s.destroy());
      });
    for (let i = 0; i < 40; i++)
      await Promise.all([knock({ path: before.sock }), knock({ port: stack.socksPort, host: '127.0.0.1' })]);
    for (const path of [
      '/api/routes',
      '/api/addrs',
      '/api/ping',
      '/api/expose',
      '/api/neigh',
      '/',
      '/api/nowhere',
      '/%ff',
    ]) {
      for (const body of ['{', '[]', '{"a":1}', '"x"', 'null', Buffer.from(noise(100)).toString('latin1')]) {
        const res = await fetch(stack.api + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        }).catch((e: unknown) => e);
        if (res instanceof Response)
          expect([path, body, res.status >= 400 && res.status < 500]).toEqual([path, body, true]);
      }
    }
    await unharmed();
  }, 120_000);

  test('memory stays bounded', async () => {
    const now = await stack.json<Status>('status');
    const rss = (s: Status): number => s.services.reduce((n, x) => n + (x.rssBytes ?? 0), 0);
    expect(rss(now) - rss(before)).toBeLessThan(400e6);
  });
});
