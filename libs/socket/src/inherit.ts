import type { StreamSock } from './stream-sock.ts';

/** A child starts with its listener's options (inet_csk_clone_lock); O_NONBLOCK is not one of them. */
export function inherit(child: StreamSock, parent: StreamSock): void {
  Object.assign(child.options, parent.options);
  child.snd.lowat = parent.snd.lowat;
  if (parent.snd.bufLocked) child.sndbuf = parent.sndbuf;
  child.rcvbuf = parent.rcvbuf;
  child.linger = { ...parent.linger };
  child.oobInline = parent.oobInline;
  child.wantsInq = parent.wantsInq;
  child.rcvLowat = parent.rcvLowat;
  child.rcvTimeoMs = parent.rcvTimeoMs;
  child.sndTimeoMs = parent.sndTimeoMs;
  child.ss = 'SS_CONNECTED';
}
