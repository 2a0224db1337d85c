import { describe } from '@jest/globals';
import { MemoryHub } from '@skbus/bus';
import { testBus } from './bus-suite.ts';

describe('MemoryBus', () => {
  const hub = new MemoryHub({ onError: () => {} });
  testBus(() => Promise.resolve(hub.bus()), 't');
});
