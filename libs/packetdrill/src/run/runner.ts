import { TCP_SYN } from '@skbus/wire';
import type { Event, Packet, PacketSpec, Place, Script, SyscallSpec, Us } from '../lang/ast.ts';
import { ScriptError } from '../lang/error.ts';
import { printAction, printPacket, printTime } from '../lang/print.ts';
import type { SysResult, Target } from '../target.ts';
import { encodePacket } from '../wire/codec.ts';
import type { LivePacket } from '../wire/live.ts';
import type { Call, CallContext } from './call.ts';
import { runCode } from './code.ts';
import { configOf, type RunConfig } from './config.ts';
import { Conns, type Conn } from './conn.ts';
import { EarlyAcks } from './early-ack.ts';
import { Fds } from './fds.ts';
import { History } from './history.ts';
import { BadPacket, Inbox, type Arrived } from './inbox.ts';
import { differences } from './match.ts';
import { Nstat } from './nstat.ts';
import { runCommand } from './shell.ts';
import { makeCall, resultDifference } from './syscalls.ts';
import { compareTimestamps, sameTimestamp } from './timestamps.ts';
import { learnIsn, Translator } from './translate.ts';
import { varyInbound, varyOutbound, type Timestamps } from './ts-variation.ts';
import { number, ValueError } from './values.ts';

export interface RunOptions {
  /** Packets that nobody expected, left when the script has ended, are a failure. */
  strict?: boolean;
  /** The stack's initial sequence number, if the target can be told. */
  iss?: number | undefined;
  /** What is added to the sequence numbers that the script gives the remote host. */
  remoteShift?: number | undefined;
  /** Adds timestamps to a script without, or takes them away (see timestampsOf). */
  timestamps?: Timestamps | undefined;
  /** Sentences about what was ignored or printed. */
  note?: (text: string) => void;
}

/** How long a real machine may take for a call that does not block, or for a packet that has no time. */
const REAL_CALL_US = 2_000_000;
const ANY_TIME_US = 60_000_000;
const HISTORY_LINES = 12;

interface Pending {
  event: Event;
  spec: SyscallSpec;
  call: Call;
  endUs: Us;
}

/** Runs one script against a target. Throws a ScriptError when something does not come out as the script says. */
export async function runScript(script: Script, target: Target, opts: RunOptions = {}): Promise<void> {
  const config = configOf(script, target.addresses?.());
  for (const n of config.notes) opts.note?.(`${script.file}: ${n}`);
  const { localIp, remoteIp, gatewayIp, prefixLen, mtu } = config;
  const iss = opts.iss === undefined || target.canPinIss !== true ? {} : { iss: opts.iss };
  await target.open({ localIp, remoteIp, gatewayIp, prefixLen, mtu, ...iss });
  try {
    await new Run(script, config, target, opts).run();
  } finally {
    await target.close();
  }
}

class Run {
  private readonly script: Script;
  private readonly target: Target;
  private readonly config: RunConfig;
  private readonly opts: RunOptions;
  private readonly conns: Conns;
  private readonly cx: CallContext;
  private readonly inbox: Inbox;
  private readonly translator: Translator;
  private readonly earlyAcks: EarlyAcks;
  private readonly history = new History();
  private readonly nstat = new Nstat();
  private readonly variables = new Map<string, unknown>();
  /** The script's, and what the target may add. */
  private readonly toleranceUs: Us;
  private pending: Pending[] = [];
  private startUs: Us = 0;
  private previous: { dueUs: Us; event: Event } | undefined = undefined;

  constructor(script: Script, config: RunConfig, target: Target, opts: RunOptions) {
    this.script = script;
    this.target = target;
    this.config = config;
    this.opts = opts;
    this.toleranceUs = config.toleranceUs + (target.latencyUs ?? 0);
    this.conns = new Conns(config);
    this.cx = { target, conns: this.conns, fds: new Fds(), config };
    this.inbox = new Inbox(target, this.conns, config.mtu);
    this.translator = new Translator(this.conns, opts.remoteShift ?? 0, opts.timestamps === 'off');
    this.earlyAcks = new EarlyAcks(config.toleranceUs);
  }

