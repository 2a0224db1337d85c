export { FragQueue, type Fit, type Fragment } from './frag-queue.ts';
export { FRAG_SYSCTL, type FragSysctl, Reassembler } from './reassembler.ts';
