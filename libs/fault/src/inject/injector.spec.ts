import { beforeEach, describe, expect, test } from '@jest/globals';
import { LayerEnv, NEVER, SeededRng, SkBuff, type EndFault, type FaultCase, type HandOver } from '@skbus/skb';
import { formatOp } from '../text/ops.ts';
import { parseRule } from '../text/parse.ts';
import { fakeTools } from '../testing/fake-tools.ts';
import { openGates } from './gates.ts';
import { FaultInjector } from './injector.ts';
import { replayOf } from './replay.ts';

interface Gone {
  id: number;
  len: number;
  at: number;
  first: number;
}

class Bench {
  readonly gone: Gone[] = [];
  readonly env: LayerEnv;
  readonly faults: FaultInjector;
  now = 0;
  private order = 0;

  constructor(layer = 'tcp') {
    const out = {
      pass: (_to: HandOver, skb: SkBuff) =>
        void this.gone.push({ id: skb.id, len: skb.len, at: this.now, first: skb.buf[skb.data]! }),
    };
    this.env = new LayerEnv({ layer, rng: new SeededRng(1), out });
    this.faults = new FaultInjector(this.env, fakeTools);
    openGates(this.env, this.faults, () => this.now);
  }

  rule(text: string, id = `r${this.order + 1}`, order = ++this.order): void {
    const { rule, error } = parseRule(text, { id });
    if (rule === undefined) throw new Error(error.message);
    const problem = this.faults.set(rule, { order, sinceMs: this.now }, this.now);
    if (problem !== undefined) throw new Error(problem.message);
  }

  send(n = 1, len = 10): void {
    for (let i = 0; i < n; i++) {
      const skb = this.env.alloc(0, len, this.now);
      skb.put(len);
      this.env.pass('ip_queue_xmit', skb);
    }
  }

  run(until: number): void {
    for (let at = this.faults.pollTimeout(); at <= until; at = this.faults.pollTimeout()) {
      this.now = at;
      this.faults.handleTimeout(at);
    }
    this.now = until;
  }

  get ids(): number[] {
    return this.gone.map((g) => g.id);
  }
}

let b: Bench;
beforeEach(() => {
  b = new Bench();
});

test('without a rule there is no gate; with one elsewhere there is none either', () => {
  expect(b.env.outGate).toBeUndefined();
  b.rule('at tcp rx drop');
  expect(b.env.outGate).toBeUndefined();
  b.rule('at tcp tx drop', 'x');
  expect(b.env.outGate).toBeDefined();
  b.faults.remove('x', 0);
  expect(b.env.outGate).toBeUndefined();
});

