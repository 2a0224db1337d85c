import { afterAll, beforeAll, describe } from '@jest/globals';
import { NatsBus } from '@skbus/bus';
import { startBroker, type TestBroker } from '../support/nats-server.ts';
import { testBus } from './bus-suite.ts';

describe('NatsBus', () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(() => broker.stop());
  testBus(() => NatsBus.connect({ url: broker.url, name: 'test', onError: () => {} }), 't');
});
