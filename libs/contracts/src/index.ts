import { skbus } from '../gen/skbus.js';

export { skbus };
/** The generated messages: `pb.NetRequest.encode(…)`; their types are `skbus.v1.NetRequest`. */
export const pb = skbus.v1;
export { decodeSkbList, decodeWfree, encodeSkbList, encodeWfree, type ReceivedSkbs } from './skb-codec.ts';
export { decodeCmds, decodeEvts, encodeCmds, encodeEvts } from './seam-codec.ts';
export { decodeDoorReply, decodeDoorRequest, encodeDoorReply, encodeDoorRequest } from './door-wire.ts';
export * from './net-codec.ts';
export * from './publisher-watch.ts';
export * from './subjects.ts';
export * from './layers.ts';
export * from './permissions.ts';
