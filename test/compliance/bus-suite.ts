import { expect, test } from '@jest/globals';
import type { Bus } from '@skbus/bus';

/** Resolves when `ready()` holds; checked after every turn of the event loop, so no clock is involved. */
export async function until(ready: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!ready()) {
    if (performance.now() > deadline) throw new Error(`waited 10 s for: ${what}`);
    await new Promise((r) => setImmediate(r));
  }
}

const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b);

/** What every Bus must do. `open` gives another participant of the same bus; `unique` keeps runs on one broker apart. */
export function testBus(open: () => Promise<Bus>, unique: string): void {
  const s = (name: string): string => `skb.v1.${unique}.${name}`;
  const ctl = (name: string): string => `ctl.v1.${unique}.${name}`;

  test('delivers to every subscriber, in order, and not to the publisher of another subject', async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()]);
    const got: [string, number][] = [];
    b.subscribe(s('ip_rcv'), (d) => got.push(['b', d[0]!]));
    c.subscribe(s('*'), (d, subject) => got.push([subject, d[0]!]));
    c.subscribe(s('dev_queue_xmit.>'), (d) => got.push(['dev', d[0]!]));
    await Promise.all([b.flush(), c.flush()]);
    for (let i = 0; i < 100; i++) a.publish(s('ip_rcv'), bytes(i));
    a.publish(s('dev_queue_xmit.2'), bytes(7));
    await until(() => got.length === 201, '201 deliveries');
    expect(got.filter(([w]) => w === 'b').map(([, n]) => n)).toEqual([...Array(100).keys()]);
    expect(got.filter(([w]) => w === s('ip_rcv')).map(([, n]) => n)).toEqual([...Array(100).keys()]);
    expect(got.filter(([w]) => w === 'dev')).toEqual([['dev', 7]]);
    await Promise.all([a.close(), b.close(), c.close()]);
  });

  test('publish never calls a subscriber before it returns', async () => {
    const a = await open();
    const b = await open();
    let inside = false;
    let seen: boolean | undefined;
    b.subscribe(s('x'), () => (seen = inside));
    await b.flush();
    inside = true;
    a.publish(s('x'), bytes(1));
    inside = false;
    await until(() => seen !== undefined, 'the message');
    expect(seen).toBe(false);
    await Promise.all([a.close(), b.close()]);
  });

  test('messages of all sizes come whole and in order, and stay as they were', async () => {
    const [a, b] = await Promise.all([open(), open()]);
    const got: Uint8Array[] = [];
    b.subscribe(s('sizes'), (d) => got.push(d));
    await b.flush();
    const sizes = [0, 1, 100, 8_192, 8_193, 65_536, 3, 500_000, 2, 200_000, 5, 1_000_000, 1];
    sizes.forEach((n, i) => a.publish(s('sizes'), new Uint8Array(n).fill(i)));
    await until(() => got.length === sizes.length, 'all of them');
    for (let i = 0; i < 500; i++) a.publish(s('sizes'), bytes(0xff));
    await until(() => got.length === sizes.length + 500, 'what follows');
    expect(got.slice(0, sizes.length).map((d) => d.length)).toEqual(sizes);
    expect(sizes.every((n, i) => got[i]!.every((byte) => byte === i) && got[i]!.length === n)).toBe(true);
    await Promise.all([a.close(), b.close()]);
  });

  test('an unsubscribed handler is not called any more', async () => {
    const a = await open();
    const b = await open();
    const got: number[] = [];
    const off = b.subscribe(s('y'), (d) => got.push(d[0]!));
    b.subscribe(s('y2'), (d) => got.push(d[0]!));
    await b.flush();
    off();
    await b.flush();
    a.publish(s('y'), bytes(1));
    a.publish(s('y2'), bytes(2));
    await until(() => got.length > 0, 'the second message');
    expect(got).toEqual([2]);
    await Promise.all([a.close(), b.close()]);
  });

  test('a handler that throws does not take the subscription with it', async () => {
    const a = await open();
    const b = await open();
    const got: number[] = [];
    b.subscribe(s('z'), (d) => {
      got.push(d[0]!);
      if (d[0] === 1) throw new Error('handler failed on purpose');
    });
    await b.flush();
    a.publish(s('z'), bytes(1));
    a.publish(s('z'), bytes(2));
    await until(() => got.length === 2, 'both messages');
    await Promise.all([a.close(), b.close()]);
  });

  test('request: an answer, nobody there, a failing responder, a late one', async () => {
    const a = await open();
    const b = await open();
    b.respond(ctl('double'), (d) => bytes(d[0]! * 2));
    b.respond(ctl('fails'), () => {
      throw new Error('no such route');
    });
    b.respond(ctl('never'), () => new Promise<Uint8Array>(() => {}));
    await b.flush();
    expect([...(await a.request(ctl('double'), bytes(21), 5000))]).toEqual([42]);
    await expect(a.request(ctl('nobody'), bytes(), 5000)).rejects.toMatchObject({ code: 'NO_RESPONDERS' });
    await expect(a.request(ctl('fails'), bytes(), 5000)).rejects.toMatchObject({
      code: 'REMOTE',
      message: 'no such route',
    });
    await expect(a.request(ctl('never'), bytes(), 50)).rejects.toMatchObject({ code: 'TIMEOUT' });
    await Promise.all([a.close(), b.close()]);
  });

  test('kv: get, put, delete, entries, and a watch that starts with what is there', async () => {
    const a = await open();
    const b = await open();
    const kv = await a.kv(`skbus_${unique}_t`);
    expect(await kv.get('2.10')).toBeUndefined();
    await kv.put('2.10', bytes(1));
    await kv.put('2.11', bytes(2));
    await kv.put('2.10', bytes(3));
    const other = await b.kv(`skbus_${unique}_t`);
    expect([...(await other.get('2.10'))!]).toEqual([3]);
    const seen: [string, number | undefined][] = [];
    const off = await other.watch((k, v) => seen.push([k, v?.[0]]));
    expect(new Map(seen)).toEqual(
      new Map([
        ['2.10', 3],
        ['2.11', 2],
      ]),
    );
    await kv.delete('2.11');
    await kv.put('2.12', bytes(9));
    await until(() => seen.length >= 4, 'two changes');
    expect(seen.slice(2)).toEqual([
      ['2.11', undefined],
      ['2.12', 9],
    ]);
    expect(await other.get('2.11')).toBeUndefined();
    expect([...(await other.entries()).keys()].sort()).toEqual(['2.10', '2.12']);
    off();
    await Promise.all([a.close(), b.close()]);
  });

  test('a bucket in which keys come and go all the time is read to its end', async () => {
    const [a, b] = [await open(), await open()];
    const kv = await a.kv(`skbus_${unique}_busy`);
    await kv.put('here', bytes(1));
    const state = { over: false };
    const traffic = (async () => {
      for (let i = 0; !state.over; i++) {
        await kv.put(`passing.${i % 3}`, bytes(2));
        await kv.delete(`passing.${i % 3}`);
      }
    })();
    const reader = await b.kv(`skbus_${unique}_busy`);
    for (let i = 0; i < 20; i++) {
      expect([...(await reader.entries()).get('here')!]).toEqual([1]);
      const seen: string[] = [];
      const off = await reader.watch((k) => void seen.push(k));
      expect(seen).toContain('here');
      off();
    }
    state.over = true;
    await traffic;
    await Promise.all([a.close(), b.close()]);
  });

  test('watching an empty bucket does not wait for ever', async () => {
    const a = await open();
    const kv = await a.kv(`skbus_${unique}_empty`);
    const off = await kv.watch(() => {});
    off();
    await a.close();
  });

  test('a closed bus is quiet', async () => {
    const a = await open();
    await a.close();
    a.publish(s('q'), bytes(1));
    await expect(a.request(ctl('double'), bytes(1), 100)).rejects.toMatchObject({ name: 'BusError' });
  });
}