  async run(): Promise<void> {
    const { init, cleanup, events } = this.script;
    const top = { line: 1, column: 1 };
    for (const text of this.config.initScripts) await this.command(text, top);
    if (init !== undefined) await this.command(init.text, init);
    if (this.opts.timestamps === 'off') await this.target.sysctl('net.ipv4.tcp_timestamps', '0');
    this.startUs = this.target.now();
    try {
      for (const e of events) await this.event(e);
      await this.finish();
    } finally {
      if (cleanup !== undefined) await this.command(cleanup.text, cleanup);
    }
  }

  /** Microseconds since the script began. */
  private get nowUs(): Us {
    return this.target.now() - this.startUs;
  }

  private async event(e: Event): Promise<void> {
    const dueUs = this.due(e);
    const gapUs = dueUs - (this.previous?.dueUs ?? 0);
    this.previous = { dueUs, event: e };
    try {
      await this.collect(false);
      await this.act(e, dueUs, gapUs);
    } catch (error) {
      if (error instanceof ScriptError) throw error;
      if (error instanceof ValueError) this.fail(error.at, error.message);
      if (error instanceof BadPacket)
        this.fail(e, `the stack sent ${error.message}`, [`at ${printTime(error.atUs - this.startUs)}`]);
      if (error instanceof Error && error.constructor === Error) this.fail(e, error.message);
      throw error;
    }
  }

  /** When an event is due: packets that come in one after the other keep their distance, all else counts from now. */
  private due({ when, action }: Event): Us {
    if (when.kind === 'any') return this.nowUs;
    if (when.kind === 'absolute') return when.us;
    const isIn = (a: Event['action'] | undefined): boolean => a?.kind === 'packet' && a.direction === 'in';
    const base = isIn(action) && isIn(this.previous?.event.action) ? this.previous!.dueUs : this.nowUs;
    return base + when.us;
  }

  private async act(e: Event, dueUs: Us, gapUs: Us): Promise<void> {
    const { action } = e;
    if (action.kind === 'packet' && action.direction === 'out') {
      await this.expect(e, action, dueUs, gapUs);
      return;
    }
    await this.target.sleepUntil(this.startUs + dueUs);
    switch (action.kind) {
      case 'packet':
        this.inject(e, action);
        return;
      case 'syscall':
        await this.syscall(e, action, dueUs);
        return;
      case 'command':
        this.history.add(this.nowUs, `\`${action.text}\``);
        await this.command(action.text, e);
        return;
      case 'code':
        this.history.add(this.nowUs, '%{ … }%');
        await this.code(e, action.text);
        return;
      default:
        action satisfies never;
    }
  }

  private inject(e: Event, { packet }: PacketSpec): void {
    const conn = this.conns.forInbound(packet.proto === 'icmp' ? undefined : packet.ports);
    const live = this.translator.toLive(conn, packet);
    if (typeof live === 'string') this.fail(e, live);
    const { timestamps } = this.opts;
    if (live.proto === 'tcp' && timestamps !== undefined)
      live.options = varyInbound(timestamps, conn, live.flags, live.options, this.nowUs);
    if (live.proto === 'tcp' && (live.flags & TCP_SYN) !== 0) conn.awaitsSyn ||= conn.state === 'connected';
    this.history.add(this.nowUs, `< ${printPacket(packet)}`);
    this.target.inject(encodePacket(live));
  }

  private async expect(e: Event, spec: PacketSpec, dueUs: Us, gapUs: Us): Promise<void> {
    const { packet } = spec;
    const conn = this.conns.forOutbound(packet.proto === 'icmp' ? undefined : packet.ports);
    const toleranceUs = Math.max(this.toleranceUs, Math.round(gapUs / 8));
    const any = e.when.kind === 'any';
    const range = e.when.kind === 'any' || e.when.endUs === undefined ? 0 : e.when.endUs - e.when.us;
    const lastUs = any ? this.nowUs + ANY_TIME_US : dueUs + range + toleranceUs;
    const wanted = packet.proto === 'tcp' ? packet.len : 0;
    const got = conn === undefined ? undefined : await this.nextFor(conn, packet, wanted, this.startUs + lastUs);
    const due = any ? 'at any time' : `at ${printTime(dueUs)}${range > 0 ? ` to ${printTime(dueUs + range)}` : ''}`;
    const line = `expected ${due}: > ${printPacket(packet)}`;
    if (conn === undefined) this.fail(e, 'a packet is expected, and there is no connection yet that it could be from');
    if (got === undefined)
      this.nonFatal('packet', e, 'the stack sent no packet', [line, `waited until ${printTime(this.nowUs)}`]);
    else this.compare(e, packet, got, { line, toleranceUs, dueUs, range, any });
  }

