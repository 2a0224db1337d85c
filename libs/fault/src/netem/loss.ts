import type { Rng } from '@skbus/skb';
import { asU32, Dice } from './crandom.ts';
import type { NetemLoss } from './spec.ts';

/** Whether the next packet is lost. */
export type LossModel = () => boolean;

export function lossModel(loss: NetemLoss, rng: Rng): LossModel {
  switch (loss.model) {
    case 'random': {
      const dice = new Dice(rng, loss);
      return () => dice.throw();
    }
    case 'state':
      return fourStates(loss, rng);
    default:
      return gilbertElliott(loss, rng);
  }
}

/** net/sched/sch_netem.c:loss_4state */
function fourStates(loss: NetemLoss & { model: 'state' }, rng: Rng): LossModel {
  const p13 = asU32(loss.p13);
  const p31 = asU32(loss.p31);
  const p32 = asU32(loss.p32);
  const p14 = asU32(loss.p14);
  const p23 = asU32(loss.p23);
  /** 1 good, 2 good within a burst, 3 lost within a burst, 4 lost alone. */
  let state: 1 | 2 | 3 | 4 = 1;
  return () => {
    const rnd = rng.u32();
    switch (state) {
      case 1:
        if (rnd < p14) state = 4;
        else if (rnd < p13 + p14) state = 3;
        break;
      case 2:
        if (rnd < p23) state = 3;
        break;
      case 3:
        if (rnd < p32) state = 2;
        else if (rnd < p31 + p32) state = 1;
        break;
      default:
        state = 1;
    }
    return state >= 3;
  };
}

/** net/sched/sch_netem.c:loss_gilb_ell: the state moves on, but the one before decides what is lost. */
function gilbertElliott(loss: NetemLoss & { model: 'gemodel' }, rng: Rng): LossModel {
  const p = asU32(loss.p);
  const r = asU32(loss.r);
  const lossGood = asU32(loss.lossGood);
  const keptBad = asU32(1 - loss.lossBad);
  let bad = false;
  return () => {
    if (bad) {
      if (rng.u32() < r) bad = false;
      return rng.u32() > keptBad;
    }
    if (rng.u32() < p) bad = true;
    return rng.u32() < lossGood;
  };
}
