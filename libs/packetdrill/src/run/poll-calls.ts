import type { Expr, SyscallSpec } from '../lang/ast.ts';
import { printExpr } from '../lang/print.ts';
import type { SysEpollEvent } from '../sys.ts';
import type { SysResult } from '../target.ts';
import { arg, fdArg, intArg, type Call, type CallContext } from './call.ts';
import { field, items, number, ValueError } from './values.ts';

/** Calls that wait for readiness. */
export function pollCall(cx: CallContext, spec: SyscallSpec): Call | undefined {
  const { args } = spec;
  const { sys } = cx.target;
  switch (spec.name) {
    case 'poll':
      return poll(cx, args);
    case 'epoll_create':
    case 'epoll_create1':
      return {
        ticket: sys.epollCreate(spec.name === 'epoll_create1' ? intArg(args, 0) : 0),
        gives: 'epoll',
      };
    case 'epoll_ctl': {
      const event = args[3] === undefined || args[3].kind === 'ellipsis' ? { events: 0, data: 0 } : eventOf(args[3]);
      return {
        ticket: sys.epollCtl(fdArg(cx, args), intArg(args, 1), fdArg(cx, args, 2), event),
      };
    }
    case 'epoll_wait':
      return epollWait(cx, args);
    default:
      return undefined;
  }
}

function poll(cx: CallContext, args: readonly Expr[]): Call {
  const wanted = items(arg(args, 0)).map((e) => {
    const fd = field(e, 'fd');
    const events = field(e, 'events');
    if (fd === undefined || events === undefined) throw new ValueError(e, 'expected {fd=…, events=…}');
    const script = number(fd);
    return {
      fd: script < 0 ? script : cx.fds.live(script),
      events: number(events),
      revents: field(e, 'revents'),
    };
  });
  return {
    ticket: cx.target.sys.poll(
      wanted.map(({ fd, events }) => ({ fd, events })),
      intArg(args, 2),
    ),
    check: (r) => {
      for (const [i, { revents }] of wanted.entries()) {
        if (revents === undefined || revents.kind === 'ellipsis') continue;
        const have = r.revents?.[i] ?? 0;
        if (number(revents) !== have)
          return `revents: expected ${printExpr(revents)}, and they are 0x${have.toString(16)}`;
      }
      return undefined;
    },
  };
}

/** `{events=EPOLLIN, fd=4}`; `ptr`, `u32` and `u64` are other names of the same 64 bits. */
function eventOf(e: Expr): SysEpollEvent {
  const events = field(e, 'events');
  const data = field(e, 'fd') ?? field(e, 'ptr') ?? field(e, 'u32') ?? field(e, 'u64');
  if (events === undefined) throw new ValueError(e, 'expected {events=…, fd=…}');
  return { events: number(events), data: data === undefined || data.kind === 'ellipsis' ? 0 : number(data) };
}

function epollWait(cx: CallContext, args: readonly Expr[]): Call {
  const wanted = arg(args, 1);
  return {
    ticket: cx.target.sys.epollWait(fdArg(cx, args), intArg(args, 2), intArg(args, 3)),
    check: (r) => readyDifference(wanted, r),
  };
}

function readyDifference(wanted: Expr, r: SysResult): string | undefined {
  if (wanted.kind === 'ellipsis' || r.ret <= 0) return undefined;
  const list = wanted.kind === 'struct' ? [wanted] : items(wanted);
  for (const [i, e] of list.entries()) {
    const have = r.ready?.[i];
    if (have === undefined) continue;
    const want = eventOf(e);
    if (want.events !== have.events || want.data !== have.data)
      return `event ${i}: expected ${printExpr(e)}, and it is {events=0x${have.events.toString(16)}, fd=${have.data}}`;
  }
  return undefined;
}
