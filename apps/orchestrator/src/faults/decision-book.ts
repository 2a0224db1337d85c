import type { skbus } from '@skbus/contracts';

const DECISIONS_MAX = 20_000;
const RULES_MAX = 1_000;

type Decision = skbus.v1.FaultDecision;

/** The newest decisions of all layers, and the texts of the rules that made them, also of those that are gone. */
export class DecisionBook {
  private list: Decision[] = [];
  private readonly texts = new Map<string, string>();
  private readonly followers = new Set<(d: Decision) => void>();

  know(rule: string, text: string): void {
    // What it did before it was set anew is not what this text does.
    if (this.texts.has(rule) && this.texts.get(rule) !== text) this.list = this.list.filter((d) => d.rule !== rule);
    this.texts.delete(rule);
    this.texts.set(rule, text);
    if (this.texts.size > RULES_MAX) this.texts.delete(this.texts.keys().next().value!);
  }

  add(decisions: readonly Decision[]): void {
    for (const d of decisions) {
      this.list.push(d);
      for (const f of this.followers) f(d);
    }
    if (this.list.length > DECISIONS_MAX * 1.25) this.list = this.list.slice(-DECISIONS_MAX);
  }

  /** Oldest first. */
  all(): Decision[] {
    return this.list.slice(-DECISIONS_MAX);
  }

  rulesOf(decisions: readonly Decision[]): { id: string; text: string }[] {
    const ids = new Set(decisions.map((d) => d.rule));
    return [...this.texts].filter(([id]) => ids.has(id)).map(([id, text]) => ({ id, text }));
  }

  /** Returns how to stop. */
  follow(f: (d: Decision) => void): () => void {
    this.followers.add(f);
    return () => void this.followers.delete(f);
  }
}
