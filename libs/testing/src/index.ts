export {
  stack,
  FaultRuleBuilder,
  StackClient,
  StackRequestError,
  type AddedFault,
  type FaultCounters,
} from './stack-client.ts';