  /** The next packet, ACKs passed over that the script leaves to the one it expects. */
  private async nextFor(
    conn: Conn,
    expected: PacketSpec['packet'],
    wanted: number,
    deadline: Us,
  ): Promise<Arrived | undefined> {
    for (;;) {
      const got = await this.inbox.nextFor(conn, wanted, deadline);
      if (got === undefined) return undefined;
      const actual = this.translator.toScript(conn, got.packet);
      const same = sameTimestamp(expected, actual);
      const differs = (): boolean => this.differences(conn, expected, same, got.packet).length > 0;
      const early = this.earlyAcks.is(expected, actual, conn, got.packet, differs);
      this.earlyAcks.note(conn, got.packet);
      if (!early) return got;
      this.history.add(got.atUs - this.startUs, `> ${printPacket(actual)}`);
    }
  }

  private compare(
    e: Event,
    expected: PacketSpec['packet'],
    got: Arrived,
    o: { line: string; toleranceUs: Us; dueUs: Us; range: Us; any: boolean },
  ): void {
    const { conn, packet: live } = got;
    const atUs = got.atUs - this.startUs;
    if (expected.proto === 'tcp' && live.proto === 'tcp') learnIsn(conn, expected, live);
    const actual = this.translator.toScript(conn, live, 'ports' in expected && expected.ports !== undefined);
    const found =
      expected.proto === 'tcp' && actual.proto === 'tcp' && live.proto === 'tcp'
        ? compareTimestamps(conn, expected, actual, live, { atUs, tickUs: this.config.tsTickUs, ...o })
        : [];
    found.unshift(...this.differences(conn, expected, actual, live));
    const shown = [o.line, `actual   at ${printTime(atUs)}: > ${printPacket(actual)}`];
    if (found.length > 0) this.nonFatal('packet', e, `the packet differs: ${found.join('; ')}`, shown);
    const early = o.dueUs - o.toleranceUs - atUs;
    const late = atUs - (o.dueUs + o.range + o.toleranceUs);
    const allowed = `${printTime(o.toleranceUs)} s are allowed`;
    if (!o.any && early > 0)
      this.nonFatal('packet', e, `the packet came ${printTime(o.dueUs - atUs)} s too early (${allowed})`, shown);
    if (!o.any && late > 0)
      this.nonFatal('packet', e, `the packet came ${printTime(late + o.toleranceUs)} s too late (${allowed})`, shown);
    this.history.add(atUs, `> ${printPacket(actual)}`);
  }

  private differences(conn: Conn, expected: Packet, actual: Packet, live: LivePacket): string[] {
    const { timestamps } = this.opts;
    if (timestamps === undefined || expected.proto !== 'tcp' || actual.proto !== 'tcp' || live.proto !== 'tcp')
      return differences(expected, actual, live.ip);
    const ts = live.options.find((o) => o.kind === 'ts');
    if (ts !== undefined) conn.ts.last = ts.val;
    const v = varyOutbound(timestamps, conn, expected, actual);
    return [...differences(v.expected, v.actual, live.ip), ...(v.wrong === undefined ? [] : [v.wrong])];
  }

  private async syscall(e: Event, spec: SyscallSpec, dueUs: Us): Promise<void> {
    const call = makeCall(this.cx, spec);
    if (e.endUs !== undefined) {
      const base = e.when.kind === 'relative' ? dueUs - e.when.us : 0;
      this.history.add(this.nowUs, `${printAction(spec)} begins`);
      this.pending.push({ event: e, spec, call, endUs: base + e.endUs });
      return;
    }
    const { virtualTime } = this.target;
    await this.target.wait(call.ticket, this.target.now() + (virtualTime ? 0 : REAL_CALL_US));
    const r = call.ticket.result;
    if (r === undefined) this.fail(e, `${spec.name}() blocks; write begin...end for a call that shall`);
    this.returned(e, spec, call, r);
  }

