import { SOL_TCP, TCP_INQ } from '@skbus/skb';
import type { SysResult } from '../target.ts';

/** Control messages of recvmsg(): what TCP_INQ asked for (TCP_CM_INQ is the same number). */
export const inqControl = (inq: number | undefined): Partial<SysResult> =>
  inq === undefined
    ? {}
    : { control: [{ level: SOL_TCP, type: TCP_INQ, data: new Uint8Array(Int32Array.of(inq).buffer) }] };
