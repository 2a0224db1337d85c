import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { NEVER } from '@skbus/skb';
import { registerCongestionControl } from './cong/registry.ts';
import { RtxQueue, type TxRec } from './rtx-queue.ts';
import { Timed, TimerHeap } from './timers.ts';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

/** What work one segment makes must not grow with what is outstanding: looks at records are counted, not time. */

const MSS = 1000;
const push = Reflect.get(RtxQueue.prototype, 'push') as (this: RtxQueue, rec: TxRec) => void;
let looks = 0;

beforeEach(() => {
  looks = 0;
  RtxQueue.prototype.push = function counted(rec: TxRec) {
    const get = (r: TxRec, key: keyof TxRec): unknown => {
      looks++;
      return r[key];
    };
    push.call(this, new Proxy(rec, { get }) as TxRec);
  };
});

afterEach(() => {
  RtxQueue.prototype.push = push;
});

let window = 0;
registerCongestionControl({
  name: 'cost',
  init: (_cx, sk) => void (sk.cwnd = sk.ssthresh = window),
  ssthresh: () => window,
  undoCwnd: () => window,
  congAvoid: (_cx, sk) => void (sk.cwnd = window),
});

/** `n` segments are out, each a record of its own. */
function outstanding(n: number): Scripted {
  window = 2 * n;
  const t = new Scripted({ sysctl: { tcpCongestionControl: 'cost', tcpWmem: [4096, 16_384, 1 << 26] } });
  activeOpen(t, { mss: MSS, sackPermitted: true, wscale: 14 }, 65_535);
  t.inject('.', 1, 1, { win: 65_535 }); // a SYN's window is not scaled
  for (let i = 0; i < n; i++) {
    const data = { offset: i * MSS, data: new Uint8Array(MSS) };
    t.cmd({ sk: SK, data, view: viewTo((i + 1) * MSS) });
  }
  expect(t.sent()).toHaveLength(n);
  looks = 0;
  return t;
}

const viewTo = (sndTo: number) => ({
  sndTo,
  rcvGot: 0,
  rcvRead: 0,
  finGot: false,
  haveChild: true,
  accepted: true,
});

/** Looks per ACK while the peer acknowledges all but every `hole`th segment (0: all). */
function perAck(n: number, hole: number): number {
  const t = outstanding(n);
  const blocks: [number, number][] = [];
  let una = 1;
  let acks = 0;
  for (let i = 0; i < n; i++) {
    if (i % 8 === 0) t.wait(1);
    if (hole > 0 && i % hole === 0) continue;
    const at = 1 + i * MSS;
    if (blocks.length === 0 && at === una) {
      una = at + MSS;
    } else if (blocks[0]?.[1] === at) {
      blocks[0][1] = at + MSS;
    } else {
      blocks.unshift([at, at + MSS]);
    }
    const sack = blocks.slice(0, 4).map(([a, b]): [number, number] => [t.ourIsn + a, t.ourIsn + b]);
    t.inject('.', 1, una, { win: 65_535, opts: sack.length > 0 ? { sack } : {} });
    acks++;
  }
  // the holes are filled one after the other
  for (const [a, b] of blocks.toReversed()) {
    expect(a).toBeGreaterThan(una);
    una = b;
    t.inject('.', 1, una, { win: 65_535 });
    acks++;
  }
  return looks / acks;
}

describe('looks at records per ACK do not grow with what is outstanding', () => {
  test.each([
    ['without loss', 0],
    ['with one hole', 1 << 20],
    ['with a hole in every 20 segments', 20],
  ])('%s', (_what, hole) => {
    const few = perAck(100, hole);
    const many = perAck(3200, hole);
    // a binary search takes five more steps
    expect(many).toBeLessThanOrEqual(2 * few + 30);
  });
});

/** Looks at deadlines per segment when each of `n` connections in turn arms a timer and stops it again. */
function perTimer(n: number): number {
  let asked = 0;
  class One extends Timed {
    at = NEVER;
    override wakeMs = NEVER;
    deadline(): number {
      asked++;
      return this.at;
    }
  }
  const heap = new TimerHeap();
  const all = Array.from({ length: n }, () => new One());
  const segments = 20 * n;
  for (let i = 0; i < segments; i++) {
    const now = (i * 1000) / n;
    const one = all[i % n]!;
    one.at = now + 200;
    heap.touch(one);
    if (heap.due(now) !== undefined) throw new Error('nothing is due');
    one.at = NEVER;
    heap.next();
  }
  return asked / segments;
}

test('looks at deadlines per segment do not grow with the number of connections', () => {
  expect(perTimer(10)).toBeLessThanOrEqual(2);
  expect(perTimer(3000)).toBeLessThanOrEqual(2);
});
