import { decodeCmds, encodeEvts, pb, PublisherWatch, replyFromPb, subjects } from '@skbus/contracts';
import type { Millis, RouteQuery, RouteReply, SkCmd, SkEvt } from '@skbus/skb';
import type { FaultPoint } from '@skbus/fault';
import type { InitcallResult } from './decorators.ts';
import type { LayerKit, LayerMachine } from './layer-kit.ts';

/** A transport's engine as its shell sees it: the pump's part, and the two seams besides skbs. */
export interface TransportMachine extends LayerMachine {
  onCommand(cmd: SkCmd, now: Millis): void;
  onRouteReply(reply: RouteReply, now: Millis): void;
  onRouteFlush(now: Millis): void;
  /** Another socket layer speaks than before: it may adopt what the programs behind it own (SkAdopt). */
  onGatewayRestart?(now: Millis): void;
}

/** An event list is closed at this many payload bytes, as a list of skbs is. */
const EVENT_BYTES_MAX = 512 * 1024;
/** What an event takes on the wire besides its data, generously. */
const EVENT_OVERHEAD = 128;
/** The engine asks again by its own clock; this only ends the wait for an answer that will not come. */
const ROUTE_QUERY_TIMEOUT_MS = 2000;
const REGISTER_TIMEOUT_MS = 2000;

/**
 * What the shells of TCP and UDP share: commands in, events out in one list per batch, route queries to the IP layer.
 *
 * `emit` and `ask` go into the engine's constructor, then `bind(engine)` connects the rest.
 */
export class TransportShell {
  private readonly kit: LayerKit;
  private readonly transport: 'tcp' | 'udp';
  private machine: TransportMachine | undefined;
  private events: SkEvt[] = [];
  private eventBytes = 0;
  private malformed = 0;
  private readonly gateway = new PublisherWatch();
  private readonly cmdPoint: FaultPoint;
  private readonly evtPoint: FaultPoint;
  private readonly evtSubject: string;

  constructor(kit: LayerKit, transport: 'tcp' | 'udp') {
    this.kit = kit;
    this.transport = transport;
    this.evtSubject = subjects.skEvt(kit.netns, transport);
    this.cmdPoint = kit.faults.injector.point('tx', 'sk_cmd');
    this.evtPoint = kit.faults.injector.point('rx', 'sk_evt');
    kit.onBatchEnd(() => this.publish());
  }

  /** Collects an event; it goes out with its batch. */
  readonly emit = (evt: SkEvt): void => {
    const bytes = EVENT_OVERHEAD + (evt.data?.data.length ?? 0) + (evt.dgram?.data.length ?? 0);
    if (this.evtPoint.rules === undefined) this.collect(evt, bytes);
    else this.kit.faults.message(this.evtPoint, evt.sk, bytes, () => this.collect(evt, bytes));
  };

  private collect(evt: SkEvt, bytes: number): void {
    this.events.push(evt);
    this.eventBytes += bytes;
    if (this.eventBytes >= EVENT_BYTES_MAX) this.publish();
  }

  /** Asks the IP layer where a flow goes; the answer comes to `onRouteReply`. */
  readonly ask = (query: RouteQuery): void => {
    const { kit } = this;
    const request = kit.bus.request(
      subjects.ctl(kit.netns, 'ip', 'route_query'),
      pb.RouteQuery.encode(query).finish(),
      ROUTE_QUERY_TIMEOUT_MS,
    );
    request
      .then(
        (answer) => kit.run((now) => this.machine?.onRouteReply(replyFromPb(pb.RouteReply.decode(answer)), now)),
        () => {}, // no answer: the engine repeats the query
      )
      .catch((e: unknown) =>
        kit.env.printk(`${this.transport}: unreadable route: ${e instanceof Error ? e.message : String(e)}`),
      );
  };

  /** Opens the seams. Call once, beside kit.bind(). */
  bind(machine: TransportMachine): void {
    this.machine = machine;
    const { kit } = this;
    kit.bus.subscribe(subjects.skCmd(kit.netns, this.transport), (message) => this.onCommands(message));
    kit.bus.subscribe(subjects.all(kit.netns, 'rt_cache_flush'), () => kit.run((now) => machine.onRouteFlush(now)));
    // A flush that was told while we were cut off from the bus is lost.
    kit.bus.onStatus((s) => s === 'connected' && kit.run((now) => machine.onRouteFlush(now)));
    kit.addStats(() => ({ malformedCommandLists: this.malformed }));
  }

  /** An event list without events: tells the socket layer by its publisher that this transport was (re)started. */
  hello(): void {
    const { kit } = this;
    kit.bus.publish(this.evtSubject, encodeEvts(kit.epoch, []));
  }

  /** To the socket layer that counts. */
  private say(events: readonly SkEvt[]): void {
    this.kit.bus.publish(this.evtSubject, encodeEvts(this.kit.epoch, events, this.gateway.publisher));
  }

  /** inet_add_protocol(): puts this transport into IP's table. */
  async addProtocol(proto: number, handler: string, errHandler: string): Promise<InitcallResult> {
    const { kit } = this;
    const request = pb.RegisterRequest.encode({
      table: pb.RegisterRequest.Table.NET_PROTOCOL,
      key: proto,
      handler,
      errHandler,
    });
    const answer = await kit.bus.request(
      subjects.ctl(kit.netns, 'ip', 'register'),
      request.finish(),
      REGISTER_TIMEOUT_MS,
    );
    const { errno, message } = pb.RegisterReply.decode(answer);
    if (errno !== 0) return { errno, message };
  }

  private onCommands(message: Uint8Array): void {
    const list = decodeCmds(message);
    if (list === undefined || list.publisher === 0) {
      this.malformed++;
      return;
    }
    const { machine } = this;
    if (machine === undefined) return;
    this.kit.run((now) => {
      const from = this.gateway.hear(list.publisher, now);
      if (from === 'retired') return;
      if (from === 'new') {
        machine.onGatewayRestart?.(now);
        // One that is displaced by it and still alive hears of that, and says so (SocketService.displaced).
        this.say([]);
      }
      for (const cmd of list.cmds) {
        if (this.cmdPoint.rules === undefined) machine.onCommand(cmd, now);
        else this.kit.faults.message(this.cmdPoint, cmd.sk, message.length, (at) => machine.onCommand(cmd, at));
      }
    });
  }

  private publish(): void {
    if (this.events.length === 0) return;
    const { events } = this;
    this.events = [];
    this.eventBytes = 0;
    this.say(events);
  }
}
