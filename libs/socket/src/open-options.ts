import * as K from '@skbus/skb';
import { ERRNO } from '@skbus/skb';
import type { StreamSock } from './stream-sock.ts';
import { type OptValue, type SysReply, fail, ok } from './types.ts';

/** Options about how a connection comes to be (do_tcp_setsockopt, do_tcp_getsockopt). */

const E = ERRNO;
const TCP_TIMEOUT_INIT_S = 1;
const TCP_RTO_MAX_S = 120;
const DEFER_MAX = 255;

/** secs_to_retrans(): how many timeouts, each twice as long as the one before, take that many seconds. */
export function secsToRetrans(seconds: number): number {
  if (seconds <= 0) return 0;
  let n = 1;
  let timeout = TCP_TIMEOUT_INIT_S;
  for (let period = timeout; seconds > period && n < DEFER_MAX; n++) {
    timeout = Math.min(timeout * 2, TCP_RTO_MAX_S);
    period += timeout;
  }
  return n;
}

/** retrans_to_secs() */
export function retransToSecs(retrans: number): number {
  if (retrans <= 0) return 0;
  let timeout = TCP_TIMEOUT_INIT_S;
  let period = timeout;
  for (let n = retrans; --n > 0; period += timeout) timeout = Math.min(timeout * 2, TCP_RTO_MAX_S);
  return period;
}

/** `undefined`: not one of these. */
export function getOpenOption(s: StreamSock, name: number): SysReply | undefined {
  const value = (v: OptValue): SysReply => ({ errno: 0, result: 0, value: v });
  switch (name) {
    case K.TCP_DEFER_ACCEPT:
      return value(retransToSecs(s.options.deferAccept ?? 0));
    case K.TCP_SAVE_SYN:
      return value(s.options.saveSyn ?? 0);
    case K.TCP_FASTOPEN:
      return value(s.options.fastopen ?? 0);
    case K.TCP_FASTOPEN_NO_COOKIE:
      return value(s.options.fastopenNoCookie === true ? 1 : 0);
    case K.TCP_FASTOPEN_CONNECT:
      return value(s.opened.fastopenConnect ? 1 : 0);
    case K.TCP_FASTOPEN_KEY:
      return value(s.options.fastopenKey ?? new Uint8Array(0));
    case K.TCP_SAVED_SYN: {
      // it can be asked for once
      const { savedSyn } = s.opened;
      s.opened.savedSyn = undefined;
      return value(savedSyn ?? new Uint8Array(0));
    }
    default:
      return undefined;
  }
}

/** `undefined`: not one of these. */
export function setOpenOption(s: StreamSock, name: number, v: OptValue): SysReply | undefined {
  if (name === K.TCP_FASTOPEN_KEY) {
    if (!(v instanceof Uint8Array) || (v.length !== 16 && v.length !== 32)) return fail(E.EINVAL);
    s.setOptions({ fastopenKey: v });
    return ok();
  }
  if (typeof v !== 'number') return undefined;
  const unused = s.state === K.TCP_CLOSE || s.state === K.TCP_LISTEN;
  switch (name) {
    case K.TCP_DEFER_ACCEPT:
      s.setOptions({ deferAccept: secsToRetrans(v) });
      return ok();
    case K.TCP_FASTOPEN:
      if (v < 0 || !unused) return fail(E.EINVAL);
      s.setOptions({ fastopen: v });
      return ok();
    case K.TCP_FASTOPEN_NO_COOKIE:
      if (v < 0 || v > 1) return fail(E.EINVAL);
      if (!unused) return fail(E.EINVAL);
      s.setOptions({ fastopenNoCookie: v === 1 });
      return ok();
    case K.TCP_FASTOPEN_CONNECT:
      if (v < 0 || v > 1 || s.state !== K.TCP_CLOSE) return fail(E.EINVAL);
      s.opened.fastopenConnect = v === 1;
      return ok();
    case K.TCP_SAVE_SYN:
      if (v < 0 || v > 2) return fail(E.EINVAL);
      s.setOptions({ saveSyn: v });
      return ok();
    default:
      return undefined;
  }
}
