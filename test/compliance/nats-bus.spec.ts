import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { NatsBus } from '@skbus/bus';
import { startBroker, type TestBroker } from '../support/nats-server.ts';
import { testBus, until } from './bus-suite.ts';

describe('NatsBus', () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.stop());
  test('a message that is too big for the broker is reported, and the next one goes', async () => {
    const said: unknown[] = [];
    const a = await NatsBus.connect({ url: broker.url, name: 'big', onError: (e) => said.push(e) });
    const b = await NatsBus.connect({ url: broker.url, name: 'other', onError: () => {} });
    const got: number[] = [];
    b.subscribe('skb.v1.big.x', (d) => got.push(d.length));
    await b.flush();
    for (const n of [7, 1_048_577, 8]) a.publish('skb.v1.big.x', new Uint8Array(n));
    await until(() => got.length === 2, 'the others');
    expect(got).toEqual([7, 8]);
    expect(String(said)).toMatch(/max_payload/);
    await Promise.all([a.close(), b.close()]);
  });

  testBus(() => NatsBus.connect({ url: broker.url, name: 'test', onError: () => {} }), 't');
});
