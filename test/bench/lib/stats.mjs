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

/** Samples of every measurement of a run, by name. */
export class Samples {
  /** @type {Map<string, number[]>} */
  #byName = new Map();

  /** @param {string} name @param {number | undefined} value */
  add(name, value) {
    if (value === undefined || !Number.isFinite(value)) return;
    const list = this.#byName.get(name);
    if (list) list.push(value);
    else this.#byName.set(name, [value]);
  }

  /** @param {string} name @returns {number | undefined} */
  median(name) {
    const list = this.#byName.get(name);
    return list && median(list);
  }

  /** @param {string} name @returns {number[]} */
  of(name) {
    return this.#byName.get(name) ?? [];
  }
}
