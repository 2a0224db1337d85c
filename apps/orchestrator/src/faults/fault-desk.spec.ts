import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { MemoryHub, type Bus } from '@skbus/bus';
import { pb, subjects } from '@skbus/contracts';
import { FaultDesk } from './fault-desk.ts';
import { ServiceFaults, type Deed } from './service-faults.ts';

let hub: MemoryHub;
let bus: Bus;
let desk: FaultDesk;
let deeds: Deed[];
const said: string[] = [];

const makeDesk = (): FaultDesk =>
  new FaultDesk(
    bus,
    'a',
    new ServiceFaults(bus, 'a', { pidOf: () => undefined, say: (line) => said.push(line), outside: true }),
  );
const settle = (): Promise<void> => new Promise((r) => setTimeout(r, 30));

beforeEach(async () => {
  hub = new MemoryHub({
    onError: (e) => {
      throw e;
    },
  });
  bus = hub.bus();
  deeds = [];
  said.length = 0;
  desk = makeDesk();
  desk.services.lend((d) => deeds.push(d));
  await desk.start(true);
});
afterEach(() => desk.close());

/** What a layer says that one of its rules did. */
function decision(from: 'tcp' | 'udp', rule: string, what: string): void {
  const d = { seq: 1, rule, seed: 0, layer: from, dir: 'rx', func: 'x', ordinal: 1, skb: 0, timeMs: 1, what };
  hub.bus().publish(subjects.fault('a', from), pb.FaultDecisionList.encode({ decisions: [d] }).finish());
}

test('a service suffers what a rule asks for, when the layer in which the rule sits says that it is time', async () => {
  await desk.add("at tcp rx match 'tcp.flags.syn == 1' service kill ip first 1", 'mine');
  decision('tcp', 'mine', 'service kill ip');
  await settle();
  expect(deeds).toEqual([{ name: 'kill', service: 'ip', forMs: 0 }]);
});

test('a layer that has gone mad ends nobody: not without a rule, not by another layer’s, not with more than it asks', async () => {
  await desk.add("at tcp rx match 'tcp.flags.syn == 1' service kill ip first 1", 'mine');
  await desk.add('at tcp rx drop first 1', 'other');
  decision('udp', 'none', 'service kill ip');
  decision('udp', 'mine', 'service kill ip');
  decision('tcp', 'mine', 'service kill socket');
  decision('tcp', 'other', 'service kill ip');
  await settle();
  expect(deeds).toEqual([]);
});

test('where services are containers and nobody acts on them, the log says so', async () => {
  desk.close();
  desk = makeDesk();
  await desk.start(true);
  await desk.add('service hang udp 1s');
  await settle();
  expect(said).toEqual([
    'skbus: fault: hang udp 1000 ms',
    'skbus: fault: hang udp: nobody acts on the containers; "skbus fault hands" does',
  ]);
});

test('a rule whose time has come does not act once more when the orchestrator is another', async () => {
  await desk.add('service kill udp');
  await settle();
  expect(deeds.length).toBe(1);
  desk.close();
  desk = makeDesk();
  desk.services.lend((d) => deeds.push(d));
  await desk.start(false);
  await settle();
  expect((await desk.list()).length).toBe(1);
  expect(deeds.length).toBe(1);
});
