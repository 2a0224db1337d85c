import { ERRNO, NEVER, SOCK_STREAM, type SkId, TCP_LISTEN } from '@skbus/skb';
import { restoreStream } from './adoption.ts';
import { DgramSock } from './dgram-sock.ts';
import { setsockopt } from './options.ts';
import type { Process } from './process.ts';
import type { SockHost } from './sock.ts';
import { StreamSock } from './stream-sock.ts';
import { type FileNews, type SessionFile, type SysReply, fail, ok } from './types.ts';
import { type Park, nothingDone, WaitQueue } from './wait.ts';

/** What resuming needs of the layer. */
export interface ResumeHost extends SockHost {
  readonly congestion: readonly string[];
  get(id: SkId): StreamSock | DgramSock | undefined;
  allocId(): SkId;
}

/**
 * A program claims the sockets that it had with a socket layer that died. Each is asked for at its transport, and is then as the
 * program knows it, or fails as after the death of its transport.
 */
export function resume(host: ResumeHost, p: Process, files: readonly SessionFile[], last: boolean): SysReply | Park {
  const { session } = p;
  if (session === undefined) return fail(ERRNO.EPERM);
  const waiting = new WaitQueue();
  let open = 0;
  const socks = files.map((file) => {
    const s = makeSock(host, p, file);
    if (s.lost) return s;
    open++;
    s.beginAdoption(file, { owner: session.owner, rcvRead: file.rcvTo }, (at) => {
      open--;
      waiting.wake(at);
    });
    return s;
  });
  const answer = (): SysReply => {
    if (last) for (const s of p.sockets()) askChildren(s as StreamSock | DgramSock, session.owner);
    const news = socks.map((s, i): FileNews => {
      const news: FileNews = { sk: files[i]!.sk, sndGot: s.sndGot };
      if (s.lost || s.freed) news.gone = true;
      else if (s.id !== news.sk) news.newSk = s.id;
      return news;
    });
    return { ...ok(), files: news };
  };
  if (open === 0) return answer();
  return {
    on: [waiting],
    timeoutMs: NEVER,
    stop: nothingDone,
    attempt: () => (open === 0 ? answer() : undefined),
  };
}

/** Bytes that the program was answered for and TCP did not get. */
export function refill(host: ResumeHost, p: Process, sk: SkId, offset: number, data: readonly Uint8Array[]): SysReply {
  const s = host.get(sk);
  if (!(s instanceof StreamSock) || p.session === undefined || s.session !== p.session) return fail(ERRNO.EBADF);
  let at = offset;
  for (const d of data) {
    s.snd.refill(at, d);
    at += d.length;
  }
  s.touchView(false);
  return ok();
}

/** Connections that the dead socket layer had, and the program has not heard of, go back to where accept() finds them. */
function askChildren(s: StreamSock | DgramSock, owner: number): void {
  if (s.proto !== 'tcp' || s.state !== TCP_LISTEN || s.adoption !== undefined) return;
  s.beginAdoption(undefined, { owner, rcvRead: 0, children: true }, () => {});
}

function makeSock(host: ResumeHost, p: Process, file: SessionFile): StreamSock | DgramSock {
  const taken = file.sk === 0 || host.get(file.sk) !== undefined;
  const id = taken ? host.allocId() : file.sk;
  const stream = file.type === SOCK_STREAM;
  const s = stream ? new StreamSock(host, id, id % 2 === 1) : new DgramSock(host, id);
  for (const o of file.options) setsockopt(s, o.level, o.name, o.value, host.congestion);
  s.nonblock = file.nonblock;
  s.session = p.session;
  host.insert(s);
  if (file.fd >= 0 && !p.installAt(file.fd, s)) s.lost = true;
  if (s instanceof StreamSock) restoreStream(s, file);
  // Somebody has it already: not the session that this one says to be.
  if (taken || s.lost) s.die(ERRNO.ECONNRESET);
  return s;
}
