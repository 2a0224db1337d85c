import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { MemoryHub, type Bus } from '@skbus/bus';
import { buckets, decodeSkbList, encodeSkbList, pb, subjects, type skbus } from '@skbus/contracts';
import { FaultInjector, faultTools, formatOp, parseRule } from '@skbus/fault';
import { LayerEnv, NEVER, SeededRng, SkBuff, type EndFault, type FaultCase } from '@skbus/skb';
import { readConfig } from './config.ts';
import { startLayer, type RunningLayer } from './run.ts';

const NS = 't';

let hub: MemoryHub;
let other: Bus;
/** The layer's. */
let own: Bus;
let running: RunningLayer;
/** What the layer took over, and what it handed on. */
let taken: number[];
let left: number[];
let decisions: skbus.v1.FaultDecision[];
let seq = 0;

beforeEach(async () => {
  hub = new MemoryHub();
  other = hub.bus();
  [taken, left, decisions] = [[], [], []];
  seq = 0;
  other.subscribe(subjects.skb(NS, 'ip_queue_xmit'), (d) => left.push(...decodeSkbList(d)!.skbs.map((s) => s.id)));
  other.subscribe(subjects.fault(NS, 'tcp'), (d) =>
    decisions.push(...(pb.FaultDecisionList.decode(d).decisions as skbus.v1.FaultDecision[])),
  );
  running = await start();
});

afterEach(async () => {
  await running.close();
  await other.close();
});

async function start(): Promise<RunningLayer> {
  const config = readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' });
  own = hub.bus();
  const r = await startLayer({ layer: 'tcp', providers: [] }, own, config);
  // each packet comes in, and goes out again
  r.kit.takeOver('tcp_v4_rcv', 0, (skb) => {
    taken.push(skb.id);
    r.kit.env.pass('ip_queue_xmit', skb);
  });
  return r;
}

async function settle(ms = 0): Promise<void> {
  if (ms > 0) await new Promise((r) => setTimeout(r, ms));
  for (let i = 0; i < 30; i++) await new Promise((r) => setImmediate(r));
}

const past = Date.now();

async function rule(id: string, text: string, order = 1, setAtUnixMs = past): Promise<void> {
  const kv = await other.kv(buckets.fault(NS));
  await kv.put(`rule.${id}`, pb.FaultRule.encode({ id, text, order, setAtUnixMs }).finish());
  await settle();
}

async function send(...ids: number[]): Promise<void> {
  const skbs = ids.map((id) => {
    const skb = SkBuff.alloc(0, 40);
    skb.put(40);
    skb.id = id;
    return skb;
  });
  other.publish(subjects.skb(NS, 'tcp_v4_rcv'), encodeSkbList(9, seq++, 0, skbs));
  await settle();
}

const call = async (verb: string, request: skbus.v1.FaultControlRequest.$Properties = {}): Promise<Uint8Array> =>
  other.request(subjects.ctl(NS, 'tcp', verb), pb.FaultControlRequest.encode(request).finish(), 1_000);

const status = async (): Promise<skbus.v1.FaultStatusReply> =>
  pb.FaultStatusReply.decode(await call('fault_status')) as skbus.v1.FaultStatusReply;

test('rules come and go while packets pass, in and out', async () => {
  await send(1);
  await rule('in', 'at tcp rx drop NOMEM nth 2');
  await rule('out', 'at tcp tx drop nth 2', 2);
  await rule('elsewhere', 'at udp rx drop', 3);
  await send(2, 3, 4, 5);
  expect([taken, left]).toEqual([
    [1, 2, 4, 5],
    [1, 2, 5],
  ]);
  const { ledger } = running.kit.env;
  expect([ledger.imbalance, ledger.passed, Object.fromEntries(ledger.drops)]).toEqual([
    0,
    3,
    { NOMEM: 1, FAULT_INJECTED: 1 },
  ]);
  expect(decisions.map((d) => [d.rule, d.dir, d.func, d.ordinal, d.skb, d.what])).toEqual([
    ['in', 'rx', 'tcp_v4_rcv', 2, 3, 'drop NOMEM'],
    ['out', 'tx', 'ip_queue_xmit', 2, 4, 'drop FAULT_INJECTED'],
  ]);
  expect((await status()).rules).toMatchObject([
    { id: 'in', matched: 4, hits: 1, problem: '' },
    { id: 'out', matched: 3, hits: 1, problem: '' },
  ]);
  const kv = await other.kv(buckets.fault(NS));
  await kv.delete('rule.in');
  await kv.delete('rule.out');
  await send(6);
  expect(left.at(-1)).toBe(6);
  expect(running.kit.env.outGate).toBeUndefined();
});

