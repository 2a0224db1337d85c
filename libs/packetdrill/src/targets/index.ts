import type { Target } from '../target.ts';

/** Every target, made when it is used: an engine needs no native library, a real Linux does. */
const TARGETS: Readonly<Record<string, () => Promise<Target>>> = {
  engine: async () => new (await import('./engine.ts')).EngineTarget(),
  services: async () => new (await import('./services/services-target.ts')).ServicesTarget(),
  linux: async () => {
    const { LinuxTarget, whyNoLinux } = await import('./linux/linux-target.ts');
    const why = whyNoLinux();
    if (why !== undefined) throw new Error(why);
    return new LinuxTarget();
  },
};

export const targetNames = (): string[] => Object.keys(TARGETS);

export async function makeTarget(name: string): Promise<Target> {
  const make = TARGETS[name];
  if (make === undefined) throw new Error(`no target '${name}' (there are ${targetNames().join(', ')})`);
  return make();
}
