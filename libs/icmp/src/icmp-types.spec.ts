import { expect, test } from '@jest/globals';
import { ERRNO, LayerEnv, SeededRng } from '@skbus/skb';
import { ICMP_SYSCTL } from './icmp.ts';
import { IcmpRatelimit } from './icmp-ratelimit.ts';
import { icmpErrno, isIcmpError, unreachCode } from './icmp-types.ts';

test.each([
  [3, 0, ERRNO.ENETUNREACH],
  [3, 1, ERRNO.EHOSTUNREACH],
  [3, 2, ERRNO.ENOPROTOOPT],
  [3, 3, ERRNO.ECONNREFUSED],
  [3, 4, ERRNO.EMSGSIZE],
  [3, 13, ERRNO.EHOSTUNREACH],
  [3, 99, ERRNO.EHOSTUNREACH],
  [11, 0, ERRNO.EHOSTUNREACH],
  [12, 0, ERRNO.EPROTO],
])('type %i code %i means errno %i', (type, code, errno) => {
  expect(icmpErrno(type, code)).toBe(errno);
});

test('a routing error becomes the code that means it', () => {
  expect([ERRNO.ENETUNREACH, ERRNO.EHOSTUNREACH, ERRNO.EACCES].map(unreachCode)).toEqual([0, 1, 13]);
});

test('queries may be answered with errors, errors and the unknown may not', () => {
  expect([0, 8, 13, 14, 17, 18].filter(isIcmpError)).toEqual([]);
  expect([3, 4, 5, 11, 12, 19, 255].every(isIcmpError)).toBe(true);
});

test('what is limited: the types of icmp_ratemask, never path MTU discovery', () => {
  const env = new LayerEnv({ layer: 'ip', rng: new SeededRng(1), out: { pass: () => {} } });
  const limit = new IcmpRatelimit(env, ICMP_SYSCTL);
  expect([limit.exempt(0, 0), limit.exempt(3, 4), limit.exempt(14, 0)]).toEqual([true, true, true]);
  expect([limit.exempt(3, 3), limit.exempt(11, 0), limit.exempt(12, 0)]).toEqual([false, false, false]);
});

test('a host that was quiet gets six at once; credit never grows beyond that', () => {
  const env = new LayerEnv({ layer: 'ip', rng: new SeededRng(1), out: { pass: () => {} } });
  const limit = new IcmpRatelimit(env, ICMP_SYSCTL);
  const burst = (now: number): number => {
    let n = 0;
    while (limit.peerAllow(1, now)) n++;
    return n;
  };
  expect(burst(0)).toBe(6);
  expect(burst(999)).toBe(0);
  expect(burst(1000)).toBe(1);
  expect(burst(3_600_000)).toBe(6);
});
