import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { BOOT_TABLE } from '@skbus/boot';
import type { Layer } from '@skbus/contracts';
import {
  Initcall,
  LAYER_KIT,
  type InitcallContext,
  type InitcallResult,
  type LayerDefinition,
  type LayerKit,
} from '@skbus/nest-kit';
import { NEVER } from '@skbus/skb';

/** Layers without a protocol: they answer the initcalls of the boot table and remember which. */
export function fakeLayers(refuse: Record<string, { errno: number; message: string }> = {}): {
  calls: string[];
  load: (layer: Layer) => Promise<LayerDefinition>;
} {
  const calls: string[] = [];
  const load = (layer: Layer): Promise<LayerDefinition> => {
    @Injectable()
    class FakeLayer implements OnModuleInit {
      constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {}

      onModuleInit(): void {
        this.kit.bind(this, { pollTimeout: () => NEVER, handleTimeout: () => {} });
      }

      @Initcall(...BOOT_TABLE.filter((e) => e.owner === layer).map((e) => e.name))
      run(call: InitcallContext): InitcallResult {
        calls.push(`${layer} ${call.name}${call.replay ? ' again' : ''}`);
        call.printk(`${call.name} of ${layer}`);
        return refuse[call.name];
      }
    }
    return Promise.resolve({ layer, providers: [FakeLayer], controllers: [] });
  };
  return { calls, load };
}
