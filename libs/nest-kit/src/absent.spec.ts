import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { MemoryHub, type Bus } from '@skbus/bus';
import { decodeSkbList, pb, subjects, type Layer } from '@skbus/contracts';
import { SkBuff } from '@skbus/skb';
import { readConfig } from './config.ts';
import { startLayer, type RunningLayer } from './run.ts';

const NS = 't';

let other: Bus;
let ip: RunningLayer;
/** What came out: to nic, to tcp; and per list how many skbs went before it. */
let toNic: number[];
let toTcp: number[];
let sentBefore: number[];

beforeEach(async () => {
  const hub = new MemoryHub();
  other = hub.bus();
  [toNic, toTcp, sentBefore] = [[], [], []];
  other.subscribe(subjects.skb(NS, 'dev_queue_xmit', 2), (d) => {
    const list = decodeSkbList(d)!;
    sentBefore.push(list.sentBefore);
    toNic.push(...list.skbs.map((s) => s.id));
  });
  other.subscribe(subjects.skb(NS, 'tcp_v4_rcv'), (d) => toTcp.push(...decodeSkbList(d)!.skbs.map((s) => s.id)));
  const config = readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' });
  ip = await startLayer({ layer: 'ip', providers: [] }, hub.bus(), config);
});

afterEach(async () => {
  jest.useRealTimers();
  await ip.close();
  await other.close();
});

function pass(to: 'dev_queue_xmit' | 'tcp_v4_rcv', id: number, bytes = 40): void {
  const skb = SkBuff.alloc(0, bytes);
  skb.put(bytes);
  skb.id = id;
  ip.kit.run(() => ip.kit.env.pass(to, skb, to === 'dev_queue_xmit' ? 2 : 0));
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((r) => setImmediate(r));
};

async function say(layer: Layer, here: boolean): Promise<void> {
  other.publish(subjects.all(NS, 'layer_state'), pb.LayerState.encode({ layer, here }).finish());
  await settle();
}

test('what is for a layer that has died waits and goes out in order when it is back; the others do not wait', async () => {
  pass('dev_queue_xmit', 1);
  await say('nic', false);
  for (const id of [2, 3, 4]) pass('dev_queue_xmit', id);
  pass('tcp_v4_rcv', 9);
  await settle();
  expect([toNic, toTcp]).toEqual([[1], [9]]);
  await say('neigh', true);
  expect(toNic).toEqual([1]);
  await say('nic', true);
  pass('dev_queue_xmit', 5);
  await settle();
  expect(toNic).toEqual([1, 2, 3, 4, 5]);
  expect(sentBefore).toEqual([0, 1, 2, 3, 4]);
});

test('a layer that does not come back is waited for in vain for 2 s, counted from its last death', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
  await say('nic', false);
  pass('dev_queue_xmit', 1);
  jest.advanceTimersByTime(1_500);
  await say('nic', false);
  jest.advanceTimersByTime(1_500);
  await settle();
  expect(toNic).toEqual([]);
  jest.advanceTimersByTime(500);
  await settle();
  pass('dev_queue_xmit', 2);
  await settle();
  expect(toNic).toEqual([1, 2]);
});

test('more than there is room for ends the waiting', async () => {
  await say('nic', false);
  const n = 33;
  for (let id = 1; id <= n; id++) pass('dev_queue_xmit', id, 1024 * 1024);
  await settle();
  expect(toNic).toEqual(Array.from({ length: n }, (_, i) => i + 1));
});

test('while there is no broker all waits, and a little longer: the others have to find it again, too', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
  ip.kit.onBusStatus('disconnected');
  pass('dev_queue_xmit', 1);
  pass('tcp_v4_rcv', 2);
  ip.kit.onBusStatus('connected');
  await settle();
  expect([toNic, toTcp]).toEqual([[], []]);
  jest.advanceTimersByTime(60);
  await settle();
  expect([toNic, toTcp]).toEqual([[1], [2]]);
});
