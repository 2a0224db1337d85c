import { ERRNO } from './errno.ts';

/**
 * net/ipv4/icmp.c:icmp_err_convert: what each code of Destination Unreachable means to a socket, and whether it is fatal.
 */
export const ICMP_ERR_CONVERT: readonly (readonly [errno: number, fatal: boolean])[] = [
  [ERRNO.ENETUNREACH, false],
  [ERRNO.EHOSTUNREACH, false],
  [ERRNO.ENOPROTOOPT, true],
  [ERRNO.ECONNREFUSED, true],
  [ERRNO.EMSGSIZE, false],
  [ERRNO.EOPNOTSUPP, false],
  [ERRNO.ENETUNREACH, true],
  [ERRNO.EHOSTDOWN, true],
  [ERRNO.ENONET, true],
  [ERRNO.ENETUNREACH, true],
  [ERRNO.EHOSTUNREACH, true],
  [ERRNO.ENETUNREACH, false],
  [ERRNO.EHOSTUNREACH, false],
  [ERRNO.EHOSTUNREACH, true],
  [ERRNO.EHOSTUNREACH, true],
  [ERRNO.EHOSTUNREACH, true],
];
