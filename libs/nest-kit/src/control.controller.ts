import { Controller, Inject } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { pb } from '@skbus/contracts';
import { monotonicMs } from './clock.ts';
import { LAYER_KIT, type LayerKit } from './layer-kit.ts';

/** The verbs every layer answers: `ctl.v1.<netns>.<layer>.<verb>`. */
@Controller()
export class ControlController {
  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {}

  /** Answered at once: the event loop turns. */
  @MessagePattern('health')
  health(): Uint8Array {
    return new Uint8Array(0);
  }

  @MessagePattern('stats')
  stats(): Uint8Array {
    return pb.StatsReply.encode(this.kit.stats()).finish();
  }

  @MessagePattern('fault_status')
  faultStatus(): Uint8Array {
    return pb.FaultStatusReply.encode(this.kit.faults.status()).finish();
  }

  /** Lets the oldest one go that a rule holds. */
  @MessagePattern('fault_step')
  faultStep(data: Uint8Array): Uint8Array {
    return pb.FaultControlReply.encode(this.kit.faults.step(pb.FaultControlRequest.decode(data).rule)).finish();
  }

  /** Lets all go that a rule holds; the rule stays. */
  @MessagePattern('fault_release')
  faultRelease(data: Uint8Array): Uint8Array {
    return pb.FaultControlReply.encode(this.kit.faults.release(pb.FaultControlRequest.decode(data).rule)).finish();
  }

  /** Changes a held packet. */
  @MessagePattern('fault_edit')
  faultEdit(data: Uint8Array): Uint8Array {
    const { serial, fields, csumKeep } = pb.FaultControlRequest.decode(data);
    return pb.FaultControlReply.encode(this.kit.faults.edit(serial, fields, csumKeep ? 'keep' : 'fix')).finish();
  }

  @MessagePattern('fault_suffer')
  faultSuffer(data: Uint8Array): Uint8Array {
    const { name, forMs } = pb.FaultSufferRequest.decode(data);
    this.kit.suffer(name, forMs);
    return pb.FaultControlReply.encode({}).finish();
  }

  @MessagePattern('initcall')
  async initcall(data: Uint8Array): Promise<Uint8Array> {
    const { name, level, params, replay } = pb.InitcallRequest.decode(data);
    const printk: string[] = [];
    const start = monotonicMs();
    let errno = 0;
    let message = '';
    try {
      const result = await this.kit.initcall({ name, level, params, replay, printk: (line) => printk.push(line) });
      if (result) ({ errno, message } = result);
    } catch (e) {
      errno = 5;
      message = `${name} failed in ${this.kit.layer}: ${e instanceof Error ? e.message : String(e)}`;
    }
    return pb.InitcallReply.encode({ errno, message, printk, durationMs: monotonicMs() - start }).finish();
  }
}
