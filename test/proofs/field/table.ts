import type { Case } from '../case.ts';
import { AGENT_CASES } from './agents.ts';
import { EGRESS } from './egress.ts';
import { HOSTS } from './hosts.ts';
import { JOBS } from './jobs.ts';
import { MACHINE } from './machine.ts';
import { PLAIN } from './plain.ts';
import { PROVIDER } from './provider.ts';
import type { FieldRig } from './rig.ts';
import { SESSION } from './session.ts';
import { WORKSPACE } from './workspace.ts';

/** What people report from the field, as cases by theme. */
export const FIELD_CASES: readonly Case<FieldRig>[] = [
  ...PLAIN,
  ...SESSION,
  ...AGENT_CASES,
  ...EGRESS,
  ...HOSTS,
  ...PROVIDER,
  ...MACHINE,
  ...JOBS,
  ...WORKSPACE,
];
