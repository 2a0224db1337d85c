import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connectNats, NatsLane } from '@skbus/bus';
import { freePort, startBroker, type TestBroker } from '../support/nats-server.ts';
import { until } from './bus-suite.ts';

// The lane beside the client. Without it everything works, only slower: that it is used shows nowhere else.

let broker: TestBroker;
beforeEach(async () => {
  broker = await startBroker({ port: await freePort() });
});
afterEach(() => broker.stop());

test('messages of its subscriptions pass the client by, both ways, and do so again after a restart of the broker', async () => {
  const lanes = [new NatsLane(), new NatsLane()] as const;
  const options = { servers: broker.url, maxReconnectAttempts: -1, reconnectTimeWait: 20, waitOnFirstConnect: true };
  const [a, b] = await Promise.all(lanes.map((lane) => connectNats({ ...options, lane })));
  const got: string[] = [];
  const onClient = (): void => void got.push('by the client');
  const sub = b!.subscribe('x.*', { callback: onClient });
  lanes[1].take(sub.getID(), { subject: undefined, take: (data, subject) => got.push(`${subject} ${data.length}`) });
  await b!.flush();

  const exchange = async (n: number): Promise<void> => {
    got.length = 0;
    await until(() => {
      if (lanes[0].publish('x.1', new Uint8Array(n))) lanes[0].flush();
      return got.includes(`x.1 ${n}`);
    }, 'a message over the lane');
    expect(got).not.toContain('by the client');
  };
  await exchange(5);
  expect(a!.stats().outMsgs + b!.stats().inMsgs).toBe(0);

  await broker.kill();
  broker = await startBroker({ port: Number(new URL(broker.url).port) });
  await exchange(6);

  lanes[1].drop(sub.getID());
  got.length = 0;
  lanes[0].publish('x.2', new Uint8Array(1));
  await until(() => got.length > 0, 'the message');
  expect(got).toContain('by the client');
  await Promise.all([a!.close(), b!.close()]);
});
