export { TraceRing } from './trace-ring.ts';
export { tupleOf } from './tuple.ts';
