export * from './bus.ts';
export { MemoryBus, MemoryHub } from './memory-bus.ts';
export { NatsBus, type NatsBusOptions } from './nats-bus.ts';
export { BusTransport, type BusContext } from './nest-transport.ts';
export { GatedBus } from './gated-bus.ts';
export * from './credentials.ts';
export * from './nats-config.ts';
export * from './certificate.ts';
export * from './token.ts';
