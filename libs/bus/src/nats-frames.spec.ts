import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FrameReader, FrameWriter, type FrameSink, type Taker } from './nats-frames.ts';

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** Reads `stream` in pieces of `sizes` bytes (the last one over and over), as far as the reader has room for them. */
function read(stream: Uint8Array, sizes: readonly number[], subjects: Record<number, string | undefined>): string[] {
  const heard: string[] = [];
  const takers = new Map<number, Taker>(
    Object.entries(subjects).map(([sid, subject]) => [
      Number(sid),
      { subject, take: (data, from) => heard.push(`${sid} ${from} ${latin1(data)}`) },
    ]),
  );
  const reader = new FrameReader(takers, (bytes) => heard.push(latin1(bytes)));
  for (let at = 0, i = 0; at < stream.length; i++) {
    const room = reader.room();
    const n = Math.min(sizes[Math.min(i, sizes.length - 1)] ?? 1, room.length, stream.length - at);
    room.set(stream.subarray(at, at + n));
    reader.filled(n);
    at += n;
  }
  return heard;
}

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map(latin1),
  fc.constantFrom('', '\r\n', 'MSG a 1 3\r\n', 'PING\r\n', 'x'.repeat(20_000), '\r\n'.repeat(40_000)),
);
const frame = fc.oneof(
  fc
    .constantFrom('INFO {"max_payload":1048576}\r\n', 'PING\r\n', 'PONG\r\n', '+OK\r\n', "-ERR 'Stale MSG 1 2 3'\r\n")
    .map((text) => ({ text, heard: text })),
  fc.record({ sid: fc.constantFrom(1, 22, 9), reply: fc.boolean(), data: payload }).map(({ sid, reply, data }) => {
    const subject = sid === 1 ? 'skb.v1.a.ip_rcv' : 'wire.v1.a.7';
    const text = `MSG ${subject} ${sid}${reply ? ' _INBOX.7' : ''} ${data.length}\r\n${data}\r\n`;
    return { text, heard: sid === 9 ? text : `${sid} ${subject} ${data}` };
  }),
  payload.map((data) => {
    const text = `HMSG x 1 12 ${12 + data.length}\r\nNATS/1.0\r\n\r\n${data}\r\n`;
    return { text, heard: text };
  }),
);

describe('FrameReader', () => {
  test('takes out the messages of its subscriptions and leaves everything else as it was, however it comes in', () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 70_000 })), {
      minLength: 1,
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), sizes, (frames, pieces) => {
        const stream = bytesOf(frames.map((f) => f.text).join(''));
        const heard = read(stream, pieces, { 1: 'skb.v1.a.ip_rcv', 22: undefined });
        expect(heard).toEqual(frames.map((f) => f.heard));
      }),
      { numRuns: 300 },
    );
  });

  test('a message with headers is the client’s, payload and all', () => {
    const text = 'HMSG x 5 12 15\r\nNATS/1.0\r\n\r\nabc\r\n';
    expect(read(bytesOf(`${text}MSG a 1 1\r\nz\r\n`), [7], { 1: 'a' })).toEqual([text, '1 a z']);
  });

  test('what it has handed out stays as it is when more comes', () => {
    const kept: Uint8Array[] = [];
    const reader = new FrameReader(new Map([[1, { subject: 'a', take: (data) => kept.push(data) }]]), () => {});
    const receive = (text: string): void => {
      const bytes = bytesOf(text);
      for (let at = 0; at < bytes.length;) {
        const room = reader.room();
        const n = Math.min(room.length, bytes.length - at);
        room.set(bytes.subarray(at, at + n));
        reader.filled(n);
        at += n;
      }
    };
    receive(`MSG b 2 500000\r\n${'x'.repeat(500_000)}\r\n`);
    for (let i = 0; i < 3_000; i++) receive(`MSG a 1 8\r\n${String(i).padStart(8, '0')}\r\n`);
    expect(kept.map((data) => Number(latin1(data)))).toEqual(Array.from({ length: 3_000 }, (_, i) => i));
    // A message that is kept keeps at most what a read may have brought with it; and what a large one took is not asked for again.
    const slabs = new Set(kept.map((data) => data.buffer));
    expect(Math.max(...[...slabs].map((slab) => slab.byteLength).slice(1))).toBeLessThanOrEqual(64 * 1024);
    expect(slabs.size).toBeLessThan(10);
  });
});

/** Takes writes; `blocked`: they wait where they are, as in a socket whose peer does not read. */
class Sink implements FrameSink {
  readonly written: Uint8Array[] = [];
  writableLength = 0;
  writes = 0;
  private corked = 0;
  private readonly blocked: boolean;

  constructor(blocked: boolean) {
    this.blocked = blocked;
  }

  write(bytes: Uint8Array): void {
    this.written.push(this.blocked ? bytes : Uint8Array.from(bytes));
    if (this.blocked) this.writableLength += bytes.length;
    if (this.corked === 0) this.writes++;
  }

  cork(): void {
    this.corked++;
  }

  uncork(): void {
    if (--this.corked === 0) this.writes++;
  }

  text(): string {
    return latin1(Buffer.concat(this.written));
  }
}

describe('FrameWriter', () => {
  test.each([false, true])('writes every message once, whole and in order; the socket is blocked: %s', (blocked) => {
    const message = fc.record({
      subject: fc.constantFrom('sk.v1.a.tcp.0', 'skb.v1.a.ip_queue_xmit'),
      length: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.constantFrom(8_192, 8_193, 65_000, 500_000)),
    });
    fc.assert(
      fc.property(fc.array(fc.array(message, { maxLength: 12 }), { maxLength: 12 }), (batches) => {
        const sink = new Sink(blocked);
        const writer = new FrameWriter(sink);
        let n = 0;
        let expected = '';
        for (const batch of batches) {
          for (const { subject, length } of batch) {
            const data = new Uint8Array(length).fill(65 + (n++ % 26));
            writer.publish(subject, data);
            expected += `PUB ${subject} ${length}\r\n${latin1(data)}\r\n`;
          }
          writer.flush();
        }
        expect(sink.text() === expected).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('what was published together is one write', () => {
    const sink = new Sink(false);
    const writer = new FrameWriter(sink);
    for (const length of [10, 60_000, 10]) writer.publish('a', new Uint8Array(length));
    writer.flush();
    expect(sink.writes).toBe(1);
  });
});