describe('limits', () => {
  test.each([
    ['nth 3', [1, 2, 4, 5, 6, 7, 8, 9, 10]],
    ['nth 1,10', [2, 3, 4, 5, 6, 7, 8, 9]],
    ['first 7', [8, 9, 10]],
    ['every 3', [1, 2, 4, 5, 7, 8, 10]],
    ['every 2 first 5', [1, 3, 5, 6, 7, 8, 9, 10]],
    ['probability 0', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    ['probability 1', []],
  ])('drop %s', (limit, left) => {
    b.rule(`at tcp tx drop ${limit}`);
    b.send(10);
    expect(b.ids).toEqual(left);
    expect(b.env.ledger.imbalance).toBe(0);
    expect(b.env.ledger.passed).toBe(left.length);
    expect(b.faults.status()[0]).toMatchObject({ hits: 10 - left.length });
  });

  test('what does not match is not counted', () => {
    b.rule("at tcp tx match 'len > 50' drop nth 2");
    b.send(1);
    b.send(2, 60);
    b.send(3);
    expect(b.ids).toEqual([1, 2, 4, 5, 6]);
  });

  test('a time: from when the rule was set', () => {
    b.rule('at tcp tx drop after 10ms for 20ms first 2');
    for (const at of [0, 9, 10, 20, 25, 30, 31]) {
      b.now = at;
      b.send();
    }
    expect(b.ids).toEqual([1, 2, 5, 6, 7]);
  });

  test('a coin follows its seed', () => {
    const left = (seed: number): number[] => {
      const one = new Bench();
      one.rule(`at tcp tx drop probability 0.3 seed ${seed}`);
      one.send(1000);
      return one.ids;
    };
    expect(left(7)).toEqual(left(7));
    expect(left(7)).not.toEqual(left(8));
    expect(left(7).length).toBeGreaterThan(650);
    expect(left(7).length).toBeLessThan(750);
  });

  test('a restarted service goes on counting', () => {
    const { rule } = parseRule('at tcp tx drop first 2', { id: 'r' });
    b.faults.set(rule!, { order: 1, sinceMs: 0, past: { matched: 1, counted: 1, hits: 1 } }, 0);
    b.send(3);
    expect(b.ids).toEqual([2, 3]);
  });
});

describe('actions', () => {
  test('a delay holds in the ledger as queued, and what leaves meanwhile overtakes', () => {
    b.rule('at tcp tx delay 100 first 1');
    b.send(2);
    expect([b.ids, b.env.ledger.queued, b.faults.pollTimeout()]).toEqual([[2], 1, 100]);
    b.run(200);
    expect(b.gone.at(-1)).toMatchObject({ id: 1, at: 100 });
    expect([b.env.ledger.queued, b.faults.pollTimeout(), b.env.ledger.imbalance]).toEqual([0, NEVER, 0]);
  });

  test('a duplicate is a new skb with a parent', () => {
    b.rule('at tcp tx duplicate first 1');
    b.send(2);
    expect(b.ids).toEqual([1, 2, 3]);
    expect(b.env.ledger).toMatchObject({ created: 3, passed: 3, imbalance: 0 });
  });

  test('drops have a reason and are not passed', () => {
    b.rule('at tcp tx drop NOMEM first 1');
    b.rule('at tcp tx drop first 1');
    b.send(3);
    expect([...b.env.ledger.drops]).toEqual([
      ['NOMEM', 1],
      ['FAULT_INJECTED', 1],
    ]);
    expect(b.env.ledger.passed).toBe(1);
  });

  test('truncate, set, and a bit', () => {
    b.rule('at tcp tx truncate 4 nth 1');
    b.rule('at tcp tx set first=9 nth 2');
    b.rule('at tcp tx corrupt 1 nth 3');
    b.send(3);
    expect(b.gone.map((g) => [g.len, g.first])).toEqual([
      [4, 0],
      [10, 9],
      [10, 2],
    ]);
  });

  test('a queue with a limit', () => {
    b.rule('at tcp tx limit 2');
    b.send(3);
    expect([b.env.ledger.queued, b.env.ledger.drops.get('QDISC_DROP')]).toEqual([2, 1]);
    b.run(2000);
    b.send();
    expect(b.env.ledger.queued).toBe(1);
  });

  test('hold, step, edit, release', () => {
    b.rule('at tcp tx hold', 'h');
    b.send(4);
    expect(b.ids).toEqual([]);
    expect(b.env.ledger.queued).toBe(4);
    const [[serial]] = b.faults.held.of('h') as [[number, unknown]];
    expect(b.faults.edit(serial, { first: '7' }, 'fix', 5)).toBeUndefined();
    expect(b.faults.edit(serial, { ttl: '7' }, 'fix', 5)).toBe('ttl is no field');
    expect(b.faults.edit(99, { first: '7' }, 'fix', 5)).toContain('nothing with the number 99');
    expect(b.faults.step('h', 10)).toBe(true);
    expect(b.gone).toMatchObject([{ id: 1, first: 7 }]);
    expect(b.faults.release('h', 20)).toBe(3);
    expect(b.ids).toEqual([1, 2, 3, 4]);
    b.send();
    b.faults.remove('h', 30);
    expect(b.ids).toEqual([1, 2, 3, 4, 5]);
    expect([b.env.ledger.queued, b.env.ledger.imbalance]).toEqual([0, 0]);
  });

  test('messages: lost, late, twice; and nothing that changes bytes', () => {
    const p = b.faults.point('tx', 'sk_cmd');
    b.rule('at tcp.sk_cmd drop nth 1');
    b.rule('at tcp.sk_cmd delay 10 nth 1');
    b.rule('at tcp.sk_cmd duplicate nth 2');
    const seen: string[] = [];
    for (const what of ['a', 'b', 'c', 'd'])
      b.faults.offer(p, { bytes: 5, go: (_s, at) => void seen.push(`${what}${at}`) }, 0);
    b.run(20);
    expect(seen).toEqual(['c0', 'd0', 'd0', 'b10']);
    expect(b.env.ledger.imbalance).toBe(0);
    expect(() => b.rule('at tcp.sk_cmd truncate 5')).toThrow(
      'truncate changes packets, and there are none at tcp.sk_cmd',
    );
  });
});

test('what a layer does wrong by itself, for a time', () => {
  const seen: string[] = [];
  const n = new Bench('neigh');
  const begin = (c: FaultCase, at: number): EndFault => {
    seen.push(`begin ${c.params.ip} ${at}`);
    if (seen.length === 1) c.later(at + 3, (t) => void seen.push(`later ${t} ${c.takes(t)} ${c.takes(t)}`));
    return (t) => void seen.push(`end ${t}`);
  };
  expect(() => n.rule('at neigh layer arp-silent')).toThrow('this neigh does not offer arp-silent');
  n.faults.layerFaults = { 'arp-silent': { begin }, 'table-full': { begin } };
  n.rule('at neigh layer arp-silent 0.0.0.7 after 5ms for 10ms nth 2', 'a');
  n.run(20);
  n.rule('at neigh layer table-full', 'x');
  n.faults.remove('x', 20);
  n.rule('at neigh layer table-full flap 10ms for 35ms');
  n.run(100);
  const flaps = ['begin undefined 20', 'end 30', 'begin undefined 40', 'end 50'];
  expect(seen).toEqual(['begin 7 5', 'later 8 false true', 'end 15', 'begin undefined 20', 'end 20', ...flaps]);
  const first = n.faults.log.all().filter((d) => d.rule === 'a');
  expect(first.map((d) => [d.atMs, d.ordinal, formatOp(d.op)])).toEqual([
    [5, 0, 'layer arp-silent 0.0.0.7'],
    [8, 2, 'layer arp-silent 0.0.0.7'],
    [15, 0, 'end arp-silent'],
  ]);
  const { rule } = n.faults.status()[0]!;
  expect(replayOf(first, [rule])).toEqual([{ ...rule, limit: { afterMs: 5, forMs: 10, nth: [2] } }]);
});

test('what a driver has received takes its bytes along when it waits', () => {
  const nic = new Bench('nic');
  nic.rule('at nic.ip_rcv delay 5 nth 1');
  nic.rule('at nic.ip_rcv hold nth 1', 'h');
  const memory = new Uint8Array(20).fill(7);
  for (let i = 0; i < 2; i++) {
    const skb = nic.env.adopt(new SkBuff(memory, 0, 10), 0);
    skb.addFrag(memory.subarray(10));
    nic.env.pass('ip_rcv', skb);
  }
  memory.fill(9);
  nic.faults.release('h', 1);
  nic.run(10);
  expect(nic.gone.map((g) => [g.id, g.first])).toEqual([
    [2, 7],
    [1, 7],
  ]);
});

test('rules are a pipeline: a later one sees what those before let through, and when', () => {
  b.rule('at tcp tx delay 10 first 2', 'second', 2);
  b.rule('at tcp tx drop first 1', 'first', 1);
  b.rule('at tcp tx delay 5 first 1', 'third', 3);
  b.send(4);
  b.run(100);
  // 1 dropped; 2 and 3 late; 4 meets the third rule first
  expect(b.gone.map((g) => [g.id, g.at])).toEqual([
    [4, 5],
    [2, 10],
    [3, 10],
  ]);
});

test('what is wrong with a filter or a field is said when the rule is set', () => {
  expect(() => b.rule("at tcp tx match 'nonsense' drop")).toThrow('"nonsense" is no filter');
  expect(() => b.rule('at tcp tx set ttl=1')).toThrow('ttl is no field');
  expect(b.env.outGate).toBeUndefined();
});

test('a log replays: the same to the same ordinals', () => {
  const texts = [
    'at tcp tx loss 30 seed 5',
    'at tcp tx delay 7 every 3',
    'at tcp tx duplicate probability 0.2 seed 9',
    'at tcp tx hold nth 4',
  ];
  for (const [i, t] of texts.entries()) b.rule(t, `r${i}`);
  b.send(50);
  b.run(30);
  b.faults.release('r3', 30);
  b.run(100);
  const rules = b.faults.status().map((s) => s.rule);
  const again = new Bench();
  for (const [i, r] of replayOf(b.faults.log.all(), rules).entries()) {
    expect(again.faults.set(r, { order: i, sinceMs: 0 }, 0)).toBeUndefined();
  }
  again.send(50);
  again.run(100);
  expect(again.gone.map((g) => [g.len, g.at])).toEqual(b.gone.map((g) => [g.len, g.at]));
  expect(again.gone.length).toBeGreaterThan(30);
  expect(b.faults.log.total).toBe(b.faults.log.all().length);
});

test('whatever the rules: every skb is accounted for, and the same seed does the same', () => {
  const actions = [
    'drop',
    'delay 3',
    'duplicate',
    'corrupt 9',
    'loss 20',
    'truncate 3',
    'set first=4',
    'hold',
    'limit 5',
  ];
  const scenario = (seed: number): [Gone[], string] => {
    const rng = new SeededRng(seed);
    const pick = (n: number): number => rng.u32() % n;
    const one = new Bench();
    for (let i = 0; i < 5; i++) {
      const limit = ['', 'first 9', 'every 2', 'probability 0.5', 'nth 2,4,6'][pick(5)];
      one.rule(`at tcp tx ${actions[pick(actions.length)]} ${limit} seed ${pick(100)}`);
    }
    for (let i = 0; i < 40; i++) {
      one.send(1 + pick(3));
      one.run(one.now + pick(3));
      if (pick(6) === 0) one.faults.step(`r${1 + pick(5)}`, one.now);
      if (pick(30) === 0) one.faults.remove(`r${1 + pick(5)}`, one.now);
      expect(one.env.ledger.imbalance).toBe(0);
    }
    return [one.gone, JSON.stringify(one.env.ledger)];
  };
  for (let seed = 1; seed <= 200; seed++) expect(scenario(seed)).toEqual(scenario(seed));
});
