import { describe, expect, test } from '@jest/globals';
import { replayOf } from '@skbus/fault';
import { errnoName } from '@skbus/skb';
import { transfer, twoHosts, whole, type Two } from '@skbus/sim';

const SIZE = 100_000;

function moves(two: Two): void {
  const t = transfer(two, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
}

describe('a rule at each seam of a packet', () => {
  test.each([
    ['at nic tx drop every 5', 'a'],
    ['at nic rx drop every 5', 'b'],
    ['at nic.ip_rcv drop every 5', 'b'],
    ['at nic.dev_queue_xmit drop nth 2,8,20', 'b'],
    ['at ip rx drop every 5', 'a'],
    ['at ip tx drop every 5', 'b'],
    ['at ip.tcp_v4_rcv drop every 5', 'b'],
    ['at ip.ip_queue_xmit drop every 5', 'a'],
    ['at tcp rx drop every 5', 'a'],
    ['at tcp tx drop TCP_CSUM every 5', 'b'],
    ['at tcp rx truncate 30 every 5', 'b'],
    ['at nic rx truncate 40 every 5', 'b'],
    ['at neigh rx drop first 1', 'a'],
    ['at neigh tx drop first 1', 'a'],
  ] as const)('%s on %s: the streams are whole', (text, host) => {
    const two = twoHosts();
    const id = two[host].fault(text);
    moves(two);
    const log = two[host].faultLog();
    expect(log.length).toBeGreaterThan(0);
    expect(log.every((d) => d.rule === id)).toBe(true);
    expect(Object.keys(two[host].drops).length).toBeGreaterThan(0);
  });

  test('the first SYN-ACK is lost at tcp tx: it is sent again, and the reason is counted', () => {
    const two = twoHosts();
    two.b.fault('at tcp tx drop NOMEM first 1');
    moves(two);
    expect(two.b.drops).toMatchObject({ NOMEM: 1 });
    expect(two.b.shells.tcp.env.mib.get('TcpRetransSegs')).toBe(1);
  });
});

describe('netem and header fields', () => {
  const netem = 'delay 5ms 2ms 25% loss 2% duplicate 2% corrupt 2% reorder 25% 50% seed 3';
  test.each([
    `at nic tx ${netem}`,
    `at nic rx ${netem}`,
    `at ip rx ${netem}`,
    `at tcp tx ${netem}`,
    `at ip.tcp_v4_rcv ${netem}`,
    'at tcp tx rate 20mbit limit 20',
    'at ip rx set ip.ttl=1 csum keep every 4',
    'at ip rx set tcp.window_size_value=0 every 4',
    "at tcp tx match 'tcp.len > 0' set tcp.ack_raw=1 csum keep every 4",
    "at nic tx match 'ip.proto == 6' truncate 60 every 5",
  ])('%s: the streams are whole', (text) => {
    for (const offload of [false, true]) {
      const two = twoHosts({ latencyMs: 1 }, { offload });
      for (const h of [two.a, two.b]) h.fault(text);
      moves(two);
      expect(two.a.faultLog().length + two.b.faultLog().length).toBeGreaterThan(0);
    }
  });

  test('a TTL that is changed and summed again: nobody minds; left wrong: the reason is IP_CSUM', () => {
    const wrong = (csum: string): number | undefined => {
      const two = twoHosts();
      two.b.fault(`at ip rx set ip.ttl=1 ${csum} nth 3`);
      moves(two);
      return two.b.drops.IP_CSUM;
    };
    expect([wrong(''), wrong('csum keep')]).toEqual([undefined, 1]);
  });
});

describe('messages', () => {
  test.each([
    ['at socket tx drop every 7', 'a'],
    ['at socket rx drop every 7', 'b'],
    ['at tcp.sk_cmd drop every 7', 'b'],
    ['at tcp.sk_evt drop every 7', 'a'],
    ['at tcp.ctl.route_query drop first 1', 'a'],
    ['at ip.ctl.route_query drop first 1', 'a'],
    ['at ip.ctl.neigh_update drop first 1', 'a'],
    ['at neigh.ctl.* drop', 'a'],
  ] as const)('%s on %s: the streams are whole', (text, host) => {
    const two = twoHosts();
    two[host].fault(text);
    moves(two);
  });

  test('a control message that nobody names is let alone', () => {
    const two = twoHosts();
    two.a.fault('at ip drop nth 1000000');
    moves(two);
    expect(two.a.shells.ip.faults.status()[0]!.matched).toBeGreaterThan(10);
    expect(two.a.shells.ip.faults.point('rx', 'ctl.route_query').rules).toBeUndefined();
  });
});

test('what is held waits in the ledger, and goes on when it is released', () => {
  const { net, b, onA, onB } = twoHosts();
  b.fault('at tcp rx hold first 2', 'h');
  onB.serve(80, () => {});
  net.after(1_500, () => {
    const { tcp } = b.shells;
    expect([tcp.env.ledger.queued, tcp.faults.held.of('h').length]).toEqual([2, 2]);
    expect(tcp.run((now) => tcp.faults.release('h', now))).toBe(2);
  });
  expect(errnoName(onA.connect(b.addr, 80).errno)).toBe(errnoName(0));
  net.runUntilIdle();
  expect(net.check()).toEqual([]);
  expect(b.faultLog().map((d) => d.op.op)).toEqual(['hold', 'hold', 'send', 'send']);
});

test('rules survive the restart of their layer, and go on counting', () => {
  const two = twoHosts();
  two.b.fault('at ip rx drop first 3', 'x');
  two.b.restart('ip');
  moves(two);
  expect(two.b.shells.ip.faults.status()).toMatchObject([{ hits: 3 }]);
  expect(two.b.faultLog().map((d) => d.ordinal)).toEqual([1, 2, 3]);
  two.b.heal();
  expect(two.b.shells.ip.faults.status()).toEqual([]);
});

test('the same rules, the same seed: the same decisions; and the log replays', () => {
  const run = (rules: (two: Two) => void): string[] => {
    const two = twoHosts();
    rules(two);
    moves(two);
    return two.b.faultLog().map((d) => `${d.seam.func} ${d.ordinal} ${d.op.op}`);
  };
  const texts = ['at ip rx drop probability 0.03 seed 4', 'at tcp.sk_cmd drop probability 0.1 seed 5'];
  const first = run((two) => void texts.map((t) => two.b.fault(t)));
  expect(run((two) => void texts.map((t) => two.b.fault(t)))).toEqual(first);
  const two = twoHosts();
  for (const t of texts) two.b.fault(t);
  moves(two);
  const rules = [...two.b.shells.ip.faults.status(), ...two.b.shells.tcp.faults.status()].map((s) => s.rule);
  const replayed = replayOf(two.b.faultLog(), rules);
  const again = run(({ b }) => {
    for (const [i, r] of replayed.entries())
      b.shells[r.at.layer as 'ip'].setRule(r, { order: i, sinceMs: b.shells.ip.now });
  });
  expect(again).toEqual(first);
  expect(first.length).toBeGreaterThan(3);
});

test('a layer dies of a packet, or at a time, and is there again', () => {
  const two = twoHosts();
  two.b.fault('at ip rx service kill ip nth 9');
  two.a.fault('service kill neigh after 3ms');
  moves(two);
  expect(two.b.shells.ip.epoch).toBe(2);
  expect(two.a.shells.neigh.epoch).toBe(2);
});

test('what is wrong with a rule is said', () => {
  const two = twoHosts();
  expect(() => two.a.fault('at ip rx explode')).toThrow(
    /"explode" is no word of a rule.*\n.*at ip rx explode\n {13}\^/,
  );
  expect(() => two.a.fault('at tcp layer wobble')).toThrow('tcp has no fault "wobble"');
});
