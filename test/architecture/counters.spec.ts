import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { MIB_GROUPS } from '@skbus/skb';
import { filesBelow, root } from '../support/projects.ts';

/** TCP's counters of the kernel that stay 0 here, and why. All others are counted somewhere. */
const NEVER_COUNTED: Readonly<Record<string, string>> = {
  // what a kernel has and we have not
  LockDroppedIcmps: 'no lock is held by a program while an ICMP error comes in',
  DelayedACKLocked: 'no lock is held by a program while a timer runs',
  TCPBacklogCoalesce: 'segments never wait for a lock, so there is no backlog',
  TCPBacklogDrop: 'as before',
  BusyPollRxPackets: 'no program polls a device queue',
  PFMemallocDrop: 'no memory is reserved for swapping',
  TCPAbortFailed: 'a reset is always built: nothing here fails for want of memory',
  TCPMemoryPressures: 'tcp_mem is the heap of the process, and that has no pressure state',
  TCPMemoryPressuresChrono: 'as before',
  TCPWqueueTooBig: 'records of what was sent hold no data, so cutting them costs no send buffer',
  TCPRcvCoalesce: 'bytes go up as they come: there is no receive queue of skbs to join them in',
  TCPRetransFail: 'handing a segment down cannot fail',
  TCPSpuriousRtxHostQueues: 'known is how many bytes lie in the layers below, not whether a given skb does',
  TcpTimeoutRehash: 'there is no flow label and no hash over several paths to change',
  TcpDuplicateDataRehash: 'as before',
  TCPPLBRehash: 'as before',
  TCPMinTTLDrop: 'IP_MINTTL is refused',
  ArpFilter: 'arp_filter needs more than one link in a network',
  // features that are off, or refused
  TCPMD5NotFound: 'there are no MD5 keys; a signed segment counts as TCPMD5Unexpected',
  TCPMD5Failure: 'as before',
  TCPAORequired: 'there are no AO keys; a signed segment counts as TCPAOKeyNotFound',
  TCPAOBad: 'as before',
  TCPAOGood: 'as before',
  TCPAODroppedIcmps: 'as before',
  TCPMigrateReqSuccess: 'tcp_migrate_req: requests stay with their listener',
  TCPMigrateReqFailure: 'as before',
  // later than 6.12
  BeyondWindow: 'data that begins inside the window and ends beyond it is refused; 6.12 takes it',
  TSEcrRejected: 'the echo is checked in SYN-RECEIVED',
  PAWSOldAck: 'an old pure ACK that PAWS refuses is dropped in silence; 6.12 answers it',
};

test('every counter of TCP is counted somewhere, or it is said why not', () => {
  const engines = ['libs', 'apps']
    .flatMap((d) => filesBelow(d, /\.ts$/))
    .filter((f) => !/\.spec\.ts$|\/testing\//.test(f));
  const all = engines.map((f) => readFileSync(join(root, f), 'utf8')).join('\n');
  const silent = (group: 'Tcp' | 'TcpExt'): string[] =>
    MIB_GROUPS[group].filter((name) => !all.includes(`'${group}${name}'`)).toSorted();
  expect(silent('Tcp')).toEqual([]);
  expect(silent('TcpExt')).toEqual(Object.keys(NEVER_COUNTED).toSorted());
});
