import { setFlagsFromString } from 'node:v8';

/**
 * How much TurboFan may inline into one function, in bytes of bytecode (920 unless told). A packet goes through some hundred
 * small functions in a layer, and each call that stays one costs more than its body while other processes have the CPU in between:
 * ADR 12 has the figures. More than this and the first seconds go to the compiler.
 */
const INLINED_BYTECODE_MAX = 2_500;

/**
 * How much the heap may grow before the next full collection, in per cent of what the last one left. V8's own factor is up to
 * this, but once a collection came in a quiet moment it is little more than nothing, and stays there: payload lives outside the
 * heap, the young one is given back for every 32 MiB of it, and V8 counts all of it towards the limit. A layer that has 24 MiB
 * of objects then marked all of them every 16 MiB of packets, in steps of up to 20 ms, with four threads: the ACKs that waited
 * made the peer probe for a lost tail (RFC 8985 7), and a bulk transfer took a third longer.
 */
const HEAP_GROWING_PERCENT = 300;

/** Sets what the process of a layer asks of V8; before its code is busy. */
export function tuneV8(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTECODE_MAX}`);
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
}
