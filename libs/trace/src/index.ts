export { TraceRing } from './trace-ring.ts';
export { tupleOf } from './tuple.ts';
export { formatPwru, formatPwruHeader } from './pwru.ts';
export { formatFtrace } from './ftrace.ts';
export { formatJsonLine } from './json-line.ts';
export type { PrintedEvent, PrintOptions } from './print.ts';
