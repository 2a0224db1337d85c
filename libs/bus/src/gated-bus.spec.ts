import { expect, test } from '@jest/globals';
import { GatedBus } from './gated-bus.ts';
import { MemoryHub } from './memory-bus.ts';

const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b);
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** Two processes of one layer on a bus, and somebody who sends. */
function three(): { before: GatedBus; after: GatedBus; sender: ReturnType<MemoryHub['bus']> } {
  const hub = new MemoryHub({ onError: () => {} });
  return { before: new GatedBus(hub.bus(), true), after: new GatedBus(hub.bus(), false), sender: hub.bus() };
}

test('between the one that goes and the one that comes no message is lost and none is handled twice', async () => {
  const { before, after, sender } = three();
  const handled: [string, number][] = [];
  before.subscribe('skb.v1.t.ip_rcv', (d) => handled.push(['before', d[0]!]));
  after.subscribe('skb.v1.t.ip_rcv', (d) => handled.push(['after', d[0]!]));
  sender.publish('skb.v1.t.ip_rcv', bytes(1));
  await turn();
  sender.publish('skb.v1.t.ip_rcv', bytes(2));
  await turn();
  before.shut();
  sender.publish('skb.v1.t.ip_rcv', bytes(3));
  await turn();
  after.open((d) => d[0]! <= 2);
  sender.publish('skb.v1.t.ip_rcv', bytes(4));
  await turn();
  expect(handled).toEqual([
    ['before', 1],
    ['before', 2],
    ['after', 3],
    ['after', 4],
  ]);
});

test('requests are answered by the one whose gate is open, or that has been told to answer', async () => {
  const { before, after, sender } = three();
  before.respond('ctl.v1.t.who', () => bytes(1));
  after.respond('ctl.v1.t.who', () => bytes(2));
  const got: number[] = [];
  after.subscribe('skb.v1.t.x', (d) => got.push(d[0]!));
  expect((await sender.request('ctl.v1.t.who', bytes(), 1_000))[0]).toBe(1);
  before.shut();
  await expect(sender.request('ctl.v1.t.who', bytes(), 1_000)).rejects.toMatchObject({ code: 'NO_RESPONDERS' });
  after.answer();
  expect((await sender.request('ctl.v1.t.who', bytes(), 1_000))[0]).toBe(2);
  sender.publish('skb.v1.t.x', bytes(9));
  await turn();
  expect(got).toEqual([]);
  after.open(() => false);
  expect(got).toEqual([9]);
});
