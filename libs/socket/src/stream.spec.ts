import { describe, expect, test } from '@jest/globals';
import { ERRNO, SOCK_STREAM, SeededRng, below } from '@skbus/skb';
import fc from 'fast-check';
import { Bench } from './testing/bench.ts';
import type { SysReply } from './types.ts';

const addr = { family: 2, addr: 0x0a4d0002, port: 80 };

function listener(b: Bench): number {
  const fd = b.sys({ call: 'socket', domain: 2, type: SOCK_STREAM, protocol: 0 }).result;
  expect(b.sys({ call: 'bind', fd, addr }).errno).toBe(0);
  expect(b.sys({ call: 'listen', fd, backlog: 16 }).errno).toBe(0);
  return fd;
}

function pair(b: Bench, lfd: number): { client: number; server: number } {
  const client = b.sys({ call: 'socket', domain: 2, type: SOCK_STREAM, protocol: 0 }).result;
  expect(b.sys({ call: 'connect', fd: client, addr }).errno).toBe(0);
  const server = b.sys({ call: 'accept', fd: lfd, flags: 0 }).result;
  expect(server).toBeGreaterThan(client);
  return { client, server };
}

function bytesOf(r: SysReply): number[] {
  return (r.data ?? []).flatMap((d) => [...d]);
}

/** Writes `size` bytes on one fd while the other is read slowly or fast, and checks that they are the same. */
function transfer(b: Bench, from: number, to: number, size: number, rng: SeededRng): void {
  let wrote = 0;
  let read = 0;
  const at = (i: number): number => (i * 131 + (i >> 8) * 17) & 255;
  let writing: { reply: SysReply | undefined } | undefined;
  let reading: { reply: SysReply | undefined } | undefined;
  const deadline = b.now + 600_000;
  while (read < size) {
    if (writing?.reply !== undefined) {
      expect(writing.reply.errno).toBe(0);
      wrote += writing.reply.result;
      writing = undefined;
    }
    if (writing === undefined && wrote < size) {
      const n = Math.min(size - wrote, 1 + below(rng, below(rng, 4) === 0 ? 400_000 : 3000));
      writing = b.start({
        call: 'sendto',
        fd: from,
        data: [Uint8Array.from({ length: n }, (_, i) => at(wrote + i))],
        flags: 0,
        to: undefined,
      });
      continue;
    }
    if (reading?.reply !== undefined) {
      expect(reading.reply.errno).toBe(0);
      for (const part of reading.reply.data!)
        for (const x of part) if (x !== at(read++)) throw new Error(`byte ${read - 1} differs`);
      reading = undefined;
    }
    reading ??= b.start({ call: 'recvfrom', fd: to, len: 1 + below(rng, 200_000), flags: 0 });
    if (reading.reply === undefined && !b.step(deadline))
      throw new Error(`stuck: wrote ${wrote}, read ${read} of ${size}`);
  }
  expect(read).toBe(size);
}

function finish(b: Bench, lfd: number, client: number, server: number): void {
  b.sys({ call: 'close', fd: client });
  expect(b.sys({ call: 'recvfrom', fd: server, len: 10, flags: 0 })).toMatchObject({ errno: 0, result: 0 });
  b.sys({ call: 'close', fd: server });
  b.sys({ call: 'close', fd: lfd });
  b.run(60_000);
  expect(b.layer.gauges.sockets).toBe(0);
  expect(b.tcp.socks.size).toBe(0);
  expect(b.layer.pollTimeout()).toBe(Infinity);
}

describe('a stream over the seam', () => {
  test('connect, both directions, close: nothing is left', () => {
    const b = new Bench();
    const lfd = listener(b);
    const { client, server } = pair(b, lfd);
    expect(b.sys({ call: 'sendto', fd: client, data: [Uint8Array.of(1, 2, 3)], flags: 0, to: undefined }).result).toBe(
      3,
    );
    expect(bytesOf(b.sys({ call: 'recvfrom', fd: server, len: 10, flags: 0 }))).toEqual([1, 2, 3]);
    b.sys({ call: 'sendto', fd: server, data: [Uint8Array.of(9)], flags: 0, to: undefined });
    expect(bytesOf(b.sys({ call: 'recvfrom', fd: client, len: 10, flags: 0 }))).toEqual([9]);
    finish(b, lfd, client, server);
  });

  test('a clean link carries a stream without repeats', () => {
    const b = new Bench(3);
    const lfd = listener(b);
    const { client, server } = pair(b, lfd);
    transfer(b, client, server, 3_000_000, new SeededRng(5));
    const sent = b.tcpCmds.reduce((n, c) => n + (c.data?.data.length ?? 0), 0);
    expect(sent).toBe(3_000_000);
    // Nothing waited for a timer.
    expect(b.now).toBe(0);
    finish(b, lfd, client, server);
  });

  test.each([
    { loss: 0.05, duplicate: 0, jitterMs: 0 },
    { loss: 0, duplicate: 0.3, jitterMs: 0 },
    { loss: 0, duplicate: 0, jitterMs: 50 },
    { loss: 0.3, duplicate: 0.3, jitterMs: 400 },
  ])('loss $loss, duplicates $duplicate, jitter $jitterMs ms', (faults) => {
    const b = new Bench(11);
    b.faults = faults;
    const lfd = listener(b);
    const { client, server } = pair(b, lfd);
    transfer(b, client, server, 300_000, new SeededRng(6));
    transfer(b, server, client, 300_000, new SeededRng(7));
    finish(b, lfd, client, server);
    expect(new Set(b.tcp.ran).size).toBe(b.tcp.ran.length);
  });

  test('any seed, any faults', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.double({ min: 0, max: 0.4, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.nat(600),
        (seed, loss, duplicate, jitterMs) => {
          const b = new Bench(seed);
          b.faults = { loss, duplicate, jitterMs };
          const lfd = listener(b);
          const { client, server } = pair(b, lfd);
          transfer(b, client, server, 20_000, new SeededRng(seed + 1));
          transfer(b, server, client, 20_000, new SeededRng(seed + 2));
          finish(b, lfd, client, server);
          expect(new Set(b.tcp.ran).size).toBe(b.tcp.ran.length);
        },
      ),
      { numRuns: 60, seed: 42 },
    );
  });
});

describe('memory', () => {
  test('a stalled reader stops the writer at the buffers, and the stream goes on where it stopped', () => {
    const b = new Bench(2);
    const lfd = listener(b);
    const { client, server } = pair(b, lfd);
    const data = new Uint8Array(100_000).fill(7);
    let sent = 0;
    for (;;) {
      const r = b.sys({ call: 'sendto', fd: client, data: [data], flags: 0x40, to: undefined });
      if (r.errno === ERRNO.EAGAIN) {
        b.run(300);
        const again = b.sys({ call: 'sendto', fd: client, data: [data], flags: 0x40, to: undefined });
        if (again.errno === ERRNO.EAGAIN) break;
        sent += again.result;
        continue;
      }
      sent += r.result;
    }
    expect(sent).toBeLessThan(5_000_000);
    let got = 0;
    while (got < sent) got += b.sys({ call: 'recvfrom', fd: server, len: 65_536, flags: 0 }).result;
    expect(got).toBe(sent);
    transfer(b, client, server, 500_000, new SeededRng(6));
    finish(b, lfd, client, server);
  });
});
