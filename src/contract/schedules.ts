/** What runs by itself: its name in commands, and the workflow that it starts. */
export const SCHEDULED = { sweep: 'sweep', 'rotate-keys': 'rotateKeys' } as const;

export type ScheduleName = keyof typeof SCHEDULED;

/** Two installations in one namespace have schedules of their own. */
export function scheduleId(deployment: string, name: ScheduleName): string {
  return `valetkey-${deployment}-${name}`;
}
