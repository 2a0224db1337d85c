import { AF_INET, errnoName } from '@skbus/skb';
import type { Expr, SyscallSpec } from '../lang/ast.ts';
import { printExpr } from '../lang/print.ts';
import type { SysAddr, SysResult, SysTicket } from '../target.ts';
import { arg, fdArg, intArg, settled, type Call, type CallContext } from './call.ts';
import { constant } from './constants.ts';
import { ioCall } from './io-calls.ts';
import { optDifference, optLength, optOf } from './opt-value.ts';
import { pollCall } from './poll-calls.ts';
import { address, items, number, ValueError } from './values.ts';

type Handler = (cx: CallContext, args: readonly Expr[], spec: SyscallSpec) => Call;

const CALLS: Readonly<Record<string, Handler>> = {
  socket: (cx, args) => {
    const domain = arg(args, 0);
    const family = domain.kind === 'ellipsis' ? AF_INET : number(domain);
    const ticket = cx.target.sys.socket(family, intArg(args, 1), intArg(args, 2, 0));
    return { ticket, gives: 'socket' };
  },
  bind: (cx, args) => {
    const at = address(arg(args, 1)) ?? { ip: cx.config.localIp, port: cx.config.bindPort };
    const c = cx.conns.ofFd(number(arg(args, 0)));
    if (c !== undefined && c.localPort === 0) c.localPort = at.port;
    return { ticket: cx.target.sys.bind(fdArg(cx, args), at) };
  },
  listen: (cx, args) => {
    const c = cx.conns.ofFd(number(arg(args, 0)));
    if (c !== undefined) c.state = 'listening';
    return { ticket: cx.target.sys.listen(fdArg(cx, args), intArg(args, 1)) };
  },
  accept: (cx, args) => ({ ticket: cx.target.sys.accept(fdArg(cx, args), intArg(args, 3, 0)), gives: 'socket' }),
  connect: (cx, args) => {
    const to: SysAddr = address(arg(args, 1)) ?? { ip: cx.config.remoteIp, port: cx.config.connectPort };
    const c = cx.conns.ofFd(number(arg(args, 0)));
    if (c !== undefined && to.family === 0) c.state = 'new';
    else if (c !== undefined && c.state !== 'connecting') {
      c.state = 'connecting';
      c.remotePort = to.port;
      c.awaitsSyn = true;
      c.remoteScriptIsn = undefined;
    }
    return { ticket: cx.target.sys.connect(fdArg(cx, args), to) };
  },
  shutdown: (cx, args) => ({ ticket: cx.target.sys.shutdown(fdArg(cx, args), intArg(args, 1)) }),
  close: (cx, args) => {
    const script = number(arg(args, 0));
    const file = cx.fds.get(script)?.kind === 'file';
    const ticket = file ? settled({ ret: 0, errno: 0 }, cx.target.now()) : cx.target.sys.close(cx.fds.live(script));
    cx.fds.delete(script);
    cx.conns.closed(script);
    return { ticket };
  },
  open: (cx) => ({ ticket: settled({ ret: 0, errno: 0 }, cx.target.now()), gives: 'file' }),
  getsockname: (cx, args) => addressCall(cx.target.sys.getsockname(fdArg(cx, args)), args),
  getpeername: (cx, args) => addressCall(cx.target.sys.getpeername(fdArg(cx, args)), args),
  getsockopt: (cx, args) => {
    const len = optLength(args[4]);
    const ticket = cx.target.sys.getsockopt(fdArg(cx, args), intArg(args, 1), intArg(args, 2), len);
    return { ticket, check: (r) => (r.ret < 0 ? undefined : optDifference(arg(args, 3), r.opt ?? new Uint8Array(0))) };
  },
  setsockopt: (cx, args) => ({
    ticket: cx.target.sys.setsockopt(
      fdArg(cx, args),
      intArg(args, 1),
      intArg(args, 2),
      optOf(arg(args, 3), intArg(args, 4, 0)),
    ),
  }),
  fcntl: (cx, args) => ({ ticket: cx.target.sys.fcntl(fdArg(cx, args), intArg(args, 1), intArg(args, 2, 0)) }),
  ioctl: (cx, args) => {
    const value = args[2];
    const list = value?.kind === 'list' ? items(value) : [];
    const passed = value === undefined || value.kind === 'ellipsis' ? 0 : number(list[0] ?? value);
    const request = intArg(args, 1);
    return {
      ticket: cx.target.sys.ioctl(fdArg(cx, args), request, passed),
      check: (r) =>
        list[0] === undefined || r.value === undefined || list[0].kind === 'ellipsis' || r.value === passed
          ? undefined
          : `the value: expected ${passed}, and it is ${r.value}`,
    };
  },
};

const ALIASES: Readonly<Record<string, string>> = { accept4: 'accept' };

/** Makes the call; throws a sentence if the script asks for one that cannot be made. */
export function makeCall(cx: CallContext, spec: SyscallSpec): Call {
  const handler = CALLS[ALIASES[spec.name] ?? spec.name];
  if (handler !== undefined) return handler(cx, spec.args, spec);
  const call = ioCall(cx, spec) ?? pollCall(cx, spec);
  if (call === undefined) throw new Error(`the system call ${spec.name}() is not known here`);
  return call;
}

function addressCall(ticket: SysTicket, args: readonly Expr[]): Call {
  const want = address(arg(args, 1));
  return {
    ticket,
    check: ({ addr, ret }) => {
      if (want === undefined || ret < 0) return undefined;
      if (addr !== undefined && addr.ip === want.ip && addr.port === want.port) return undefined;
      return `the address: expected ${want.ip}:${want.port}, and it is ${addr === undefined ? 'unknown' : `${addr.ip}:${addr.port}`}`;
    },
  };
}

/** How what a call gave differs from what the script says. */
export function resultDifference(spec: SyscallSpec, call: Call, r: SysResult): string | undefined {
  const { result, errno } = spec;
  const got = r.ret < 0 ? `-1 ${errnoName(r.errno)}` : String(r.ret);
  if (result.kind !== 'ellipsis') {
    const want = number(result);
    const equal = call.gives !== undefined && want >= 0 ? r.ret >= 0 : want === r.ret;
    const wrongErrno = want < 0 && errno !== undefined && errnoOf(result, errno) !== r.errno;
    if (!equal || wrongErrno) {
      const expected = errno === undefined ? printExpr(result) : `${printExpr(result)} ${errno}`;
      return `${spec.name}(): expected ${expected}, and it gave ${got}`;
    }
  }
  const more = call.check?.(r);
  return more === undefined ? undefined : `${spec.name}(): ${more}`;
}

function errnoOf(at: Expr, name: string): number {
  const n = constant(name);
  if (n === undefined) throw new ValueError(at, `'${name}' is no errno that is known here`);
  return n;
}
