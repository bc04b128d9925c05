import { proxyActivities } from '@temporalio/workflow';

export interface BareActivities {
  one(): Promise<void>;
  two(): Promise<void>;
  three(): Promise<void>;
  four(): Promise<void>;
  five(): Promise<void>;
  six(): Promise<void>;
}

const { one, two, three, four, five, six } = proxyActivities<BareActivities>({ startToCloseTimeout: '1m' });

/** Six activities that do nothing, one after the other: what Temporal itself costs. */
export async function bare(): Promise<void> {
  for (const step of [one, two, three, four, five, six]) await step();
}

/** The same, two of them at once where a job has two at once. They end together, as a job's own do not, which spares Temporal a step. */
export async function bareInPairs(): Promise<void> {
  await Promise.all([one(), two()]);
  await three();
  await Promise.all([four(), five()]);
  await six();
}
