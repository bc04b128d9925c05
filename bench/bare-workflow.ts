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

/** Six activities that do nothing, in the order in which a job has its own: what Temporal itself costs. */
export async function bare(): Promise<void> {
  await Promise.all([one(), two()]);
  await three();
  await Promise.all([four(), five()]);
  await six();
}
