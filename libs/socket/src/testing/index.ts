export { Bench, type LinkFaults } from './bench.ts';
export { ModelTcp, ModelSock } from './model-tcp.ts';
export { ModelUdp } from './model-udp.ts';
