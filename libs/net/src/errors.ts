import { ERRNO, errnoName, errnoText } from '@skbus/skb';

/** A failed system call, with the fields Node's own network errors have; `errno` is negative as there. */
export interface SysError extends Error {
  errno: number;
  code: string;
  syscall: string;
  address?: string;
  port?: number;
}

/** `connect ECONNREFUSED 10.77.0.1:80`. `why`: what the door said about itself, where it is the door that failed. */
export function sysError(errno: number, syscall: string, address?: string, port?: number, why?: string): SysError {
  const code = errnoName(errno);
  const where = address === undefined ? '' : ` ${address}${port === undefined ? '' : `:${port}`}`;
  const e = new Error(`${syscall} ${code}${where}${why ? `: ${why}` : ''}`) as SysError;
  e.errno = -errno;
  e.code = code;
  e.syscall = syscall;
  if (address !== undefined) e.address = address;
  if (port !== undefined) e.port = port;
  return e;
}

/** Argument errors with Node's code. */
export function argError(message: string, code = 'ERR_INVALID_ARG_VALUE'): TypeError {
  return Object.assign(new TypeError(message), { code });
}

export { ERRNO, errnoName, errnoText };
