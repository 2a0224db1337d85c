/** A problem of a plan that shows only when it is run. */
export class PlanProblem extends Error {
  override name = 'PlanProblem';
}
