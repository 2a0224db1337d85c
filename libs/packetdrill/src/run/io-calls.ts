import type { Expr, SyscallSpec } from '../lang/ast.ts';
import type { SysAddr, SysResult } from '../target.ts';
import { cmsgDifference } from './cmsg.ts';
import { arg, fdArg, intArg, type Call, type CallContext } from './call.ts';
import { address, field, fields, items, number, ValueError } from './values.ts';

/** Calls that read and write. */
export function ioCall(cx: CallContext, spec: SyscallSpec): Call | undefined {
  const { args } = spec;
  switch (spec.name) {
    case 'read':
    case 'recv':
    case 'recvfrom':
      return receive(cx, args, number(arg(args, 2)), spec.name === 'read' ? 0 : intArg(args, 3, 0), arg(args, 1));
    case 'readv':
      return receive(cx, args, iovLength(arg(args, 1)), 0);
    case 'recvmsg':
      return recvmsg(cx, args);
    case 'write':
    case 'send':
    case 'sendto':
      return send(
        cx,
        args,
        bufferOf(arg(args, 1), number(arg(args, 2))),
        spec.name === 'write' ? 0 : intArg(args, 3, 0),
      );
    case 'writev':
      return send(cx, args, iovBytes(arg(args, 1)), 0);
    case 'sendmsg': {
      const iov = field(arg(args, 1), 'msg_iov');
      return send(cx, args, iov === undefined ? new Uint8Array(0) : iovBytes(iov), intArg(args, 2, 0));
    }
    case 'sendfile':
      return sendfile(cx, args);
    case 'splice':
    case 'pipe':
    case 'vmsplice':
      throw new Error(`${spec.name}() is not supported by any target`);
    default:
      return undefined;
  }
}

function receive(cx: CallContext, args: readonly Expr[], count: number, flags: number, buffer?: Expr): Call {
  return {
    ticket: cx.target.sys.recv(fdArg(cx, args), count, flags),
    check: (r) => contentDifference(buffer, r),
  };
}

/** Only a buffer that is written out is compared. */
function contentDifference(buffer: Expr | undefined, r: SysResult): string | undefined {
  if (buffer?.kind !== 'string' || r.data === undefined) return undefined;
  const got = String.fromCharCode(...r.data);
  return got === buffer.value.slice(0, got.length) ? undefined : `the data: expected "${buffer.value}", got "${got}"`;
}

function recvmsg(cx: CallContext, args: readonly Expr[]): Call {
  const msg = arg(args, 1);
  const flags = intArg(args, 2, 0);
  const iov = field(msg, 'msg_iov');
  const wantFlags = field(msg, 'msg_flags');
  const control = field(msg, 'msg_control');
  const wantsControl = control !== undefined && control.kind !== 'ellipsis' && items(control).length > 0;
  const count = iov === undefined ? 0 : iovLength(iov);
  return {
    ticket: cx.target.sys.recvmsg(fdArg(cx, args), count, flags),
    check: (r) => {
      if (r.ret < 0) return undefined;
      if (wantFlags !== undefined && wantFlags.kind !== 'ellipsis' && r.msgFlags !== undefined) {
        const want = number(wantFlags);
        if (want !== r.msgFlags) return `msg_flags: expected ${want}, and they are ${r.msgFlags}`;
      }
      return wantsControl ? cmsgDifference(items(control), r.control ?? []) : undefined;
    },
  };
}

function send(cx: CallContext, args: readonly Expr[], data: Uint8Array, flags: number): Call {
  return { ticket: cx.target.sys.send(fdArg(cx, args), data, flags, destination(cx, args)) };
}

/** sendto's address; `...` with a length stands for the remote host. */
function destination(cx: CallContext, args: readonly Expr[]): SysAddr | undefined {
  const to = args[4];
  if (to === undefined || to.kind === 'int' || to.kind === 'word') return undefined;
  const c = cx.conns.ofFd(number(arg(args, 0)));
  const at = address(to) ?? { ip: cx.config.remoteIp, port: cx.config.connectPort };
  if (c !== undefined && c.state === 'new') {
    c.state = 'connecting';
    c.remotePort = at.port;
    if (c.localPort !== 0) c.state = 'connected';
  }
  return at;
}

/** sendfile(out, in, [offset], count): the file holds zeros. */
function sendfile(cx: CallContext, args: readonly Expr[]): Call {
  const file = arg(args, 1);
  if (cx.fds.get(number(file))?.kind !== 'file') throw new ValueError(file, 'sendfile() reads from what open() gave');
  return { ticket: cx.target.sys.send(fdArg(cx, args), new Uint8Array(number(arg(args, 3))), 0) };
}

/** A string, or zeros. */
function bufferOf(e: Expr, count: number): Uint8Array {
  if (e.kind === 'word' && e.name === 'NULL' && count > 0)
    throw new ValueError(e, 'a buffer at NULL cannot be passed to a target: it would have to be its memory');
  const b = new Uint8Array(Math.max(0, count));
  if (e.kind === 'string') for (let i = 0; i < Math.min(count, e.value.length); i++) b[i] = e.value.charCodeAt(i);
  return b;
}

/** `[{..., 1000}, {"abc", 3}]` */
function iovBytes(e: Expr): Uint8Array {
  const parts = items(e).map((v) => {
    const [base, len] = fields(v);
    if (base === undefined || len === undefined) throw new ValueError(v, 'expected {buffer, length}');
    return bufferOf(base.value, number(len.value));
  });
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

const iovLength = (e: Expr): number => iovBytes(e).length;