  /** A call came back: does it give what the script says, and what does it change? */
  private returned(e: Event, spec: SyscallSpec, call: Call, r: SysResult): void {
    const problem = resultDifference(spec, call, r);
    this.history.add(this.nowUs, printAction(spec));
    if (problem !== undefined) this.nonFatal('syscall', e, problem);
    if (r.ret < 0 || call.gives === undefined || spec.result.kind === 'ellipsis') return;
    const script = number(spec.result);
    this.cx.fds.set(script, call.gives === 'file' ? { kind: 'file' } : { kind: call.gives, live: r.ret });
    if (spec.name === 'socket') this.conns.open(script);
    else if (call.gives === 'socket') this.conns.accepted(script, r.addr?.port);
  }

  /** Blocking calls that have come back, or should have. `all`: waits for the rest. */
  private async collect(all: boolean): Promise<void> {
    const still: Pending[] = [];
    for (const p of this.pending) {
      const lastUs = p.endUs + this.toleranceUs;
      if (all) await this.target.wait(p.call.ticket, this.startUs + lastUs);
      const { result, doneUs } = p.call.ticket;
      if (result === undefined) {
        if (this.nowUs >= lastUs)
          this.fail(p.event, `${p.spec.name}() should have come back at ${printTime(p.endUs)} and still blocks`);
        still.push(p);
        continue;
      }
      const atUs = doneUs - this.startUs;
      this.returned(p.event, p.spec, p.call, result);
      if (Math.abs(atUs - p.endUs) > this.toleranceUs)
        this.fail(
          p.event,
          `${p.spec.name}() should have come back at ${printTime(p.endUs)}, and came back at ${printTime(atUs)}`,
        );
    }
    this.pending = still;
  }

  private async finish(): Promise<void> {
    const last = this.previous?.event ?? { line: 1, column: 1 };
    await this.collect(true);
    await this.target.sleepUntil(this.target.now());
    if (this.opts.strict !== true) return;
    const left: Arrived[] = [...this.inbox.skipped];
    for (
      let a = await this.inbox.next(this.target.now());
      a !== undefined;
      a = await this.inbox.next(this.target.now())
    )
      left.push(a);
    if (left.length === 0) return;
    this.fail(last, `${left.length === 1 ? 'a packet was' : `${left.length} packets were`} left that nobody expected`, [
      ...left.map((a) => this.show(a.conn, a)),
    ]);
  }

  private show(conn: Conn, a: Arrived): string {
    return `actual   at ${printTime(a.atUs - this.startUs)}: > ${printPacket(this.translator.toScript(conn, a.packet, true))}`;
  }

  private async command(text: string, at: Place): Promise<void> {
    try {
      await runCommand(text, this.target, this.nstat, (n) => this.opts.note?.(`${this.script.file}:${at.line}: ${n}`));
    } catch (error) {
      if (error instanceof Error && error.constructor === Error) this.fail(at, error.message);
      throw error;
    }
  }

  private async code(e: Event, text: string): Promise<void> {
    const fd = this.conns.current?.scriptFd;
    const info = fd === undefined ? undefined : this.cx.fds.live(fd);
    const problem = await runCode(text, {
      target: this.target,
      fd: info,
      variables: this.variables,
      print: (line) => this.opts.note?.(`${this.script.file}:${e.line}: ${line}`),
    });
    if (problem !== undefined)
      this.fail({ line: e.line + problem.line, column: problem.line === 0 ? e.column : 1 }, problem.message);
  }

  /** `--non_fatal=packet`: it is said, and the script goes on. */
  private nonFatal(kind: 'packet' | 'syscall', at: Place, what: string, details: readonly string[] = []): void {
    if (!this.config.nonFatal.has(kind)) this.fail(at, what, details);
    this.opts.note?.(`${this.script.file}:${at.line}: ${what}`);
  }

  private fail(at: Place, what: string, details: readonly string[] = []): never {
    const before = this.history.last(HISTORY_LINES);
    const lines = [what, ...details.map((d) => `  ${d}`)];
    if (before.length > 0) lines.push('  before that:', ...before);
    throw new ScriptError(this.script.file, at, lines.join('\n'));
  }
}
