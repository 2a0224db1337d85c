/** @param {number[]} sorted ascending @param {number} p 0…1 */
export function percentile(sorted, p) {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}

/** @param {number[]} values */
export function median(values) {
  const s = values.toSorted((a, b) => a - b);
  const mid = s.length >> 1;
  return s.length % 2 === 1 ? s[mid] : (s[mid - 1] + s[mid]) / 2;
}

/** Samples of every measurement of a run, by name and round. */
export class Samples {
  /** @type {Map<string, Map<number, number>>} */
  #byName = new Map();
  round = 0;

  /** @param {string} name @param {number | undefined} value of this round */
  add(name, value) {
    if (value === undefined || !Number.isFinite(value)) return;
    const rounds = this.#byName.get(name) ?? new Map();
    this.#byName.set(name, rounds.set(this.round, value));
  }

  /** @param {string} name @returns {number[]} in the order of the rounds */
  of(name) {
    return [...(this.#byName.get(name)?.values() ?? [])];
  }

  /** @param {string} name @returns {number | undefined} */
  median(name) {
    const values = this.of(name);
    return values.length > 0 ? median(values) : undefined;
  }

  /**
   * The median of the rounds' ratios: what slows a whole round down, slows both sides of its ratio.
   * @param {string} name @param {string} over @returns {number | undefined}
   */
  ratio(name, over) {
    const base = this.#byName.get(over);
    const ratios = [];
    for (const [round, value] of this.#byName.get(name) ?? []) {
      const b = base?.get(round);
      if (b) ratios.push(value / b);
    }
    return ratios.length > 0 ? median(ratios) : undefined;
  }
}
