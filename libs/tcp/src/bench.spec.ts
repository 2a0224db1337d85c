import { test } from '@jest/globals';
import { writeSync } from 'node:fs';
import { LayerEnv, SeededRng, SkBuff } from '@skbus/skb';
import { Scripted, activeOpen, SK } from './testing/peer.ts';
const log = (s: string) => writeSync(2, s + '\n');
declare const process: any;
const build = (t: any, ...a: any[]) => t.build(...a);
test('bench', () => {
  const t = new Scripted();
  activeOpen(t, { mss: 1460 });
  // receive
  const N = 40_000;
  const payload = new Uint8Array(1448);
  let off = 0;
  for (let round = 0; round < 8; round++) {
    const skbs: SkBuff[] = [];
    for (let i = 0; i < N; i++) skbs.push(build(t, 16, 1 + off + i * 1448, 1, payload, {}));
    const t0 = process.hrtime.bigint();
    for (let i = 0; i < N; i++) {
      t.env.ledger.received++;
      t.tcp.onSegment(skbs[i]!, t.now);
      off += 1448;
      if (i % 20 === 19) { t.now += 0.2; t.view(SK, { rcvGot: off, rcvRead: off }); t.out.length = 0; t.events.length = 0; }
    }
    const dt = Number(process.hrtime.bigint() - t0) / 1e9;
    log(`receive ${(N / dt / 1e6).toFixed(2)} Mseg/s; drops ${JSON.stringify([...t.env.ledger.drops])} ${t.env.mib.get('TcpExtTCPHPHits')}`);
  }
  // send
  const u = new Scripted();
  activeOpen(u, { mss: 1460, wscale: 7, tsVal: 1, tsEcr: 0 }, 65535);
  (u as any).env.out.pass = (_t: string, skb: SkBuff) => { last = skb; n++; };
  let last: SkBuff; let n = 0;
  const chunk = new Uint8Array(65536);
  let o = 0; const t1 = process.hrtime.bigint();
  u.inject('.', 1, 1, { win: 65535, opts: { tsVal: 2, tsEcr: 0 } });
  while (o < 4e9) {
    u.tcp.onCommand({ sk: SK, opSeq: 0, data: { offset: o, data: chunk } }, u.now);
    o += 65536;
    u.tcp.flush(u.now);
    const info = (u.tcp as any).cx.socks.get(SK);
    u.now += 0.01;
    u.env.ledger.received++;
    if (o % (65536 * 4) === 0) u.inject('.', 1, info.sndNxt, { win: 65535, opts: { tsVal: 2, tsEcr: 0 } });
    u.events.length = 0;
  }
  const d1 = Number(process.hrtime.bigint() - t1) / 1e9;
  log(`send ${(o * 8 / d1 / 1e9).toFixed(2)} Gbit/s in ${n} skbs ${JSON.stringify(u.tcp.tcpInfo(SK))}`);
});
test('memory', () => {
  const env = new LayerEnv({ layer: 't', rng: new SeededRng(1), out: { pass: () => {} } });
  void env;
  const t = new Scripted();
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 4096 } });
  t.tcp.setSysctl({ somaxconn: 65535, tcpMaxSynBacklog: 100000 });
  const kids: number[] = [];
  (globalThis as any).gc?.();
  const m0 = process.memoryUsage().heapUsed;
  const t0 = process.hrtime.bigint();
  for (let i = 0; i < 10000; i++) {
    t.theirPort = 1024 + i;
    t.forgetIsn();
    t.inject('S', 0, 0, { opts: { mss: 1460, sackPermitted: true, wscale: 7, tsVal: 1, tsEcr: 0 } });
    const s = t.sent();
    t.inject('.', 1, 1, { opts: { tsVal: 2, tsEcr: s[0]!.opts.tsVal! } });
    const kid = t.events.find((e) => e.child)!.sk;
    kids.push(kid);
    t.view(kid, {});
    t.out.length = 0; t.events.length = 0;
  }
  const d = Number(process.hrtime.bigint() - t0) / 1e9;
  t.wait(5000);
  t.events.length = 0;
  (globalThis as any).gc?.();
  log(`conns/s ${(10000 / d).toFixed(0)} mem/conn ${((process.memoryUsage().heapUsed - m0) / 10000).toFixed(0)} poll ${t.tcp.pollTimeout()}`);
});
