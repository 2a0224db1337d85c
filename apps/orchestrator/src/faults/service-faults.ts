import type { Bus } from '@skbus/bus';
import { LAYERS, pb, subjects, type Layer } from '@skbus/contracts';

const SUFFER_TIMEOUT_MS = 1_000;

/** What is to happen to a container. */
export interface Deed {
  /** kill, hang, restart or cut. */
  name: string;
  service: string;
  forMs: number;
}

export interface ServiceFaultsOptions {
  /** The process of a service that is ours to end; undefined: it is not. */
  pidOf: (service: string) => number | undefined;
  say: (line: string) => void;
  /** The services are containers, which only somebody outside of ours can get at. */
  outside: boolean;
}

/** What happens to processes: by signals, by asking the service to do it to itself, or by who acts on its container. */
export class ServiceFaults {
  readonly layers: Readonly<Record<string, true>> = Object.fromEntries(LAYERS.map((l) => [l, true as const]));
  private readonly bus: Bus;
  private readonly netns: string;
  private readonly opts: ServiceFaultsOptions;
  /** Those who act on containers, the one who came first in charge. */
  private readonly hands = new Set<(d: Deed) => void>();

  constructor(bus: Bus, netns: string, opts: ServiceFaultsOptions) {
    this.bus = bus;
    this.netns = netns;
    this.opts = opts;
  }

  get handsCount(): number {
    return this.hands.size;
  }

  /** Returns how to let them go. */
  lend(hand: (d: Deed) => void): () => void {
    this.hands.add(hand);
    return () => void this.hands.delete(hand);
  }

  async suffer(name: string, service: string, forMs: number): Promise<void> {
    const { say, outside } = this.opts;
    try {
      say(`skbus: fault: ${name} ${service}${forMs > 0 ? ` ${forMs} ms` : ''}`);
      if (outside && name !== 'slow') this.order({ name, service, forMs });
      else if (name === 'slow' || name === 'cut') await this.ask(name, service as Layer, forMs);
      else this.signal(name, service, forMs);
    } catch (e) {
      say(`skbus: fault: ${name} ${service}: ${e instanceof Error ? e.message : String(e)}`);
    }
  }

  private order(deed: Deed): void {
    const [first] = this.hands;
    if (first === undefined) throw new Error('nobody acts on the containers; "skbus fault hands" does');
    first(deed);
  }

  private signal(name: string, service: string, forMs: number): void {
    const pid = this.opts.pidOf(service);
    if (pid === undefined) throw new Error('has no process of its own that this orchestrator started');
    if (name === 'kill') process.kill(pid, 'SIGKILL');
    else if (name === 'restart') process.kill(pid, 'SIGTERM');
    else {
      process.kill(pid, 'SIGSTOP');
      setTimeout(() => {
        // Not a process that took its number since.
        if (this.opts.pidOf(service) === pid) process.kill(pid, 'SIGCONT');
      }, forMs);
    }
  }

  private async ask(name: string, service: Layer, forMs: number): Promise<void> {
    const request = pb.FaultSufferRequest.encode({ name, forMs }).finish();
    await this.bus.request(subjects.ctl(this.netns, service, 'fault_suffer'), request, SUFFER_TIMEOUT_MS);
  }
}
