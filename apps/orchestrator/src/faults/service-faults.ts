import type { Bus } from '@skbus/bus';
import { LAYERS, pb, subjects, type Layer } from '@skbus/contracts';

const SUFFER_TIMEOUT_MS = 1_000;

/** What happens to processes: by signals, or by asking the service to do it to itself. */
export class ServiceFaults {
  readonly layers: Readonly<Record<string, true>> = Object.fromEntries(LAYERS.map((l) => [l, true as const]));
  private readonly bus: Bus;
  private readonly netns: string;
  /** The process of a service that is ours to end; undefined: it is not. */
  private readonly pidOf: (service: string) => number | undefined;
  private readonly say: (line: string) => void;

  constructor(
    bus: Bus,
    netns: string,
    own: { pidOf: (service: string) => number | undefined; say: (line: string) => void },
  ) {
    this.bus = bus;
    this.netns = netns;
    this.pidOf = own.pidOf;
    this.say = own.say;
  }

  async suffer(name: string, service: string, forMs: number): Promise<void> {
    try {
      this.say(`skbus: fault: ${name} ${service}${forMs > 0 ? ` ${forMs} ms` : ''}`);
      if (name === 'slow' || name === 'cut') await this.ask(name, service as Layer, forMs);
      else this.signal(name, service, forMs);
    } catch (e) {
      this.say(`skbus: fault: ${name} ${service}: ${e instanceof Error ? e.message : String(e)}`);
    }
  }

  private signal(name: string, service: string, forMs: number): void {
    const pid = this.pidOf(service);
    if (pid === undefined) throw new Error('has no process of its own that this orchestrator started');
    if (name === 'kill') process.kill(pid, 'SIGKILL');
    else if (name === 'restart') process.kill(pid, 'SIGTERM');
    else {
      process.kill(pid, 'SIGSTOP');
      setTimeout(() => {
        // Not a process that took its number since.
        if (this.pidOf(service) === pid) process.kill(pid, 'SIGCONT');
      }, forMs);
    }
  }

  private async ask(name: string, service: Layer, forMs: number): Promise<void> {
    const request = pb.FaultSufferRequest.encode({ name, forMs }).finish();
    await this.bus.request(subjects.ctl(this.netns, service, 'fault_suffer'), request, SUFFER_TIMEOUT_MS);
  }
}
