/** The schedules: the name in commands, and the workflow that each starts. */
export const SCHEDULED = { sweep: 'sweep', 'rotate-keys': 'rotateKeys' } as const;

/** A schedule of an installation, as commands and the client name it. */
export type ScheduleName = keyof typeof SCHEDULED;

/** Returns the schedule's id in Temporal, which holds the deployment because one namespace may hold several installations. */
export function scheduleId(deployment: string, name: ScheduleName): string {
  return `valetkey-${deployment}-${name}`;
}