test('the same seed decides as it does in a simulation', async () => {
  const text = 'at tcp rx loss 30% duplicate 10% seed 12';
  await rule('dice', text);
  for (let i = 0; i < 10; i++) await send(...Array.from({ length: 10 }, (_, k) => 1 + i * 10 + k));
  const env = new LayerEnv({ layer: 'tcp', rng: new SeededRng(1), out: { pass: () => {} } });
  const simulated = new FaultInjector(env, faultTools);
  simulated.set(parseRule(text, { id: 'dice' }).rule!, { order: 1, sinceMs: 0 }, 0);
  const point = simulated.entry('tcp_v4_rcv');
  for (let i = 0; i < 100; i++) {
    const skb = env.alloc(0, 40, 0);
    skb.put(40);
    simulated.offer(point, { skb, go: () => {} }, 0);
  }
  const want = simulated.log.all().map((d) => `${d.ordinal} ${formatOp(d.op)}`);
  expect(decisions.map((d) => `${d.ordinal} ${d.what}`)).toEqual(want);
  expect(want.length).toBeGreaterThan(25);
});

test('hold, step, release', async () => {
  await rule('h', 'at tcp tx hold');
  await send(1, 2, 3);
  expect([left, running.kit.env.ledger.queued]).toEqual([[], 3]);
  expect((await status()).held.map((h) => [h.skb, h.bytes!.length, h.func])).toEqual([
    [1, 40, 'ip_queue_xmit'],
    [2, 40, 'ip_queue_xmit'],
    [3, 40, 'ip_queue_xmit'],
  ]);
  expect(pb.FaultControlReply.decode(await call('fault_step', { rule: 'h' }))).toMatchObject({ errno: 0, released: 1 });
  expect(left).toEqual([1]);
  expect(pb.FaultControlReply.decode(await call('fault_release', { rule: 'h' }))).toMatchObject({ released: 2 });
  expect(left).toEqual([1, 2, 3]);
  expect(pb.FaultControlReply.decode(await call('fault_step', { rule: 'no' }))).toMatchObject({
    errno: 2,
    message: 'tcp has no rule no',
  });
});

test('a restarted service knows its rules, and what they have counted', async () => {
  await rule('two', 'at tcp rx drop first 2');
  await send(1);
  await settle(150);
  await running.close();
  await own.close();
  running = await start();
  taken = [];
  await send(2, 3);
  expect(taken).toEqual([3]);
  // set anew, it counts anew
  await rule('two', 'at tcp rx drop first 2', 1, past + 1);
  await send(4, 5, 6);
  expect(taken).toEqual([3, 6]);
});

test('control messages: a lost request is a time-out, a lost answer too; and rules can always be taken away', async () => {
  other.respond(subjects.ctl(NS, 'ip', 'route_query'), (d) => d);
  const ask = (): Promise<string> =>
    running.kit.bus.request(subjects.ctl(NS, 'ip', 'route_query'), new Uint8Array(2), 400).then(
      () => 'answered',
      (e: { code: string }) => e.code,
    );
  expect(await ask()).toBe('answered');
  await rule('q', 'at tcp.ctl.route_query drop first 1');
  expect([await ask(), await ask()]).toEqual(['TIMEOUT', 'answered']);
  await rule('all', 'at tcp rx ctl.* drop');
  await expect(other.request(subjects.ctl(NS, 'tcp', 'stats'), new Uint8Array(), 50)).rejects.toMatchObject({
    code: 'TIMEOUT',
  });
  expect((await status()).rules.length).toBe(2);
});

test('a rule that this layer cannot read is kept, and says why it is not in force', async () => {
  await rule('bad', 'at tcp rx wobble');
  expect((await status()).rules).toMatchObject([{ id: 'bad', problem: expect.stringContaining('"wobble"') }]);
  await send(1);
  expect(taken).toEqual([1]);
});

test('faults of the layer: those of its engine, also where the rule was there first; its clock jumps and comes back', async () => {
  const seen: string[] = [];
  await rule('early', 'at tcp layer ports-taken first 1');
  expect((await status()).rules).toMatchObject([{ id: 'early', problem: 'this tcp does not offer ports-taken' }]);
  const { kit } = running;
  const begin = (c: FaultCase): EndFault => {
    seen.push('begin');
    c.later(kit.now() + 1, (at) => void seen.push(`${c.takes(at)} ${c.takes(at)}`));
    return () => void seen.push('end');
  };
  kit.bind({}, { pollTimeout: () => NEVER, handleTimeout: () => {}, faults: { 'ports-taken': { begin } } });
  await settle(30);
  expect(seen).toEqual(['begin', 'true false']);
  const before = kit.now();
  await rule('jump', 'at tcp layer clock-jump +1h for 50ms', 2, Date.now());
  expect(kit.now() - before).toBeGreaterThanOrEqual(3_600_000);
  await settle(100);
  expect(kit.now() - before).toBeLessThan(60_000);
  await (await other.kv(buckets.fault(NS))).delete('rule.early');
  await settle();
  expect(seen).toEqual(['begin', 'true false', 'end']);
  expect(decisions.map((d) => d.what)).toEqual([
    'layer ports-taken',
    'layer ports-taken',
    'layer clock-jump +1h',
    'end clock-jump',
    'end ports-taken',
  ]);
});
