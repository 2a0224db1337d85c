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
